"""A comparison as plain JSON values, for `compare --json` and `gate --json` alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnbench.analysis.dollars import NO_PRICES, Prices, dollars_a_million

if TYPE_CHECKING:
    from attnbench.analysis.compare import CaseComparison, RunComparison
    from attnbench.analysis.sides import Side
    from attnbench.stats.latency import Latency


def compared_facts(one: RunComparison) -> dict[str, Any]:
    """Two sides and all their cases; shares are shares (0.03), latencies are in µs.

    What a dollar buys is there where ``--price`` was given.
    """
    facts: dict[str, Any] = {
        "base": side_facts(one.base),
        "new": side_facts(one.new),
        "ratios_only": one.ratios_only,
        "paired": one.paired,
        "differing": [
            {
                "kind": what.kind,
                "column": what.column,
                "base": list(what.base),
                "new": list(what.new),
            }
            for what in one.differing
        ],
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
        "cases": [case_facts(case, one.prices) for case in one.comparisons],
    }
    if one.prices != NO_PRICES:
        facts["dollars_an_hour"] = {"base": one.prices.base, "new": one.prices.new}
        facts["geometric_mean"]["work_a_dollar"] = one.prices.work(one.mean.ratio)
    return facts


def side_facts(side: Side) -> dict[str, Any]:
    """What a side is: files, runs, device."""
    return {
        "name": side.name,
        "files": [str(path) for path in side.paths],
        "runs": [text.strip() for text in side.runs[1]],
        "devices": side.values("device_name"),
        "commits": side.values("git_commit"),
        "remarks": list(side.remarks),
    }


def case_facts(case: CaseComparison, prices: Prices = NO_PRICES) -> dict[str, Any]:
    """One case on both sides."""
    facts: dict[str, Any] = {
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
        facts["work_a_dollar"] = prices.work(case.ratio)
        facts["dollars_a_million_calls"] = {
            "base": dollars_a_million(case.base, prices.base),
            "new": dollars_a_million(case.new, prices.new),
        }
    return facts


def _reading(one: Latency | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "latency_us": one.seconds * 1e6,
        "half_width": one.half_width,
        "processes": one.processes,
    }
