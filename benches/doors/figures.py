"""Makes the tables and the plot of what `run` has measured."""

import html
import math
import xml.dom.minidom

DOORS = {"poll": "long polling", "events": "SSE", "socket": "WebSocket"}


# Tables.

def markdown(tables, results, left_out, notes):
    """One table for each name in `tables`, with all of its cases."""
    parts = ["# Long polling, SSE and WebSocket", "",
             "Made by `benches/doors/run`; `README.md` there says how to read it.", ""]
    for note in notes:
        parts += [note, ""]
    parts += glance(tables, results)
    marked = ""
    for name, cases in tables.items():
        title, text, columns, label = TABLES[name]
        header = columns(None, None)
        rows = []
        for case in cases:
            if case in left_out:
                rows.append([label(case), f"left out: {left_out[case]}"] + [""] * (len(header) - 1))
                continue
            for door in DOORS:
                result = results.get(case, {}).get(door)
                if result is None:
                    rows.append([label(case), DOORS[door], "failed"] + [""] * (len(header) - 2))
                else:
                    found = marks(result)
                    marked += found
                    rows.append([label(case), DOORS[door] + found] + columns(case, result)[1:])
        parts += [f"## {title}", "", text, ""]
        parts.append("| " + " | ".join(["", header[0], *header[1:]]) + " |")
        parts.append("|---|---|" + "--:|" * (len(header) - 1))
        previous = None
        for row in rows:
            parts.append("| " + " | ".join(["" if row[0] == previous else row[0], *row[1:]]) + " |")
            previous = row[0]
        parts.append("")
    parts += [text + "\n" for sign, (_, text) in MARKS.items() if sign in marked]
    return "\n".join(parts)


def glance(tables, results):
    """The doors beside each other: the part for who reads nothing else. What was not measured has no row."""
    rows = []

    def row(name, case, show):
        measured = results.get(case, {})
        if any(door in measured for door in DOORS):
            rows.append([name, *(show(case, measured[door]) if door in measured else "failed" for door in DOORS)])

    latency = lambda case, result: f"{number(result['p50_ns'] / 1e6)} / {number(result['p99_ns'] / 1e6)}"
    both_ways = lambda case, result: number((result["received_bytes"] + result["sent_bytes"]) / deliveries(case))
    line = tables.get("line", [])
    for case in line:
        row(f"latency at a round trip of {case.rtt} ms: p50 / p99, ms", case, latency)
    for case in tables.get("far", [])[-1:]:
        row(f"the same at {case.rtt} ms with {case.rate:g} messages a second, {case.clients:,} clients", case, latency)
    for case in line[:1]:
        row("bytes for a message, both ways", case, both_ways)
    for case in tables.get("headers", []):
        if case.headers == "minimal":
            row("the same with the least request headers", case, both_ways)
    for case in line[:1]:
        row("packets for a message, down + up", case,
            lambda case, result: " + ".join(segments(result, deliveries(case))))
        row("server CPU for a message, µs", case,
            lambda case, result: number(result["server_cpu_ns"] / 1e3 / deliveries(case)))
    for case in tables.get("clients", [])[-1:]:
        row(f"server memory for a client, of {case.clients:,}, KiB", case,
            lambda case, result: number(result["memory_bytes"] / 1024))
    for case in tables.get("idle", []):
        row("bytes a minute while nothing is said, both ways", case,
            lambda case, result: number((result["received_bytes"] + result["sent_bytes"])
                                        / (case.clients * result["seconds"] / 60)))
    row_of_losses = ["lost, in all measurements"]
    for door in DOORS:
        measured = [doors.get(door) for doors in results.values()]
        row_of_losses.append(str(sum(result["lost"] for result in measured)) if all(measured) else "failed")
    if not rows or not line:
        return []
    title = f"{line[0].clients:,} clients, {line[0].rate:g} messages a second"
    if line[0].rate == 1:
        title = f"{line[0].clients:,} clients, 1 message a second"
    head = ["| " + " | ".join([title, *DOORS.values()]) + " |", "|---|" + "--:|" * len(DOORS)]
    return [*head, *("| " + " | ".join(row) + " |" for row in [*rows, row_of_losses]), ""]


MARKS = {
    "\\*": (lambda result: result["server_busy"] > 0.9, "\\*: the server's core was more than 90 % busy."),
    "†": (lambda result: result["client_busy"] > 0.9,
          "†: the clients' core was more than 90 % busy, so the latency is in part theirs."),
    "‡": (lambda result: result["dropped_packets"] > 0,
          "‡: a queue of the kernel overflowed, and TCP sent some packets again."),
}


