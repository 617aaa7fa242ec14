"""The tables as one picture: a row for each crate, a column for each scenario, and a bar for how far it is from raw TCP.

A bar begins at the line of raw TCP, which is 1, and all bars have one scale, in which each doubling takes the same length.
The SVG brings its own background, light or dark as the reader's, and needs no font, script or file beside it.
"""

import math
from html import escape

from figures import best_rival, key_of, limit, medians_of, ours, ratio, raw_of

# (scenario, first line of the column's head, second line).
COLUMNS = [
    ("s1", "20 B", "100 × 1"),
    ("s2", "125 B", "100 × 16"),
    ("s3", "16 KiB", "10 × 1"),
    ("s4", "1 MiB", "1 × 1"),
    ("s5", "20 B", "1 × 1"),
    ("s7", "broadcast", "to 1,000"),
    ("s7one", "broadcast", "one by one"),
    ("s8", "deflate", "each alone"),
    ("s8t", "deflate", "takeover"),
    ("s8l1", "deflate", "level 1"),
    ("hs", "handshake", ""),
    ("s1x2", "20 B", "2 threads"),
    ("s2x2", "125 B", "2 threads"),
    ("l1", "p99 latency", "half load"),
    ("s6", "idle", "memory"),
]

LABEL, CELL, LINE = 142, 76, 24
# Before the columns that are not of CPU time.
GAP = 14
# Of a cell: where the line of raw TCP is, how long a doubling is, and what the bar must leave to the number.
ZERO, DOUBLING, NUMBER = 8, 12.5, 30
LEAST, MOST = 0.7, 8
TOP = 122

STYLE = """
svg{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}
.page{fill:#fff}.t{fill:#1f2328}.s{fill:#656d76}.band{fill:#f3f5f8}.axis{stroke:#1f2328}.thin{opacity:.35}
.p{fill:#b4bcc6}.o{fill:#0b6bcb}.ot{fill:#0b5cad;font-weight:700}
.h{font-size:18px;font-weight:700}.n{font-size:12px}.r{text-anchor:end}
@media(prefers-color-scheme:dark){.page{fill:#0d1117}.t{fill:#e6edf3}.s{fill:#9198a1}.band{fill:#161b22}
.axis{stroke:#e6edf3}.p{fill:#57606a}.o{fill:#4aa3ff}.ot{fill:#79b8ff}}
"""


def ratios_of(measured):
    """For each crate a ratio to raw TCP by scenario, and whether a hand-written batch (`+batch`) made it: (ratio, batch).

    A crate is in a row of its own as it is used best: with `+batch` where that is better.
    """
    rows = {}
    for name, results in measured.items():
        key = key_of(name)
        medians = medians_of(results, key)
        for peer in medians:
            raw = raw_of(name, peer, medians)
            if limit(peer) or raw is None:
                continue
            crate, batch = peer.removesuffix("+batch"), peer.endswith("+batch")
            value = ratio(results[peer], results[raw], key)
            row = rows.setdefault(crate, {})
            if value is not None and (name not in row or value < row[name][0]):
                row[name] = (value, batch)
    return rows


def order(rows, columns):
    """The best first: by the geometric mean of how many times they are above the best of a column, so that it is no
    merit to be absent where all are far from raw TCP. Behind them those that are in less than half of the columns."""
    best = {name: min(row[name][0] for row in rows.values() if name in row) for name, *_ in columns}

    def place(crate):
        values = [math.log(rows[crate][name][0] / best[name]) for name in best if name in rows[crate]]
        return (2 * len(values) < len(columns), sum(values) / max(len(values), 1))

    return sorted(rows, key=place)


def bar(value):
    """Where a bar begins, from the left of the cell, and its length."""
    length = DOUBLING * math.log2(max(LEAST, min(value, MOST)))
    return (ZERO, length) if length >= 0 else (ZERO + length, -length)


