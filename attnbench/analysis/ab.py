"""The rule on two interleaved sides: all cases are screened, and suspects are confirmed.

It reads the two result files of ``attnbench ab`` and nothing else, so a ruling can be repeated
from them. Cases of the two sides are pairs by the list in the files' footer; process n of
either side is round n, and the rounds from ``screen_rounds`` on measure only the suspects.

Everything else is as for ``attnbench gate``: fail, inconclusive or pass, by the same limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.analysis import comparability
from attnbench.analysis.compare import RunComparison, Source
from attnbench.analysis.comparison import CaseComparison, Matched, comparisons_of, facts, matched
from attnbench.analysis.gate import (
    FAIL,
    INCONCLUSIVE,
    LISTED,
    LOST,
    PASS,
    CaseRuling,
    Interleaved,
    Ruling,
)
from attnbench.analysis.machine import CanaryShift, canary_shifts, machine_states
from attnbench.analysis.sides import Side, load_side
from attnbench.errors import NothingSelected, ResultFileError
from attnbench.stats.decision import (
    FASTER,
    SLOWER,
    UNCLEAR,
    confirm,
    minimum_effect,
    processes_needed,
    screen,
)
from attnbench.stats.difference import Array, Difference
from attnbench.stats.latency import MeanRatio
from attnbench.suite import Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rule_ab"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """What the rounds say; every array has a case a row.

    ``first`` and ``later`` are differences [case, round] of the screening and after it, ``rounds``
    how many of them a case is judged by. ``difference`` and ``words`` are those that count.
    """

    limits: Array
    first: Array
    later: Array
    suspects: NDArray[np.bool_]
    rounds: NDArray[np.int64]
    difference: Difference
    words: list[str]


def rule_ab(
    base: Source, new: Source, rule: Gate, rule_source: str, *, cut: str | None = None
) -> Ruling:
    """Rule on the two files of one ``ab``; ``cut`` says what ended it before its time.

    Raises:
        ResultFileError: a file cannot be read, or the two are not of one ``ab``.
        NothingSelected: no case is ok in the base.

    """
    old, now = load_side(base), load_side(new)
    header = _header(old, now)
    screen_rounds = int(header["screen_rounds"])
    old, now = replace(old, name=header["base"]), replace(now, name=header["new"])
    one, other = matched([old, _renamed(now, header["pairs"])])
    texts = _texts(one, other, header["pairs"])
    found = _evidence(one, other, rule, texts, screen_rounds)
    comparisons = _comparisons(one, other, texts, found)
    judged = _judged(comparisons, found, rule, cut)
    if all(judgement.ruling == LISTED for judgement in judged):
        raise _nothing_ok(old)
    compared = RunComparison(
        base=old,
        new=now,
        comparisons=comparisons,
        differing=comparability.differences(old, now),
        ceilings=(),
        mean=_mean(found.difference, judged),
        paired=True,
        ratios_only=False,
        difference=found.difference,
        against=None,
        processes=_judged_by(one, other, found.suspects, screen_rounds),
    )
    rulings = {judgement.ruling for judgement in judged}
    return Ruling(
        outcome=next((word for word in (FAIL, INCONCLUSIVE) if word in rulings), PASS),
        judged=judged,
        compared=compared,
        rule=rule,
        rule_source=rule_source,
        baselines=1,
        age_days=None,
        accepted=(),
        ab=_interleaved(compared, found, screen_rounds, cut),
    )


def _nothing_ok(base: Side) -> NothingSelected:
    row = base.table.select(["case_label", "status", "reason"]).slice(0, 1).to_pylist()[0]
    reason = (row["reason"] or "").partition("\n")[0]
    return NothingSelected(
        f"no case of the base ({base.name}) is ok, so there is nothing to rule on\n"
        f"  {row['status']}: {row['case_label']}: {reason}",
        hint=f"see all: attnbench show {base.paths[0]}",
    )


def _interleaved(
    compared: RunComparison, found: _Evidence, screen_rounds: int, cut: str | None
) -> Interleaved:
    flagged = zip(compared.comparisons, found.suspects, strict=True)
    ratio = compared.mean.ratio
    return Interleaved(
        words=(compared.base.name, compared.new.name),
        planned=screen_rounds,
        rounds=_most(found.first),
        fresh=_most(found.later),
        suspects=tuple(case.label for case, is_one in flagged if is_one),
        first=found.first,
        later=found.later,
        shift=None if ratio is None else ratio - 1,
        canaries=_canaries(compared.base, compared.new),
        cut=cut,
    )


def _canaries(base: Side, new: Side) -> tuple[CanaryShift, ...]:
    states = [machine_states(side.metadata[0]) for side in (base, new)]
    return canary_shifts(states[0][0], states[1][0]) if all(states) else ()


def _header(base: Side, new: Side) -> dict[str, Any]:
    """What the footers say of the ``ab``, after looking that both are of the same."""
    found = []
    for side, role in ((base, "base"), (new, "new")):
        header = (side.metadata[0] if side.metadata else {}).get("ab") or {}
        if header.get("side") != role:
            raise ResultFileError(
                f"{side.paths[0]} is not the {role} side of an attnbench ab",
                hint="two runs of their own are compared with: attnbench compare, attnbench gate",
            )
        found.append({**header, "run_id": side.metadata[0].get("run_id")})
    if found[0]["run_id"] != found[1]["run_id"]:
        raise ResultFileError(f"{base.paths[0]} and {new.paths[0]} are of two different ab")
    return found[1]


def _renamed(side: Side, pairs: Sequence[Sequence[str]]) -> Side:
    """The new side under the base's case ids, by which both are matched."""
    import pyarrow as pa

    names = {one[1]: one[0] for one in pairs}
    ids = [names.get(one, one) for one in side.table["case_id"].to_pylist()]
    place = side.table.column_names.index("case_id")
    return replace(side, table=side.table.set_column(place, "case_id", pa.array(ids)))


