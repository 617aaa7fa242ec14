"""`run` and what it makes of measurements: no server, no client, no clock. `cargo test` starts this, by tests/run.rs."""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, HERE)
loader = importlib.machinery.SourceFileLoader("run", f"{HERE}/run")
run = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
loader.exec_module(run)
import chart
import figures
import instructions

SVG = "{http://www.w3.org/2000/svg}"
SETTINGS = {"seconds": 1.0, "connections": 10000, "machine": "2 cores of <this> & that", "date": "2026-01-31"}


def value(cpu):
    """A measurement in which everything is so much."""
    names = ["messages", "seconds", "cpu_us", "user_us", "p50_us", "p99_us", "typical_us", "max_us", "rate", "late_p99_us", "used_bytes",
             "opened_bytes", "received_bytes", "message_bytes"]
    return dict.fromkeys(names, float(cpu))


def everything(rounds=5):
    """Every peer in every scenario: openline needs least, each next one more, some 30 times as much."""
    measured = {}
    for name, scenario in run.SCENARIOS.items():
        costs = {peer: 1.1 + 0.2 * at**2 for at, peer in enumerate(sorted(scenario.peers, key=lambda p: not figures.ours(p)))}
        costs.update((peer, 1.0) for peer in costs if figures.limit(peer))
        measured[name] = {peer: [value(cost)] * rounds for peer, cost in costs.items()}
    return measured


class Instructions(unittest.TestCase):
    def test_a_function_has_all_its_lines_and_nothing_else(self):
        listed = """--------------------------------------------------------------------------------
Ir
--------------------------------------------------------------------------------
1,002,411 (100.0%)  PROGRAM TOTALS

  600,400 (59.90%)  ???:<a::B as c::D>::poll_read [/some where/peers]
  400,000 (39.90%)  ./malloc/malloc.c:free [/usr/lib/libc.so.6]
    2,000 ( 0.20%)  src/d.rs:<a::B as c::D>::poll_read [/some where/peers]
       11 ( 0.00%)  ./elf/dl-reloc.c:_dl_relocate_object
"""
        expected = {"<a::B as c::D>::poll_read": 602400, "free": 400000, "_dl_relocate_object": 11}
        self.assertEqual(instructions.costs(listed), expected)

    def test_only_what_the_longer_run_has_more_is_counted(self):
        runs = iter([(100, {"start": 5000, "read": 1000}), (300, {"start": 5000, "read": 3000, "write": 400})])
        real, instructions.run = instructions.run, lambda *_: next(runs)
        try:
            self.assertEqual(instructions.count([], []), {"start": 0, "read": 10, "write": 2})
        finally:
            instructions.run = real

    def test_each_peer_is_compared_with_what_it_runs_on(self):
        counted = {"raw": {"a": 1000}, "raw-mio": {"a": 100}, "openline-epoll": {"a": 300, "b": 400}, "wtx": {"a": 2500}}
        table = instructions.table("s1", counted, 1)
        for line in ["| raw | 1,000 |  |", "| **openline-epoll** | 700 | 600 |", "| wtx | 2,500 | 1,500 |", "       400  b"]:
            self.assertIn(line, table.splitlines())