def draw(measured, said):
    """The SVG as text. `said`: a line on how it was measured."""
    rows = ratios_of(measured)
    columns = [column for column in COLUMNS if any(column[0] in row for row in rows.values())]
    crates = order(rows, columns)
    others = sum(key_of(name) != "cpu_us" for name, *_ in columns)
    cpu = len(columns) - others
    lefts = [LABEL + CELL * at + GAP * (at >= cpu) for at in range(len(columns))]
    width, height = LABEL + CELL * len(columns) + GAP + 8, TOP + LINE * len(crates) + 78
    wins, of = ahead(measured, columns)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
           f'role="img"><title>How far WebSocket crates are from raw TCP</title><style>{STYLE}</style>',
           f'<rect class="page" width="{width}" height="{height}"/>']

    def text(x, y, words, style, title=None):
        inside = escape(words, quote=False) + (f"<title>{escape(title)}</title>" if title else "")
        out.append(f'<text x="{x:g}" y="{y:g}" class="{style}">{inside}</text>')

    text(16, 28, "WebSocket crates beside raw TCP: how many times what it needs", "t h")
    text(16, 48, f"The line is raw TCP without WebSocket on the same event loop. The shorter the bar, the better. "
                 f"In {wins} of {of} columns openline needs less than every other crate.", "s")
    bottom = TOP + LINE * len(crates)
    for at, crate in enumerate(crates):
        top = TOP + LINE * at
        mine = ours(crate)
        out.append(f'<g id="{escape(crate)}">')
        if at % 2 == 0:
            out.append(f'<rect class="band" x="8" y="{top}" width="{width - 16}" height="{LINE}"/>')
        text(LABEL - 10, top + 16.5, crate, "ot r" if mine else "t r")
        for column, (name, *_) in enumerate(columns):
            if name not in rows[crate]:
                continue
            value, batch = rows[crate][name]
            left = lefts[column]
            begin, length = bar(value)
            out.append(f'<rect class="{"o" if mine else "p"}" x="{left + begin:.1f}" y="{top + 6}" '
                       f'width="{max(length, 1):.1f}" height="12"/>')
            shown = f"{value:.2f}" if value < 9.95 else f"{value:.0f}"
            text(round(left + max(begin + length, ZERO) + 4, 1), top + 16.5, shown + "+" * batch,
                 "n ot" if mine else "n s")
            if value > MOST:
                # Cut off: a slanted gap near the end.
                x = left + begin + length - 8
                out.append(f'<path class="{"band" if at % 2 == 0 else "page"}" d="M{x:.1f} {top + 19}l4-14h3l-4 14z"/>')
        out.append("</g>")
    for begin, count, words in [(0, cpu, "server CPU for each message"), (cpu, others, "other than CPU")]:
        if count:
            left = lefts[begin] + ZERO
            text(left - 3, TOP - 50, words, "s n")
            out.append(f'<path class="axis thin" d="M{left - 3:g} {TOP - 44}h{CELL * count - 14}"/>')
    for column, (name, first, second) in enumerate(columns):
        left = lefts[column]
        text(left + ZERO - 3, TOP - 27, first, "t n", name)
        text(left + ZERO - 3, TOP - 12, second, "s n")
        x = left + ZERO
        out.append(f'<path class="axis" d="M{x:g} {TOP - 4}V{bottom}"/>')
    notes = [f"Each doubling has the same length; bars end at {MOST}. Beside raw TCP on mio: openline-epoll; on threads: *-std; on "
             "tokio: all others, and everybody's memory.",
             "100 × 16: connections × messages in flight on each. +: the crate's user feeds batches and flushes by hand.",
             said]
    for at, note in enumerate(notes):
        text(16, bottom + 24 + 18 * at, note, "s n")
    out.append("</svg>\n")
    return "\n".join(out)


def ahead(measured, columns):
    """In how many of the columns the best of ours needs less than every other crate, and of how many that can be said."""
    wins = of = 0
    for name, *_ in columns:
        medians = medians_of(measured[name], key_of(name))
        # openline-stream holds no whole message, so it is not compared with those that do.
        mine = [peer for peer in medians if ours(peer) and not peer.endswith(("-std", "-stream"))]
        rival = best_rival("openline", medians)
        if mine and rival:
            of += 1
            wins += min(medians[peer] for peer in mine) < medians[rival]
    return wins, of