def _texts(one: Matched, other: Matched, pairs: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """What is known of each case, under the new side's own id."""
    names = {one[0]: one[1] for one in pairs}
    wanted = [name for name in one.side.table.column_names if name not in ("notes", "kernels")]
    return [
        {**text, "case_id": names.get(text["case_id"], text["case_id"])}
        for text in facts(one, other, wanted)
    ]


def _limits(rule: Gate, texts: Sequence[dict[str, Any]]) -> Array:
    from attnbench.analysis.cases import row_fields

    return np.array([rule.limit_for(row_fields(text)) for text in texts])


def _rounds(one: Matched, other: Matched, screen_rounds: int) -> tuple[Array, Array]:
    """Differences [case, round] of the screening, and of the rounds after it."""
    base, new = one.log[0], other.log[0]
    width = max(base.shape[1], new.shape[1], screen_rounds)
    gaps = _wide(new, width) - _wide(base, width)
    return gaps[:, :screen_rounds], gaps[:, screen_rounds:]


def _wide(log: Array, width: int) -> Array:
    return np.pad(log, ((0, 0), (0, width - log.shape[1])), constant_values=np.nan)


def _evidence(
    one: Matched,
    other: Matched,
    rule: Gate,
    texts: Sequence[dict[str, Any]],
    screen_rounds: int,
) -> _Evidence:
    """Make both stages again from the rounds. Whatever got fresh ones is judged by them.

    Of fewer rounds than the rule asks for nothing is called slower or faster.
    """
    limits = _limits(rule, texts)
    first, later = _rounds(one, other, screen_rounds)
    screened = screen(first, limits)
    suspects = screened.suspects | np.isfinite(later).any(axis=1)
    screened = replace(screened, suspects=suspects)
    difference, words = confirm(screened, later[suspects], limits)
    rounds = np.where(suspects, *(np.isfinite(part).sum(axis=1) for part in (later, first)))
    few = rounds < rule.min_processes
    return _Evidence(
        limits=limits,
        first=first,
        later=later,
        suspects=suspects,
        rounds=rounds,
        difference=difference,
        words=[
            UNCLEAR if is_few and word in (SLOWER, FASTER) else word
            for word, is_few in zip(words, few, strict=True)
        ],
    )


def _comparisons(
    one: Matched, other: Matched, texts: Sequence[dict[str, Any]], found: _Evidence
) -> tuple[CaseComparison, ...]:
    """Each case with the verdict of its stage and the smallest effect that this stage finds."""
    difference, limits, suspects = found.difference, found.limits, found.suspects
    cases = comparisons_of(one, other, texts, difference, limits, ratios_only=False)
    known = np.isfinite(difference.se)
    families = (int((known & suspects).sum()), int(known.sum()))
    effects = np.where(
        suspects,
        *(minimum_effect(difference, limits, family=family) for family in families),
    )
    return tuple(
        replace(
            case,
            verdict=None if case.verdict is None else word,
            effect=float(effect) if case.verdict is not None and np.isfinite(effect) else None,
        )
        for case, word, effect in zip(cases, found.words, effects, strict=True)
    )


def _judged(
    cases: Sequence[CaseComparison], found: _Evidence, rule: Gate, cut: str | None
) -> tuple[CaseRuling, ...]:
    needed = processes_needed(found.difference, found.limits)
    return tuple(
        _judge(case, float(wanted), int(rounds), rule, suspect=bool(suspect), cut=cut)
        for case, wanted, rounds, suspect in zip(
            cases, needed, found.rounds, found.suspects, strict=True
        )
    )


def _judge(
    case: CaseComparison, needed: float, rounds: int, rule: Gate, *, suspect: bool, cut: str | None
) -> CaseRuling:
    """What the gate makes of a case, as ``analysis.gate`` does of one against baselines."""
    lost = f"{case.new_status}: {(case.reason or '').partition(chr(10))[0]}".rstrip(": ")
    if case.base_status != "ok":
        return CaseRuling(case=case, ruling=LISTED)
    if case.new is None:
        return CaseRuling(
            case=case, ruling=FAIL if case.new_status in LOST else INCONCLUSIVE, why=lost
        )
    if case.verdict == SLOWER:
        return CaseRuling(case=case, ruling=FAIL, why="slower")
    why, enough = "", float(rule.min_processes)
    if rounds < rule.min_processes:
        why = f"{rounds} of {rule.min_processes} rounds"
        if suspect:
            why = f"may be slower, and had {why} that would tell" + (f" ({cut})" if cut else "")
    elif case.high is None or case.high > case.limit:
        why, enough = "interval too wide", needed
    if why:
        # Of a suspect's processes those of the screening do not count.
        processes = enough + case.new.processes - rounds
        return CaseRuling(case=case, ruling=INCONCLUSIVE, why=why, processes=processes)
    return CaseRuling(case=case, ruling=PASS)


def _mean(difference: Difference, judged: Sequence[CaseRuling]) -> MeanRatio:
    """The change of all pairs together, each by the rounds that it is judged by."""
    known = difference.estimate[np.isfinite(difference.estimate)]
    ratio = float(np.exp(known.mean())) if known.size else None
    ruled = sum(one.ruling != LISTED for one in judged)
    return MeanRatio(ratio=ratio, n=int(known.size), missing=max(0, ruled - int(known.size)))


def _judged_by(
    one: Matched, other: Matched, suspects: NDArray[np.bool_], screen_rounds: int
) -> tuple[Array, Array]:
    """Return both sides' log latencies [case, round]; of suspects only the fresh rounds."""
    width = max(one.log[0].shape[1], other.log[0].shape[1])
    counts = np.where(suspects[:, None], np.arange(width) >= screen_rounds, True)  # noqa: FBT003
    base, new = (np.where(counts, _wide(side.log[0], width), np.nan) for side in (one, other))
    return base, new


def _most(rounds: Array) -> int:
    """The most rounds that any case has both sides of."""
    return int(np.isfinite(rounds).sum(axis=1).max(initial=0))