def marks(result):
    return "".join(sign for sign, (holds, _) in MARKS.items() if holds(result))


def deliveries(case):
    return case.clients * case.messages


def segments(result, each):
    """Down and up, if they were counted."""
    counted = result["segments"]
    return [number(counted[way] / each if counted else None) for way in ("received", "sent")]


def by_message(case, result):
    """Latency and cost of each message that one client gets. Without a result: the names."""
    if case is None:
        return ["door", "p50, ms", "p99, ms", "max, ms", "bytes down", "bytes up", "packets down", "packets up",
                "server CPU, µs", "lost"]
    each = deliveries(case)
    return ["", *(number(result[key] / 1e6) for key in ("p50_ns", "p99_ns", "max_ns")),
            number(result["received_bytes"] / each), number(result["sent_bytes"] / each),
            *segments(result, each), number(result["server_cpu_ns"] / 1e3 / each), str(result["lost"])]


def by_client(case, result):
    """The same with memory."""
    if case is None:
        return ["door", "p50, ms", "p99, ms", "max, ms", "server CPU, µs", "memory waiting, KiB",
                "after messages, KiB", "lost"]
    return ["", *(number(result[key] / 1e6) for key in ("p50_ns", "p99_ns", "max_ns")),
            number(result["server_cpu_ns"] / 1e3 / deliveries(case)), number(result["waiting_bytes"] / 1024),
            number(result["memory_bytes"] / 1024), str(result["lost"])]


def by_door(case, result):
    """What can be told apart if the doors share a server."""
    if case is None:
        return ["door", "p50, ms", "p99, ms", "max, ms", "bytes down", "bytes up", "lost"]
    each = deliveries(case)
    return ["", *(number(result[key] / 1e6) for key in ("p50_ns", "p99_ns", "max_ns")),
            number(result["received_bytes"] / each), number(result["sent_bytes"] / each), str(result["lost"])]


def by_minute(case, result):
    """What a client costs while nothing is said."""
    if case is None:
        return ["door", "bytes down", "bytes up", "packets down", "packets up", "server CPU, µs", "memory, KiB"]
    minutes = case.clients * result["seconds"] / 60
    return ["", number(result["received_bytes"] / minutes), number(result["sent_bytes"] / minutes),
            *segments(result, minutes), number(result["server_cpu_ns"] / 1e3 / minutes),
            number(result["memory_bytes"] / 1024)]


def per_second(rate):
    return f"{rate:g} a second"


TABLES = {
    "line": ("By round trip", "Each client gets each message. Latency is from the publisher's clock to the client's "
             "kernel; the rest is for one message at one client.", by_message, lambda case: f"{case.rtt} ms"),
    "rates": ("By messages a second", "On a short line.", by_message, lambda case: per_second(case.rate)),
    "far": ("By messages a second, far away", "On a line with a round trip of 100 ms.", by_message,
            lambda case: per_second(case.rate)),
    "clients": ("By clients", "Resident memory of the server's process for one client, without the kernel's sockets. "
                "With few clients it is mostly rounding.", by_client, lambda case: f"{case.clients:,}"),
    "headers": ("By request headers", "What a browser sends with each request, or the least.", by_message,
                lambda case: case.headers),
    "mixed": ("All doors at once", "One server and one topic, so many clients of each door, a round trip of 20 ms. "
              "Whoever is told of a message late waits for those who are told before.", by_door,
              lambda case: f"{case.clients:,} at each"),
    "idle": ("While nothing is said", "For one client and minute: Pings and Pongs, comments, polls that end.",
             by_minute, lambda case: f"{case.clients:,} clients"),
}


def number(value):
    """Three digits that count, or all before the point."""
    if value is None:
        return "–"
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    # 0.9996 is 1.00 and 99.96 is 100.
    value = float(f"{value:.3g}")
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) >= 0.01 else f"{value:.2f}"


# The plot. It has no background and no colour that needs one: grey and three tones that are seen on white and on black.

GREY = "#77808a"
COLOURS = {"poll": "#d9772b", "events": "#2e9c76", "socket": "#5a82e0"}
WIDTH, HEIGHT, LEFT, TOP = 380, 250, 48, 46


