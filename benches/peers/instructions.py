"""What a server spends outside the kernel for each message, in instructions that callgrind counts.

No clock can tell it: the kernel counts user time in ticks of milliseconds, and the machine has its ups and downs. Instructions
are the same in each run, but for a few in a hundred. They say nothing of the kernel, and nothing of memory that is far away.
"""

import collections
import os
import re
import subprocess
import tempfile

import figures
from talk import talk

# How long the client sends, in seconds, in two runs. Only what the longer one has more is counted, so that neither the start
# nor the opening handshakes are in it.
SHORT, LONG = 0.4, 2.4

# The C library copies long memory by `rep`, of which callgrind counts each byte as an instruction.
TUNABLES = "glibc.cpu.x86_rep_stosb_threshold=1073741824:glibc.cpu.x86_rep_movsb_threshold=1073741824"


def count(command, load):
    """Instructions for each message, by function."""
    (few, short), (many, long) = (run(command, load, seconds) for seconds in (SHORT, LONG))
    return {function: (cost - short.get(function, 0)) / (many - few) for function, cost in long.items()}


def run(command, load, seconds):
    """How many messages there were, and what each function cost."""
    with tempfile.TemporaryDirectory() as directory:
        out = f"{directory}/callgrind"
        watched = ["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={out}", *command]
        # Callgrind writes what it has counted before it ends, so it is not killed.
        answer = talk(watched, [*load, "--warmup", "0", "--seconds", str(seconds)],
                      environment={**os.environ, "GLIBC_TUNABLES": TUNABLES}, end=subprocess.Popen.terminate)
        listed = subprocess.check_output(["callgrind_annotate", "--auto=no", "--threshold=100", "--show=Ir", out],
                                         text=True, stderr=subprocess.DEVNULL)
    return answer["messages"], costs(listed)


# A line of callgrind_annotate: how many, which part of all, the file, the function, and the object that has it.
LINE = re.compile(r"\s*([\d,]+) \(\s*[\d.]+%\)\s+([^:]+):(.+?)(?: \[[^\]]*\])?$")


def costs(listed):
    """Each function's own instructions."""
    each = collections.Counter()
    for line in listed.splitlines():
        if found := LINE.match(line):
            number, _, function = found.groups()
            each[function] += int(number.replace(",", ""))
    return each


def table(title, counted, functions):
    """Of each peer's counts: their sum, and how far it is from raw TCP on what the peer runs on; and what costs most."""
    sums = {peer: sum(each.values()) for peer, each in counted.items()}
    lines = [f"### {title}", "", "Instructions of the server outside the kernel for each message.", "",
             "| peer | instructions | more than raw |", "|---|--:|--:|"]
    for peer in sorted(sums, key=sums.get):
        raw = figures.raw_of("", peer, sums)
        more = f"{sums[peer] - sums[raw]:,.0f}" if raw and raw != peer else ""
        lines.append(f"| {f'**{peer}**' if figures.ours(peer) else peer} | {sums[peer]:,.0f} | {more} |")
    for peer, each in counted.items() if functions else ():
        lines += ["", f"{peer}:", ""]
        lines += [f"{cost:10,.0f}  {function}" for function, cost in collections.Counter(each).most_common(functions)]
    return "\n".join(lines) + "\n"
