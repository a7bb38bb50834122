"""A ruling of ``ab`` as plain JSON values: what ``NAME.ruling.json`` holds (docs/ab.md)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from attnbench import __version__
from attnbench.analysis.gate import CaseRuling, Ruling
from attnbench.analysis.interleaved import Interleaved
from attnbench.analysis.sides import Side
from attnbench.stats.difference import Array
from attnbench.stats.latency import Latency

SCHEMA_VERSION = 1


def ruling_facts(ruling: Ruling) -> dict[str, Any]:
    """What was compared, by which rule, and what came of each case.

    Shares are shares (0.03 is 3 %), latencies are in µs. New keys may be added in a version; a key
    never changes its meaning.
    """
    ab, compared = ruling.ab, ruling.compared
    assert ab is not None, "a ruling of gate has facts of its own"
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "attnbench ab",
        "attnbench_version": __version__,
        "outcome": ruling.outcome,
        "interrupted": ab.interrupted,
        "cut": ab.cut,
        "base": _side(compared.base),
        "new": _side(compared.new),
        "rule": {
            "source": ruling.rule_source,
            "max_slowdown": ruling.rule.max_slowdown,
            "min_rounds": ruling.rule.min_processes,
            "inconclusive": ruling.rule.inconclusive,
        },
        "rounds": {
            "planned": ab.planned,
            "all_cases": ab.rounds,
            "suspects": len(ab.suspects),
            "fresh": ab.fresh,
        },
        "suite_shift": ab.shift,
        "canaries": [one.to_dict() for one in ab.canaries],
        "verdicts": dict(compared.verdicts),
        "differing": [
            {"kind": one.kind, "column": one.column, "base": list(one.base), "new": list(one.new)}
            for one in compared.differing
        ],
        "remarks": ruling.remarks,
        "cases": [_judged(one, row, ab) for row, one in enumerate(ruling.judged)],
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "side": side.name,
        "file": Path(side.paths[0]).name,
        "run_id": next(iter(side.values("run_id")), None),
        "backends": side.values("backend_label"),
        "commits": side.values("git_commit"),
        "device": side.values("device_name"),
        "python": side.values("python"),
        "torch": side.values("torch_version"),
        "triton": side.values("triton_version"),
    }


def _judged(one: CaseRuling, row: int, ab: Interleaved) -> dict[str, Any]:
    case, processes = one.case, one.processes
    known = processes is not None and math.isfinite(processes)
    return {
        "case_id": case.case_id,
        "method_id": case.facts.get("method_id"),
        "case_label": case.label,
        "backend": case.backend,
        "ruling": one.ruling,
        "why": one.why,
        "base_status": case.base_status,
        "new_status": case.new_status,
        "reason": case.reason,
        "base": _reading(case.base),
        "new": _reading(case.new),
        "suspect": case.label in ab.suspects,
        "change": case.change,
        "low": case.low,
        "high": case.high,
        "verdict": case.verdict,
        "limit": case.limit,
        "minimum_effect": case.effect,
        "processes_needed": int(processes) if known and processes is not None else None,
        "first_rounds": _changes(ab.first[row]),
        "fresh_rounds": _changes(ab.later[row]),
    }


def _reading(one: Latency | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "latency_us": one.seconds * 1e6,
        "half_width": one.half_width,
        "processes": one.processes,
    }


def _changes(rounds: Array) -> list[float | None]:
    """Each round's change, None where it has no pair; without the rounds that nobody reached."""
    known = np.flatnonzero(np.isfinite(rounds))
    last = int(known[-1]) + 1 if known.size else 0
    return [float(one) if np.isfinite(one) else None for one in np.expm1(rounds[:last])]
