"""What the measurements say: medians, ratios round by round, their intervals, and the tables. Measures nothing.

A peer's measurements in a scenario are a list with one entry for each round; None where the measurement failed.
"""

import math
import statistics


def ours(peer):
    return peer.startswith("openline")


def limit(peer):
    return peer.startswith("raw")


def raw_of(name, peer, present):
    """The limit that a peer is compared with: raw TCP without WebSocket on what it runs on. None if it is not there.

    In memory raw-mio is no measure, for it holds a socket for each connection and nothing else."""
    if peer.endswith("-std"):
        kind = ["raw-std"]
    elif name == "s6":
        kind = ["raw-lean"]
    elif peer.endswith(("-epoll", "-mio")):
        kind = ["raw-mio"]
    else:
        kind = ["raw", "raw-lean"]
    return next((raw for raw in kind if raw in present), None)


def best_rival(peer, medians):
    """The best peer that is not ours and no limit: among the blocking ones for a blocking one, else among the others."""
    std = peer.endswith("-std")
    rivals = [other for other in medians if not ours(other) and not limit(other) and std == other.endswith("-std")]
    return min(rivals, key=medians.get, default=None)


def key_of(name):
    """What a scenario compares."""
    return {"s6": "used_bytes", "l1": "typical_us"}.get(name, "cpu_us")


def some(values):
    return [value for value in values if value]


def middle(values, key):
    return statistics.median(value[key] for value in some(values))


def medians_of(results, key):
    return {peer: middle(values, key) for peer, values in results.items() if some(values)}


def ratios(values, base, key):
    """One for each round in which both were measured: what slows the machine down for a while slows down both."""
    return [value[key] / other[key] for value, other in zip(values, base) if value and other]


def ratio(values, base, key):
    """The median of the ratios; None if there was no round with both."""
    both = ratios(values, base, key)
    return statistics.median(both) if both else None


def interval(values):
    """Two of the values, between which the median of what they are drawn from lies with 95 % certainty or more.

    The median is below the k-th of n independent values only if fewer than k of n throws of a coin are heads. So this
    supposes nothing of how the values are spread, two states of a machine included. Fewer than six cannot say it.
    """
    n = len(values)
    below, k = 0.0, 0
    while (below := below + math.comb(n, k) / 2**n) <= 0.025:
        k += 1
    return (sorted(values)[k - 1], sorted(values)[n - k]) if k else None


def states(values):
    """Where values fall into two heaps, with nothing between: [(median, how many), ...]. Else one heap.

    A heap has two values or more, and the gap between is a sixth or more, and four times what it is elsewhere."""
    values = sorted(values)
    steps = [high / low for low, high in zip(values, values[1:])]
    cuts = range(1, len(steps) - 1)
    if cuts:
        cut = max(cuts, key=lambda at: steps[at])
        rest = [math.log(step) for at, step in enumerate(steps) if at != cut]
        if steps[cut] >= 7 / 6 and math.log(steps[cut]) >= 4 * statistics.mean(rest):
            heaps = [values[:cut + 1], values[cut + 1:]]
            return [(statistics.median(heap), len(heap)) for heap in heaps]
    return [(statistics.median(values), len(values))]


def number(value):
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def compared(values, base, key):
    """The cell: a ratio, with its interval where there are rounds enough."""
    both = ratios(values, base, key)
    if not both:
        return ""
    # Of itself everybody is exactly one.
    inside = values is not base and interval(both)
    return f"{statistics.median(both):.2f}" + (f" [{inside[0]:.2f}, {inside[1]:.2f}]" if inside else "")


def table(name, title, results, settings, against=None):
    """Medians, the lowest first; ratios to the limit and to the best peer that is not ours, or to the one given."""
    key = key_of(name)
    idle, latency = name == "s6", name == "l1"
    medians = medians_of(results, key)
    if not medians:
        return f"### {title}\n\nNothing could be measured.\n"
    rounds = max(len(values) for values in results.values())

    what = f"{settings['connections']:,} connections" if idle else f"{rounds} rounds of {settings['seconds']} s"
    if latency:
        said = "; ratios of the p99 of 20 ms, round by round, of which the median"
    elif idle:
        said = ""
    else:
        said = "; ratios of the server's CPU time, round by round, of which the median"
    if rounds >= 6:
        said += " [and its 95 % interval]"
    kinds = [("raw-mio", "openline-epoll"), ("raw-std", "*-std")]
    kinds = [f"{raw} for {who}" for raw, who in kinds if raw in medians and not idle]
    if kinds:
        said += f". *To raw*: to {', '.join(kinds)}, and to {'raw-lean' if 'raw-lean' in medians else 'raw'} for the rest"

    columns = ["peer"]
    if idle:
        columns += ["opened, B", "used, B"]
    elif latency:
        columns += ["msgs/s", "p50 µs", "p99 of 20 ms, µs", "p99 µs", "max µs", "CPU µs/msg"]
    else:
        columns += ["µs/msg", "min", "user µs"]
    columns += ["to raw", f"to {against}" if against else "to best peer"]
    if latency:
        columns.append("client's own p99 µs")
    elif not idle:
        columns.append("msgs/s")
    if name == "s4":
        columns.append("states, µs")
    if name == "s5":
        columns += ["p50 µs", "p99 µs"]
    if name.startswith("s8"):
        columns.append("answer/message")
    lines = [f"### {title}", "", what + said + ".", ""]
    lines += ["| " + " | ".join(columns) + " |", "|---|" + "--:|" * (len(columns) - 1)]

    for peer in sorted(medians, key=medians.get):
        values = some(results[peer])
        raw, best = raw_of(name, peer, medians), against if against in medians else best_rival(peer, medians)
        if idle:
            row = [f"{middle(values, 'opened_bytes'):,.0f}", f"{medians[peer]:,.0f}"]
        elif latency:
            row = [f"{middle(values, 'rate'):,.0f}", number(middle(values, "p50_us")), number(medians[peer])]
            row += [number(middle(values, "p99_us")), number(max(value["max_us"] for value in values)), number(middle(values, "cpu_us"))]
        else:
            row = [number(medians[peer]), number(min(value[key] for value in values)), number(middle(values, "user_us"))]
        row.append(compared(results[peer], results[raw], key) if raw else "")
        row.append(compared(results[peer], results[best], key) if best and not limit(peer) else "")
        if latency:
            row.append(number(middle(values, "late_p99_us")))
        elif not idle:
            row.append(f"{statistics.median(value['messages'] / value['seconds'] for value in values):,.0f}")
        if name == "s4":
            row.append(", ".join(f"{number(median)} × {count}" for median, count in states([v[key] for v in values])))
        if name == "s5":
            row += [number(middle(values, "p50_us")), number(middle(values, "p99_us"))]
        if name.startswith("s8"):
            row.append(f"{middle(values, 'received_bytes') / middle(values, 'message_bytes'):.2f}")
        lines.append("| " + " | ".join([f"**{peer}**" if ours(peer) else peer] + row) + " |")
    failed = [peer for peer in results if peer not in medians]
    if failed:
        lines += ["", f"Without a figure: {', '.join(failed)}."]
    return "\n".join(lines) + "\n"