class Figures(unittest.TestCase):
    def test_an_interval_is_as_sure_as_it_says(self):
        # From tables of the sign test: which ranks, from both ends.
        for n, rank in [(5, 0), (6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4), (17, 5), (25, 8), (100, 40)]:
            values = list(range(1, n + 1))
            random.Random(n).shuffle(values)
            self.assertEqual(figures.interval(values), (rank, n + 1 - rank) if rank else None, n)

    def test_an_interval_covers_the_median(self):
        # Of cubes of what lies evenly between 0 and 1, and so very unevenly: the median is that of 0.5.
        draws = random.Random(7)
        covered = 0
        for _ in range(2000):
            low, high = figures.interval([draws.random()**3 for _ in range(15)])
            covered += low <= 0.125 <= high
        self.assertGreaterEqual(covered, 1900)

    def test_ratios_are_those_of_a_round(self):
        # The second round was slow for both, and in the third one of them failed.
        ours, theirs = [value(1), value(10), None, value(3)], [value(2), value(20), value(9), value(2)]
        self.assertEqual(figures.ratios(ours, theirs, "cpu_us"), [0.5, 0.5, 1.5])
        self.assertEqual(figures.ratio(ours, theirs, "cpu_us"), 0.5)
        self.assertIsNone(figures.ratio([None, value(1)], [value(1), None], "cpu_us"))
        self.assertEqual(figures.compared([value(1)] * 5, [value(2)] * 5, "cpu_us"), "0.50")
        six = figures.compared([value(at) for at in range(1, 7)], [value(2)] * 6, "cpu_us")
        self.assertEqual(six, "1.75 [0.50, 3.00]")
        same = [value(1)] * 6
        self.assertEqual(figures.compared(same, same, "cpu_us"), "1.00")

    def test_two_states_are_told(self):
        self.assertEqual(figures.states([236, 240, 238, 401, 239, 404, 237]), [(238, 5), (402.5, 2)])
        self.assertEqual(figures.states([236, 240, 238, 250, 239, 245, 237]), [(239, 7)])
        self.assertEqual(figures.states([236, 240, 238, 900]), [(239, 4)], "one is no state")
        self.assertEqual(figures.states([5]), [(5, 1)])

    def test_each_is_compared_with_its_own_limit(self):
        present = ["raw", "raw-mio", "raw-std", "raw-lean"]
        for peer, raw in [("openline-epoll", "raw-mio"), ("raw-mio", "raw-mio"), ("wtx", "raw"), ("openline-std", "raw-std")]:
            self.assertEqual(figures.raw_of("s1", peer, present), raw)
        self.assertIsNone(figures.raw_of("s1", "openline-epoll", ["raw"]))
        self.assertEqual(figures.raw_of("s6", "openline-epoll", ["raw-mio", "raw-lean"]), "raw-lean")
        results = {"raw": [value(2)], "raw-mio": [value(1)], "openline-epoll": [value(3)], "wtx": [value(4)]}
        table = figures.table("s1", "s1", results, SETTINGS)
        self.assertIn("*To raw*: to raw-mio for openline-epoll, and to raw for the rest.", table)
        self.assertIn("| **openline-epoll** | 3 | 3 | 3 | 3.00 | 0.75 |", table)
        self.assertIn("| wtx | 4 | 4 | 4 | 2.00 | 1.00 |", table)
        self.assertIn("| **openline-epoll** | 3 | 3 | 3 | 3.00 | 3.00 |", figures.table("s1", "", results, SETTINGS, "raw-mio"))

    def test_what_failed_has_no_figure(self):
        results = {"raw": [value(2)], "openline": [None, None], "wtx": [value(4), None]}
        table = figures.table("s1", "s1", results, SETTINGS)
        self.assertIn("Without a figure: openline.", table)
        self.assertNotIn("| **openline**", table)
        self.assertIn("| wtx | 4 |", table)
        self.assertIn("Nothing could be measured.", figures.table("s1", "s1", {"raw": [None]}, SETTINGS))

    def test_every_scenario_has_a_table(self):
        for name, results in everything().items():
            table = figures.table(name, run.SCENARIOS[name].title, results, SETTINGS).splitlines()
            head = next(at for at, line in enumerate(table) if line.startswith("| peer"))
            rows = table[head + 2:]
            self.assertEqual(len(rows), len(results))
            self.assertEqual({row.count("|") for row in rows}, {table[head].count("|")}, name)