def svg(tables, results):
    """Four panels; one whose table was not measured is left out."""
    panels = []
    if "far" in tables:
        value = lambda key: lambda case, result: result[key] / 1e6
        panels.append(lines("Latency at a round trip of 100 ms", "ms; dots p50, rings p99; by messages a second",
                            tables["far"], results, [value("p50_ns"), value("p99_ns")]))
    if "rates" in tables:
        size = lambda case, result: (result["received_bytes"] + result["sent_bytes"]) / deliveries(case)
        cost = lambda case, result: result["server_cpu_ns"] / 1e3 / deliveries(case)
        panels.append(lines("Bytes for a message, both ways", "at a client; by messages a second", tables["rates"],
                            results, [size]))
        panels.append(lines("Server CPU for a message", "µs for one client; by messages a second", tables["rates"],
                            results, [cost]))
    if "clients" in tables:
        panels.append(bars("Server memory for a client", "KiB, after messages; by clients", tables["clients"], results,
                           lambda case, result: result["memory_bytes"] / 1024))
    rows = (len(panels) + 1) // 2
    width, height = 2 * WIDTH, rows * HEIGHT + 40
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
           f'font-family="system-ui,sans-serif" font-size="11" fill="{GREY}">',
           "<title>Long polling, SSE and WebSocket: latency, bytes, CPU time and memory</title>"]
    for at, (door, name) in enumerate(DOORS.items()):
        x = LEFT + at * 120
        out.append(mark(door, x, 20, 4) + label(x + 10, 24, name, "start", COLOURS[door], 13))
    for at, panel in enumerate(panels):
        out.append(f'<g transform="translate({at % 2 * WIDTH},{40 + at // 2 * HEIGHT})">{panel}</g>')
    return "\n".join(out) + "\n</svg>\n"


def lines(title, unit, cases, results, values):
    """The first of `values` has filled marks, the second hollow ones and a dashed line."""
    points = {(door, number): [(at, value(case, results[case][door])) for at, case in enumerate(cases)
                               if door in results.get(case, {})]
              for door in DOORS for number, value in enumerate(values)}
    top, out = axes(title, unit, [y for some in points.values() for _, y in some])
    step = (WIDTH - LEFT - 40) / max(len(cases) - 1, 1)
    place = lambda at, y: (LEFT + 20 + at * step, HEIGHT - 30 - y / top * (HEIGHT - 30 - TOP))
    for at, case in enumerate(cases):
        out.append(label(place(at, 0)[0], HEIGHT - 12, f"{case.rate:g}", "middle"))
    for (door, number), some in points.items():
        drawn = [place(at, y) for at, y in some]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)
        dash = ' stroke-dasharray="4 4"' if number else ""
        out.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[door]}" stroke-width="2"{dash}/>')
        out += [mark(door, x, y, 4, hollow=number > 0) for x, y in drawn]
    return "".join(out)


def bars(title, unit, cases, results, value):
    heights = {(at, door): max(0, value(case, results[case][door])) for at, case in enumerate(cases) for door in DOORS
               if door in results.get(case, {})}
    # With room for the number above the highest.
    top, out = axes(title, unit, [height * 1.08 for height in heights.values()])
    group = (WIDTH - LEFT - 20) / max(len(cases), 1)
    width = group / 4
    for at, case in enumerate(cases):
        out.append(label(LEFT + (at + 0.5) * group, HEIGHT - 12, f"{case.clients:,}", "middle"))
    for (at, door), y in heights.items():
        x = LEFT + at * group + (list(DOORS).index(door) + 0.5) * width
        height = y / top * (HEIGHT - 30 - TOP)
        out.append(f'<rect x="{x:.1f}" y="{HEIGHT - 30 - height:.1f}" width="{width - 4:.1f}" height="{height:.1f}" '
                   f'fill="{COLOURS[door]}"/>')
        out.append(label(x + width / 2 - 2, HEIGHT - 34 - height, number(y), "middle"))
    return "".join(out)


def axes(title, unit, values):
    """The highest value of the axis, and its drawing."""
    top, step = scale(max(values, default=1))
    out = [label(LEFT, 16, title, "start", GREY, 14), label(LEFT, 32, unit, "start")]
    for tick in range(round(top / step) + 1):
        y = HEIGHT - 30 - tick * step / top * (HEIGHT - 30 - TOP)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - 20}" stroke="{GREY}" stroke-opacity="{0.25 if tick else 1}"/>')
        out.append(label(LEFT - 6, y + 4, f"{tick * step:,g}", "end"))
    return top, out


