"""How often a rule is wrong: red on unchanged code, and slowdowns found, on simulated suites.

A suite has 200 cases and a budget of 200 calls a side and case, in processes of 20 calls. In a
planted suite ten cases are slower. `ab` spends eight rounds on all cases and the rest on suspects;
history mode has ten processes in each of its runs.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu

from attnbench.stats.decision import confirm, confirm_rounds, screen, verdicts
from attnbench.stats.difference import centre
from attnbench.stats.history import against_baselines

SPEC = importlib.util.spec_from_file_location("gate_noise", Path(__file__).with_name("noise.py"))
noise = importlib.util.module_from_spec(SPEC)
sys.modules["gate_noise"] = noise
SPEC.loader.exec_module(noise)

CASES, SLOWED = 200, 10
LIMIT = 0.02
ROUNDS, PROCESSES = 8, 10
LEFT = CASES * (200 // noise.SAMPLES - ROUNDS)  # case-rounds that a confirmation may spend
PEERS = ("fixed 5% of one run", "Mann-Whitney .05", "pytest-benchmark mean:5%")


@dataclass
class Counts:
    """What one rule did in many suites of one regime and one planted slowdown."""

    red: list[bool] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    false: list[bool] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    same: list[bool] = field(default_factory=list)

    def add(self, flagged, slowed, interval=None, words=None):
        flagged, is_slow = np.asarray(flagged), slowed > 0
        self.red.append(bool(flagged[~is_slow].any()))
        self.found += flagged[is_slow].tolist()
        self.false += flagged[~is_slow].tolist()
        if interval is not None:
            self.held += ((interval[0] <= slowed) & (slowed <= interval[1])).tolist()
        if words is not None:
            self.same += [word == "same" for word in words]


def suites(regime, slowdown, count, seed):
    """Yield machines, each with its log slowdowns."""
    rng = np.random.default_rng([seed, round(slowdown * 1000)])
    for _ in range(count):
        slowed = np.zeros(CASES)
        slowed[rng.choice(CASES, SLOWED, replace=False)] = np.log1p(slowdown)
        yield noise.Machine(noise.REGIMES[regime], CASES, rng), slowed


def ab(regime, slowdown, count, seed=7):
    """Interleaved rounds, screened and confirmed."""
    count = Counts()
    for machine, slowed in suites(regime, slowdown, count, seed):
        screened = screen(noise.rounds(machine, ROUNDS, slowed), LIMIT)
        suspects = screened.suspects
        rounds = confirm_rounds(int(suspects.sum()), LEFT)
        fresh = np.empty((0, 0))
        if rounds:
            fresh = noise.rounds(machine, rounds, slowed, only=suspects)
        _, words = confirm(screened, fresh, LIMIT)
        # Coverage is that of all cases before any was picked for being far off.
        first = screened.difference
        flagged = [word == "slower" for word in words]
        count.add(flagged, slowed, (first.low, first.high), words)
    return count


def history(regime, slowdown, count, baselines, seed=7):
    """A run against stored ones, each in a session of its own."""
    count = Counts()
    for machine, slowed in suites(regime, slowdown, count, seed):
        runs = [run_of(machine) for _ in range(baselines)]
        found = against_baselines(runs, run_of(machine, slowed)).difference
        words = verdicts(found, LIMIT)
        flagged = [word == "slower" for word in words]
        count.add(flagged, slowed, (found.low, found.high), words)
    return count


def peers(regime, slowdown, count, seed=7):
    """What other rules say of one stored run and a new one, from the same machines."""
    counts = {name: Counts() for name in PEERS}
    for machine, slowed in suites(regime, slowdown, count, seed):
        processes = range(PROCESSES)
        base = machine.session(PROCESSES).processes(processes)
        new = machine.session(PROCESSES).processes(processes, slowed)
        gap = np.exp(new.mean(axis=1) - base.mean(axis=1)) - 1
        counts[PEERS[0]].add(gap > 0.05, slowed)
        p = mannwhitneyu(new, base, axis=1).pvalue
        counts[PEERS[1]].add((p < 0.05) & (gap > 0), slowed)
        means = [
            machine.session(1).samples([0], one, PROCESSES * noise.SAMPLES).mean(axis=2)[:, 0]
            for one in (0.0, slowed)
        ]
        counts[PEERS[2]].add(means[1] / means[0] > 1.05, slowed)
    return counts


def run_of(machine, slowed=0.0):
    """One run in a session of its own, as the gate sees it."""
    processes = machine.session(PROCESSES).processes(range(PROCESSES), slowed)
    return centre(processes, fewest=5)


def table(count, *, regimes=tuple(noise.REGIMES), with_peers=True):
    """Every rule in every regime: rows of regime, rule and the counts at 0, 3 and 5 %."""
    slowdowns = (0.0, 0.03, 0.05)
    rows = []
    for regime in regimes:
        rows.append((regime, "ab", [ab(regime, one, count) for one in slowdowns]))
        for baselines in (20, 1):
            counts = [history(regime, one, max(count // 2, 1), baselines) for one in slowdowns]
            name = f"gate, {baselines} baseline{'s' if baselines > 1 else ''}"
            rows.append((regime, name, counts))
        if with_peers:
            found = [peers(regime, one, max(count // 2, 1)) for one in slowdowns]
            rows += [(regime, name, [one[name] for one in found]) for name in PEERS]
    return rows


def markdown(rows, count):
    """The table as a page."""
    lines = [
        "# How often the gate is wrong",
        "",
        f"Simulated suites of {CASES} cases, max_slowdown 2 %, {count} suites a cell for `ab` and",
        f"{max(count // 2, 1)} for the others; ten cases are slower in planted ones. Red is the",
        "share of unchanged suites that failed; power the share of slowed cases that were found;",
        "coverage that of the 95 % intervals, same the share of unchanged cases proven the same.",
        "",
        "| regime | rule | red % | power at 3 % | power at 5 % | coverage % | same % |",
        "|:--|:--|--:|--:|--:|--:|--:|",
    ]
    for regime, name, (unchanged, three, five) in rows:
        cells = (
            percent(unchanged.red),
            percent(three.found),
            percent(five.found),
            percent(unchanged.held),
            percent(unchanged.same),
        )
        lines.append(f"| {regime} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def percent(flags):
    """A share as text; nothing where nothing was asked."""
    return f"{100 * np.mean(flags):.1f}" if flags else ""
