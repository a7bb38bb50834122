"""A ruling as plain JSON values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attnbench.cli.compare_json import case_facts, side_facts

if TYPE_CHECKING:
    from attnbench.analysis.gate import CaseRuling, Ruling
    from attnbench.analysis.selftest import Proof


def ruling_facts(ruling: Ruling) -> dict[str, Any]:
    """What the gate says of each case and of the run."""
    compared = ruling.compared
    return {
        "outcome": ruling.outcome,
        "mode": "history",
        "base": side_facts(compared.base),
        "new": side_facts(compared.new),
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
        "cases": [_judged(one) for one in ruling.judged],
    }


def proof_facts(proof: Proof) -> dict[str, Any]:
    """What was planted, and what was found."""
    return {
        "holds": proof.holds,
        "outcome_as_it_is": proof.clean.outcome,
        "outcome_planted": proof.red.outcome,
        "planted": [
            {"case_label": one.label, "slowdown": one.slowdown, "found": one.found}
            for one in proof.planted
        ],
    }


def _judged(one: CaseRuling) -> dict[str, Any]:
    processes = one.processes
    known = processes is not None and math.isfinite(processes)
    return {
        **case_facts(one.case),
        "ruling": one.ruling,
        "why": one.why,
        "processes_needed": int(processes) if known and processes is not None else None,
        "processes_would_do": None if processes is None else known,
    }