def scale(highest):
    """An axis' end and step: 2 to 5 steps of 1, 2 or 5 times a power of ten, the last not below `highest`."""
    highest = max(highest, 1e-9)
    power = 10 ** math.floor(math.log10(highest / 2))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= highest)
    return step * math.ceil(highest / step - 1e-9), step


def mark(door, x, y, size, hollow=False):
    paint = f'fill="none" stroke="{COLOURS[door]}" stroke-width="1.5"' if hollow else f'fill="{COLOURS[door]}"'
    if door == "poll":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {paint}/>'
    if door == "events":
        return f'<rect x="{x - size:.1f}" y="{y - size:.1f}" width="{2 * size}" height="{2 * size}" {paint}/>'
    return f'<path d="M{x:.1f} {y - size - 1:.1f}l{size + 1} {2 * size}h{-2 * size - 2}z" {paint}/>'


def label(x, y, text, anchor, colour=None, size=None):
    more = f' fill="{colour}"' * bool(colour) + f' font-size="{size}"' * bool(size)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{html.escape(text)}</text>'


# Tests.

def check():
    """Raises AssertionError."""
    import collections

    for value, expected in [(0, "0"), (0.123, "0.123"), (0.9996, "1.00"), (1.234, "1.23"),
                            (12.34, "12.3"), (99.96, "100"), (123.4, "123"),
                            (1234.5, "1,234"), (0.001, "0.00"), (None, "–")]:
        assert number(value) == expected, (value, number(value))
    for highest in (1e-12, 0.3, 1, 1.9, 2, 5, 7, 10, 11, 99, 100, 101, 12345):
        top, step = scale(highest)
        assert highest <= top * 1.0001 and top < max(highest, 1e-9) * 2.01, (highest, top)
        assert 2 <= round(top / step) <= 5, (highest, top, step)

    Case = collections.namedtuple("Case", "clients rate rtt seconds headers messages")
    cases = [Case(10 ** at, rate, 100, 10, "browser", 10 * rate) for at, rate in enumerate((1, 10, 100))]
    result = {"p50_ns": 1e6, "p99_ns": 2e6, "max_ns": 3e6, "received_bytes": 400, "sent_bytes": 0, "lost": 0,
              "segments": {"received": 30, "sent": 10}, "server_cpu_ns": 5e6, "server_busy": 0.95, "client_busy": 0.1,
              "dropped_packets": 0,
              "waiting_bytes": 2048, "memory_bytes": 4096, "seconds": 10}
    every = {name: cases for name in TABLES}
    results = {case: {door: result for door in DOORS} for case in cases}
    text = markdown(every, results, {}, ["a machine"])
    assert text.count("| WebSocket\\* |") == len(TABLES) * len(cases), text
    assert not any(word in text for word in ("†", "failed", "left out")), text
    assert "| 1.00 | 2.00 | 3.00 | 40.0 | 0 | 3.00 | 1.00 | 500 | 0 |" in text, text
    assert "| bytes a minute while nothing is said, both ways | 240 | 240 | 240 |" in text, text
    assert "| lost, in all measurements | 0 | 0 | 0 |" in text
    widths = {name: len(TABLES[name][2](None, None)) + 1 for name in TABLES}
    del results[cases[0]]["poll"]
    missing = markdown(every, {cases[0]: results[cases[0]]}, {cases[1]: "too many"}, ["a machine"])
    assert "| lost, in all measurements | failed | 0 | 0 |" in missing, missing
    counted = missing[missing.index("\n## "):]
    assert counted.count("| failed |") == len(TABLES) * 4 and counted.count("left out: too many") == len(TABLES)
    for part, name in zip((text + counted).split("\n## ")[1:], [*TABLES, *TABLES]):
        rows = [line for line in part.split("\n") if line.startswith("|")]
        counts = {line.count(" | ") + 2 for line in rows if "---" not in line}
        assert len(rows) > 4 and counts == {widths[name] + 1}, rows

    for some in (results, {}):
        drawn = svg(every, some)
        xml.dom.minidom.parseString(drawn)
        assert len(drawn.encode()) < 30 << 10 and "nan" not in drawn and "inf" not in drawn.replace("info", "")
    assert svg(every, results).count("<polyline") == 4 * 3
    print("figures: all well")
