"""Which cases of two sides belong together: of one problem, and alike in the options both have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from attnbench.case import Case
from attnbench.errors import InputError, NothingSelected
from attnbench.execute.ab.sides import Side
from attnbench.plugin import OptionSpec

_Options = Mapping[str, OptionSpec]
_Key = tuple[object, ...]
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Pair:
    """One case on both sides."""

    base: Case
    new: Case

    @property
    def label(self) -> str:
        """The new case's label."""
        return self.new.label


def paired(base: Side, new: Side) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """Pair the cases of two sides; and say in words what is left over.

    The suite's own backends pair with themselves. One backend pairs with that of its name on the
    other side, or else with the only one there. Where a side has several cases of a problem they
    pair by the options that both backends have; an option that one alone has is at its default.

    Raises:
        InputError: it is not clear what pairs with what.
        NothingSelected: nothing does.

    """
    olds, news = _by_backend(base.cases), _by_backend(new.cases)
    found: list[Pair] = []
    remarks = [*base.remarks, *new.remarks]
    for one, other in _backends(base, olds, new, news):
        options = (base.options.get(one, {}), new.options.get(other, {}))
        matched, left = _matched(olds[one], news[other], options)
        found += matched
        remarks += left
    if not found:
        for side in (base, new):
            _require_one_label(side)
        raise NothingSelected(
            f"{base.words} and {new.words} have no case in common",
            hint=f"such as {base.cases[0].label!r} against {new.cases[0].label!r}",
        )
    order = {case.id: place for place, case in enumerate(new.cases)}
    return tuple(sorted(found, key=lambda pair: order[pair.new.id])), tuple(remarks)


def _require_one_label(side: Side) -> None:
    labels = list(dict.fromkeys(case.backend_label for case in side.cases))
    if not side.whole and len(labels) > 1:
        raise InputError(
            f"{side.words} stands for {len(labels)} labels of this suite: {', '.join(labels)}",
            hint="name one of them",
        )


def _by_backend(cases: Iterable[Case]) -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = {}
    for case in cases:
        found.setdefault(case.backend, []).append(case)
    return found


def _backends(
    base: Side, olds: Mapping[str, object], new: Side, news: Mapping[str, object]
) -> list[tuple[str, str]]:
    """Which backend of the base pairs with which of the new side."""
    common = [name for name in olds if name in news]
    if common:
        return [(name, name) for name in common]
    if base.whole and new.whole:
        return []
    for side, names in ((base, olds), (new, news)):
        if len(names) > 1:
            raise InputError(
                f"{side.words} stands for {len(names)} backends: {', '.join(names)}",
                hint="name the one that shall be compared with the other side",
            )
    return [(next(iter(olds)), next(iter(news)))]


def _matched(
    olds: Sequence[Case], news: Sequence[Case], options: tuple[_Options, _Options]
) -> tuple[list[Pair], list[str]]:
    """Pair the cases of one backend with those of one backend."""
    labels = [{case.backend_label for case in cases} for cases in (olds, news)]
    alone = all(len(one) == 1 for one in labels)
    shared = sorted(set(options[0]) & set(options[1]))
    old_keys, new_keys = (
        _keyed(cases, own, [] if alone else shared, alone=alone)
        for cases, own in zip((olds, news), options, strict=True)
    )
    pairs = [Pair(case, new_keys[key]) for key, case in old_keys.items() if key in new_keys]
    there = {pair.base.id for pair in pairs}, {pair.new.id for pair in pairs}
    left = []
    for cases, ids, word in ((olds, there[0], "base"), (news, there[1], "new")):
        lone = [case for case in cases if case.id not in ids]
        if lone:
            named = ", ".join(dict.fromkeys(case.backend_label for case in lone[:_SHOWN]))
            left.append(f"{len(lone)} of {word} have no partner: {named}")
    return pairs, left


def _keyed(
    cases: Iterable[Case], options: _Options, shared: Sequence[str], *, alone: bool
) -> dict[_Key, Case]:
    """Cases by problem and the values of the shared options, which tell all of them apart."""
    found: dict[_Key, Case] = {}
    for case in cases:
        own = dict(case.options)
        if not alone and any(name not in shared for name in own):
            continue
        values = (own.get(name, options[name].default) for name in shared)
        found[(case.problem.id, *values)] = case
    return found
