"""Who is fastest on each problem, where that is a tie, and the verdict in words.

A win is a tie when it is under 2 % or when the intervals between processes overlap. Where a case
has too few processes for an interval, only the 2 % rule decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from attnbench.report.points import Point, drawn
from attnbench.stats.latency import is_tie
from attnbench.units import count_text, counted, time_text

_MOST_RULES = 8
_MOST_SENTENCES = 4  # of more runs the wins are counted together


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ok points of one problem in one run under one timing, the fastest first."""

    points: tuple[Point, ...]

    @property
    def best(self) -> Point:
        """The fastest; the winner only where ``winner`` says so."""
        return self.points[0]

    @property
    def has_one_backend(self) -> bool:
        """Whether only one backend finished: no win."""
        return len(self.points) == 1

    @property
    def margin(self) -> float | None:
        """How much longer the second takes, as a share."""
        if self.has_one_backend:
            return None
        return self.points[1].seconds / self.best.seconds - 1

    @property
    def tied(self) -> tuple[str, ...]:
        """The backends that tie with the fastest, itself included."""
        return (self.best.backend, *(p.backend for p in self.points[1:] if ties(self.best, p)))

    @property
    def winner(self) -> str | None:
        """The one that is faster than all others; None where it is the only one or tied."""
        return None if self.has_one_backend or len(self.tied) > 1 else self.best.backend


def ties(best: Point, other: Point) -> bool:
    """Whether a win is too small, or the two intervals between processes overlap."""
    assert best.latency is not None and other.latency is not None  # noqa: PT018
    return is_tie(best.latency, other.latency)


def rankings(points: Sequence[Point]) -> list[Ranking]:
    """Gather the points of each problem."""
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in drawn(points):
        key = (point.run, point.row["problem_id"] or point.case.problem, point.case.timing)
        groups.setdefault(key, []).append(point)
    return [Ranking(tuple(sorted(one, key=lambda p: p.seconds))) for one in groups.values()]


def verdict(points: Sequence[Point], found: Sequence[Ranking]) -> str:
    """A sentence a run: who is fastest, in which phase, how often."""
    runs = list(dict.fromkeys(point.run for point in points))
    if 1 < len(runs) <= _MOST_SENTENCES:
        said = []
        for run in runs:
            text = verdict(
                [point for point in points if point.run == run],
                [one for one in found if one.best.run == run],
            )
            said.append(f"{run}: {text[0].lower()}{text[1:]}")
        return " ".join(said)
    if not found:
        return f"Nothing can be compared: {_statuses(points)}."
    held = [one for one in found if not one.has_one_backend]
    if not held:
        backends = sorted({one.best.backend for one in found})
        times = [point.seconds for one in found for point in one.points]
        span = time_text(min(times))
        if max(times) > min(times):
            span += f" to {time_text(max(times))}"
        if len(backends) == 1:
            return f"Only {backends[0]} was measured: {counted(len(found), 'problem')}, {span}."
        return (
            f"No two backends finished the same problem: {len(backends)} backends on "
            f"{counted(len(found), 'problem')}, {span}."
        )
    sentences = [_of_phase(phase, members) for phase, members in _by_phase(held)]
    text = "; ".join(sentences)
    return f"{text[0].upper()}{text[1:]}."


def rules(found: Sequence[Ranking]) -> list[str]:
    """``decode: naive below 2k, sdpa from 2k on``, where the length decides."""
    runs = list(dict.fromkeys(one.best.run for one in found))
    if len(runs) > 1:
        each = [(run, rules([one for one in found if one.best.run == run])) for run in runs]
        return [f"{run}, {line}" for run, lines in each for line in lines][:_MOST_RULES]
    lines = []
    for phase, members in _by_phase([one for one in found if not one.has_one_backend]):
        stretches = list(_stretches(members))
        if 1 < len(stretches) <= 4:  # noqa: PLR2004  more is no rule
            parts = [_stretch_text(first, last, who) for first, last, who in stretches]
            lines.append(f"{phase}: {', '.join(parts)}")
    return lines


def _of_phase(phase: str, members: Sequence[Ranking]) -> str:
    wins = Counter(one.winner for one in members if one.winner)
    tied = sum(1 for one in members if one.winner is None)
    if not wins:
        if len(members) == 1:
            return f"in {phase} the only problem is a tie"
        return f"in {phase} all {counted(len(members), 'problem')} are ties"
    total = counted(len(members), "problem")
    if 2 * tied > len(members):
        won = ", ".join(f"{who} in {number}" for who, number in wins.most_common(3))
        return f"in {phase} {tied} of {total} are ties (fastest: {won})"
    (leader, count), *others = wins.most_common()
    more = [f"{who} in {number}" for who, number in others[:3]]
    if len(others) > 3:  # noqa: PLR2004
        more.append(f"{counted(len(others) - 3, 'other')} in {sum(n for _, n in others[3:])}")
    if tied:
        more.append("1 is a tie" if tied == 1 else f"{tied} are ties")
    rest = f" ({', '.join(more)})" if more else ""
    return f"in {phase} {leader} is fastest in {count} of {total}{rest}"


def _by_phase(found: Sequence[Ranking]) -> Iterator[tuple[str, list[Ranking]]]:
    groups: dict[str, list[Ranking]] = {}
    for one in found:
        groups.setdefault(one.best.phase, []).append(one)
    yield from groups.items()


def _stretches(members: Sequence[Ranking]) -> Iterator[tuple[int, int, str]]:
    """Yield adjacent lengths where the same backend wins more than half of the problems."""
    by_length: dict[int, list[str | None]] = {}
    for one in members:
        if one.best.length is not None:
            by_length.setdefault(one.best.length, []).append(one.winner)
    before: tuple[int, int, str] | None = None
    for length in sorted(by_length):
        winners = by_length[length]
        who, count = Counter(winners).most_common(1)[0]
        name = who if who is not None and 2 * count > len(winners) else "no clear winner"
        if before is not None and before[2] == name:
            before = (before[0], length, name)
            continue
        if before is not None:
            yield before
        before = (length, length, name)
    if before is not None:
        yield before


def _stretch_text(first: int, last: int, who: str) -> str:
    where = (
        f"at {count_text(first)}" if first == last else f"{count_text(first)} to {count_text(last)}"
    )
    return f"{who} {where}"


def _statuses(points: Sequence[Point]) -> str:
    statuses = Counter(one.case.status for one in points)
    return ", ".join(f"{counted(n, 'case')} {status}" for status, n in statuses.most_common())
