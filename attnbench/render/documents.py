"""Comparisons, rulings, plans, checks and cases as plain JSON values.

Shares are shares (0.03 is 3 %); latencies are in µs. A key never changes its meaning within a
version of a document; new keys may be added.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.analysis.running_cost import NO_PRICES, Prices, dollars_a_million

if TYPE_CHECKING:
    from attnbench.analysis.cases import CaseResult
    from attnbench.analysis.compare import CaseComparison, RunComparison
    from attnbench.analysis.gate import CaseRuling, Interleaved, Ruling
    from attnbench.analysis.selftest import Proof
    from attnbench.analysis.sides import Side
    from attnbench.analysis.tuning import Choice
    from attnbench.case import Case
    from attnbench.execute.conformance import TrialDone
    from attnbench.execute.events import CaseChecked
    from attnbench.execute.tune import Candidate
    from attnbench.planning.plan import Plan
    from attnbench.stats.difference import Array
    from attnbench.stats.latency import Latency

AB_SCHEMA_VERSION = 1


def json_text(document: Any, *, allow_nan: bool = False) -> str:
    """Return a document as indented JSON text without a final line feed.

    The error of a wrong output may be NaN, which only ``allow_nan`` writes.
    """
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=allow_nan)


def comparison_document(one: RunComparison) -> dict[str, Any]:
    """Return two sides and all their cases; what a dollar buys is included where prices are."""
    document: dict[str, Any] = {
        "base": _side(one.base),
        "new": _side(one.new),
        "ratios_only": one.ratios_only,
        "paired": one.paired,
        "differing": _differing(one),
        "ceilings": [
            {"name": what.name, "base": what.base, "new": what.new, "ratio": what.ratio}
            for what in one.ceilings
        ],
        "verdicts": dict(one.verdicts),
        "geometric_mean": {
            "ratio": one.mean.ratio,
            "n": one.mean.n,
            "missing": one.mean.missing,
        },
        "suite_shift": None if one.against is None else one.against.shift,
        "cases": [compared_case(case, one.prices) for case in one.comparisons],
    }
    if one.prices != NO_PRICES:
        document["dollars_an_hour"] = {"base": one.prices.base, "new": one.prices.new}
        document["geometric_mean"]["work_a_dollar"] = one.prices.work(one.mean.ratio)
    return document


def compared_case(case: CaseComparison, prices: Prices = NO_PRICES) -> dict[str, Any]:
    """Return one case on both sides."""
    document: dict[str, Any] = {
        "case_id": case.case_id,
        "method_id": case.facts.get("method_id"),
        "case_label": case.label,
        "backend": case.backend,
        "base_status": case.base_status,
        "new_status": case.new_status,
        "reason": case.reason,
        "base": _reading(case.base),
        "new": _reading(case.new),
        "change": case.change,
        "low": case.low,
        "high": case.high,
        "verdict": case.verdict,
        "limit": case.limit,
        "minimum_effect": case.effect,
        "kernels_changed": case.kernels_changed,
    }
    if prices != NO_PRICES:
        document["work_a_dollar"] = prices.work(case.ratio)
        document["dollars_a_million_calls"] = {
            "base": dollars_a_million(case.base, prices.base),
            "new": dollars_a_million(case.new, prices.new),
        }
    return document


def ruling_document(ruling: Ruling) -> dict[str, Any]:
    """Return a ruling of ``gate``, or of ``ab`` as NAME.ruling.json holds it (docs/ab.md)."""
    return _gate_document(ruling) if ruling.ab is None else _ab_document(ruling, ruling.ab)


def _gate_document(ruling: Ruling) -> dict[str, Any]:
    compared = ruling.compared
    return {
        "outcome": ruling.outcome,
        "mode": "history",
        "base": _side(compared.base),
        "new": _side(compared.new),
        "rule": {
            "source": ruling.rule_source,
            "max_slowdown": ruling.rule.max_slowdown,
            "min_processes": ruling.rule.min_processes,
            "inconclusive": ruling.rule.inconclusive,
        },
        "baselines": ruling.baselines,
        "baseline_age_days": ruling.age_days,
        "suite_shift": None if compared.against is None else compared.against.shift,
        "accepted": [dict(entry) for entry in ruling.accepted],
        "remarks": ruling.remarks,
        "differing": [one.text for one in compared.differing],
        "cases": [
            {
                **_judged_case(one),
                "processes_would_do": None
                if one.processes is None
                else math.isfinite(one.processes),
            }
            for one in ruling.judged
        ],
    }


def _ab_document(ruling: Ruling, ab: Interleaved) -> dict[str, Any]:
    from attnbench import __version__

    compared = ruling.compared
    return {
        "schema_version": AB_SCHEMA_VERSION,
        "kind": "attnbench ab",
        "attnbench_version": __version__,
        "outcome": ruling.outcome,
        "interrupted": ab.interrupted,
        "cut": ab.cut,
        "base": _ab_side(compared.base),
        "new": _ab_side(compared.new),
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
        "differing": _differing(compared),
        "remarks": ruling.remarks,
        "cases": [
            {
                **_judged_case(one),
                "suspect": one.case.label in ab.suspects,
                "first_rounds": _changes(ab.first[row]),
                "fresh_rounds": _changes(ab.later[row]),
            }
            for row, one in enumerate(ruling.judged)
        ],
    }


def proof_document(proof: Proof) -> dict[str, Any]:
    """Return what was planted and what the gate found."""
    return {
        "holds": proof.holds,
        "outcome_as_it_is": proof.clean.outcome,
        "outcome_planted": proof.red.outcome,
        "planted": [
            {"case_label": one.label, "slowdown": one.slowdown, "found": one.found}
            for one in proof.planted
        ],
    }


def plan_document(plan: Plan) -> dict[str, Any]:
    """Return what a run would do with every case."""
    return {
        "device": asdict(plan.device),
        "processes": plan.processes,
        "seconds": plan.seconds,
        "memory_limits": [one.to_dict() for one in plan.memory_limits],
        "cases": [
            {
                "case_id": one.case.id,
                "case_label": one.case.label,
                "backend": one.case.backend_label,
                "timer": one.method.timer,
                "l2": one.method.l2,
                "status": one.status,
                "reason": one.reason,
                "predicted_bytes": one.predicted_bytes,
                "predicted_s": one.predicted_s,
            }
            for one in plan.planned
        ],
    }


def checked_case(checked: CaseChecked) -> dict[str, Any]:
    """Return what the check of one case found."""
    return _checked(checked.case, checked)


def trial_document(done: TrialDone, repro: str) -> dict[str, Any]:
    """Return one conformance trial: what a checked case has, theme and way, and its repro."""
    return {
        **_checked(done.trial.case, done),
        "theme": done.trial.theme,
        "way": done.trial.way,
        "repro": repro,
    }


def candidate_document(one: Candidate) -> dict[str, Any]:
    """Return a tile that ``tune`` would measure, and what it compiles to."""
    return {
        "slot": str(one.slot),
        "option": one.option,
        "tile": str(one.tile),
        "shipped": one.is_shipped,
        "dropped": one.dropped,
        "cases": [trial.label for trial in one.trials],
        "resources": one.resources and asdict(one.resources),
    }


def choice_document(one: Choice) -> dict[str, Any]:
    """Return which tile ``tune`` chose for a slot, and by which rule."""
    return {
        "slot": str(one.slot),
        "problems": one.problems,
        "shipped": str(one.shipped),
        "before_us": one.before_us,
        "chosen": str(one.chosen),
        "after_us": one.after_us,
        "rule": one.rule,
        "failed": dict(one.failed),
    }


def measured_case(one: CaseResult) -> dict[str, Any]:
    """Return one case of a run with its latency and interval over processes."""
    latency = one.latency
    return {
        "case_id": one.case_id,
        "case_label": one.label,
        "backend": one.backend,
        "timing": one.timing,
        "status": one.status,
        "reason": one.reason,
        "notes": list(one.notes),
        "kernels": list(dict.fromkeys(name for row in one.rows for name in row["kernels"] or ())),
        "latency_us": None if latency is None else latency.seconds * 1e6,
        "low_us": None if latency is None or latency.low is None else latency.low * 1e6,
        "high_us": None if latency is None or latency.high is None else latency.high * 1e6,
        "processes": 0 if latency is None else latency.processes,
    }


def _checked(case: Case, found: CaseChecked | TrialDone) -> dict[str, Any]:
    return {
        "backend": case.backend_label,
        "case_id": case.id,
        "case_label": case.label,
        "status": found.status,
        "reason": found.reason,
        "notes": list(found.notes),
        "error_rel": found.error_rel,
        "error_ratio": found.error_ratio,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.name,
        "files": [str(path) for path in side.paths],
        "runs": [text.strip() for text in side.runs[1]],
        "devices": side.values("device_name"),
        "commits": side.values("git_commit"),
        "remarks": list(side.remarks),
    }


def _ab_side(side: Side) -> dict[str, Any]:
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


def _differing(one: RunComparison) -> list[dict[str, Any]]:
    return [
        {
            "kind": what.kind,
            "column": what.column,
            "base": list(what.base),
            "new": list(what.new),
        }
        for what in one.differing
    ]


def _judged_case(one: CaseRuling) -> dict[str, Any]:
    known = one.processes is not None and math.isfinite(one.processes)
    return {
        **compared_case(one.case),
        "ruling": one.ruling,
        "why": one.why,
        "processes_needed": int(one.processes) if known and one.processes is not None else None,
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
    """Return the change of each round up to the last one; None where a round has no pair."""
    import numpy as np

    known = np.flatnonzero(np.isfinite(rounds))
    last = int(known[-1]) + 1 if known.size else 0
    return [float(one) if np.isfinite(one) else None for one in np.expm1(rounds[:last])]
