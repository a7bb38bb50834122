"""What is asked of ``ab``, and where its three files go."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from attnbench.environment import Device
from attnbench.errors import InputError, NameTakenError, NothingSelected
from attnbench.execute.ab.pairs import Pair
from attnbench.execute.ab.sides import Asked
from attnbench.execute.request import RESULTS, device_word
from attnbench.filter import case_fields, parse
from attnbench.store.journal import journal_path
from attnbench.suite import Gate, Suite

ROUNDS = 8  # the fewest from which the worst may be trimmed


@dataclass(frozen=True, slots=True, kw_only=True)
class AbRequest:
    """Two sides of a suite, measured in alternating processes.

    ``base`` and ``new`` are SIDE words (see ``sides``); None is the suite as it is. ``confirm`` is
    how many fresh rounds suspects get, None what their number suggests.
    """

    asked: Asked
    base: str | None
    new: str | None
    device: str = "auto"
    filter: str | None = None
    rounds: int = ROUNDS
    confirm: int | None = None
    budget_s: float | None = None
    max_slowdown: float | None = None
    inconclusive: str | None = None
    name: str | None = None
    out: Path | None = None
    seed: int = 0
    run_args: str = "{}"
    repro: str = ""
    folder: Path = field(default=RESULTS)

    def rule(self, suite: Suite) -> tuple[Gate, str]:
        """Return the limits that hold, and where they are from.

        Raises:
            InputError: there are none.

        """
        rule, source = suite.gate, f"the suite {suite.name}"
        if self.max_slowdown is not None:
            rule = replace(rule, max_slowdown=self.max_slowdown, given=True)
            source = "--max-slowdown" + (" and the suite's limits of cases" if rule.limits else "")
        if not rule.given:
            raise InputError(
                f"there is no limit: the suite {suite.name} has no gate, and none was named",
                hint="say how much slower is too slow: --max-slowdown 3%",
            )
        if self.inconclusive is not None:
            rule = replace(rule, inconclusive=self.inconclusive)
        return rule, source

    def selected(self, pairs: tuple[Pair, ...], suites: tuple[Suite, Suite]) -> tuple[Pair, ...]:
        """Keep the pairs where ``filter`` matches either case.

        Raises:
            InputError: a filter that cannot be read.
            NothingSelected: it picks none.

        """
        if self.filter is None:
            return pairs
        options = {name for suite in suites for name in suite.options}
        chosen = parse(self.filter, extra=options)
        kept = tuple(
            pair
            for pair in pairs
            if any(chosen.matches(case_fields(case)) for case in (pair.base, pair.new))
        )
        if not kept:
            raise NothingSelected(f"nothing to run: {self.filter!r} picks none of {len(pairs)}")
        return kept

    def stem(self, suite: Suite, device: Device) -> Path:
        """The path that the three files begin with."""
        if self.out is not None:
            return self.out
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        return self.folder / (self.name or f"{suite.name}-ab-{device_word(device)}-{stamp}")


def result_of(stem: Path, role: str) -> Path:
    """``NAME.base.parquet``."""
    return stem.with_name(f"{stem.name}.{role}.parquet")


def ruling_of(stem: Path) -> Path:
    """``NAME.ruling.json``."""
    return stem.with_name(f"{stem.name}.ruling.json")


def refuse_taken(stem: Path, roles: tuple[str, ...]) -> None:
    """Say that one of the three files is there already.

    Raises:
        NameTakenError: it names the file.

    """
    results = [result_of(stem, role) for role in roles]
    for path in (*results, *map(journal_path, results), ruling_of(stem)):
        if path.exists():
            raise NameTakenError(
                f"{path} exists already", hint="choose another name with --name or --out"
            )