class Chart(unittest.TestCase):
    def draw(self, measured):
        svg = chart.draw(measured, "2 cores of <this> & that.")
        return svg, xml.fromstring(svg)

    def test_every_peer_has_a_row_and_every_measurement_a_bar(self):
        measured = everything()
        svg, root = self.draw(measured)
        self.assertLess(len(svg.encode()), 40 * 1024)
        rows = {group.get("id"): group for group in root.iter(f"{SVG}g")}
        peers = {peer for results in measured.values() for peer in results if not figures.limit(peer)}
        self.assertEqual(set(rows), {peer.removesuffix("+batch") for peer in peers})
        for peer, group in rows.items():
            self.assertEqual(group.find(f"{SVG}text").text, peer)
            bars = [bar for bar in group.iter(f"{SVG}rect") if bar.get("class") in ("o", "p")]
            # What is on threads is compared where raw TCP on threads is.
            columns = [name for name, results in measured.items() if peer in results or f"{peer}+batch" in results]
            self.assertEqual(len(bars), len(columns), peer)
            self.assertEqual({bar.get("class") for bar in bars}, {"o" if figures.ours(peer) else "p"}, peer)

    def test_columns_are_known(self):
        self.assertEqual({column[0] for column in chart.COLUMNS}, set(run.SCENARIOS))

    def test_a_batch_counts_for_its_crate_where_it_is_better(self):
        results = {"raw": [value(1)], "yawc": [value(6)], "yawc+batch": [value(2)], "wtx": [value(3)]}
        rows = chart.ratios_of({"s2": results})
        self.assertEqual(rows, {"yawc": {"s2": (2, True)}, "wtx": {"s2": (3, False)}})
        results["yawc+batch"] = [value(7)]
        self.assertEqual(chart.ratios_of({"s2": results})["yawc"], {"s2": (6, False)})

    def test_equal_factors_are_equal_lengths(self):
        for value, length in [(1, 0), (2, chart.DOUBLING), (4, 2 * chart.DOUBLING), (8, 3 * chart.DOUBLING)]:
            self.assertEqual(chart.bar(value), (chart.ZERO, length))
        self.assertEqual(chart.bar(100), chart.bar(chart.MOST))
        begin, length = chart.bar(0.9)
        self.assertAlmostEqual(begin + length, chart.ZERO)
        self.assertGreaterEqual(chart.bar(0.01)[0], 0)
        # The bar and its number stay in the cell.
        self.assertLessEqual(chart.ZERO + chart.bar(100)[1] + chart.NUMBER, chart.CELL)

    def test_the_best_is_first_and_the_sum_is_right(self):
        _, root = self.draw({name: everything()[name] for name in ["s1", "s3", "l1"]})
        first = next(root.iter(f"{SVG}g")).get("id")
        self.assertTrue(figures.ours(first), first)
        said = "".join(root.itertext())
        self.assertIn("In 3 of 3 columns", said)
        self.assertIn("<this> & that", said)

    def test_it_is_drawn_again_from_what_was_kept(self):
        with tempfile.TemporaryDirectory() as directory:
            kept, picture = f"{directory}/kept.json", f"{directory}/chart.svg"
            with open(kept, "w") as file:
                json.dump({"settings": SETTINGS, "measured": everything()}, file)
            said = subprocess.check_output([sys.executable, f"{HERE}/run", "--from", kept, "--chart", picture], text=True)
            self.assertEqual(said.count("\n### ") + said.startswith("### "), len(run.SCENARIOS))
            self.assertEqual(xml.parse(picture).getroot().tag, f"{SVG}svg")


class Plan(unittest.TestCase):
    def options(self, **given):
        defaults = dict(seconds=1.0, connections=10000, rounds=None, quick=False)
        return argparse.Namespace(**(defaults | given))

    def test_it_is_said_first_how_long_it_takes(self):
        for arguments, least, most in [(["--readme"], 10, 25), ([], 20, 60), (["--quick"], 1, 5)]:
            said = subprocess.check_output([sys.executable, f"{HERE}/run", "--plan", *arguments], text=True)
            minutes = float(said.split("about ")[1].split()[0])
            self.assertTrue(least < minutes < most, said)

    def test_rounds(self):
        rounds = lambda name, **given: run.rounds_of(name, self.options(**given))
        self.assertEqual([rounds("s1"), rounds("s4"), rounds("s6")], [5, 15, 1])
        self.assertEqual([rounds("s1", rounds=9), rounds("s4", rounds=9), rounds("s6", rounds=9)], [9, 9, 1])
        self.assertEqual(rounds("s4", quick=True), 1)

    def test_the_example_must_have_what_is_asked_of_it(self):
        servers = run.Servers.__new__(run.Servers)
        servers.plain, servers.special, servers.example, servers.help = "plain", "special", "example", "--broadcast\n"
        self.assertEqual(servers.command("s7", "openline-epoll"), ["example", *run.EXAMPLE, "--deflate", "off", "--broadcast"])
        self.assertEqual(servers.command("s8t", "openline-epoll")[-2:], ["--deflate", "takeover"])
        self.assertEqual(servers.command("s8", "openline-epoll")[-2:], ["--deflate", "alone"])
        with self.assertRaises(run.Trouble):
            servers.command("s1x2", "openline-epoll")
        servers.help += "--threads N\n"
        self.assertEqual(servers.command("s1x2", "openline-epoll")[-4:], ["--deflate", "off", "--threads", "2"])
        self.assertEqual(servers.command("s8", "soketto"), ["special", "serve", "soketto", "--deflate"])
        self.assertEqual(servers.command("s1", "soketto"), ["plain", "serve", "soketto"])

    def test_a_server_that_does_not_start_leaves_no_figure(self):
        options = self.options(rate=None)
        servers = run.Servers.__new__(run.Servers)
        servers.plain = "/bin/false"
        with self.assertRaises(run.Trouble), contextlib.redirect_stderr(io.StringIO()):
            run.measure(servers, "s1", "openline", options, None, None)


if __name__ == "__main__":
    unittest.main()
