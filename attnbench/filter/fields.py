"""The fields that a filter may name, what each may say, and the word that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

from attnbench.case import Case, backend_label
from attnbench.problem import CHOICES, FIELDS, PHASES, PROBLEM_FIELDS, Problem
from attnbench.units import parse_count

# What a case has beside its problem's fields.
DERIVED = (
    *("phase", "group_size", "model", "tp", "weight", "backend", "backend_label"),
    *("label", "case_label", "case_id", "problem_id"),
)
WORDS: dict[str, tuple[str, ...]] = {
    **CHOICES,
    **{name: ("true", "false") for name, one in PROBLEM_FIELDS.items() if one.kind == "flag"},
    "phase": PHASES,
}
IDS = ("case_id", "problem_id")
TEXTS = (
    *(name for name, one in PROBLEM_FIELDS.items() if one.kind == "text"),
    *("model", "backend", "backend_label", "label", "case_label", *IDS),
)
NUMBERS = frozenset({*FIELDS, *DERIVED} - {*WORDS, *TEXTS})
ORDERINGS = ("<", "<=", ">", ">=")


class CaseFields(Mapping[str, Any]):
    """Every field of a case that a filter may name; its label and ids are made when asked for."""

    __slots__ = ("_case", "_known")
    _costly: ClassVar[dict[str, Callable[[Case], str]]] = {
        "label": lambda case: case.label,
        "case_label": lambda case: case.label,
        "case_id": lambda case: case.id,
        "problem_id": lambda case: case.problem.id,
    }

    def __init__(self, case: Case) -> None:
        self._case = case
        self._known = plain_fields(
            case.problem, case.backend, dict(case.options), case.model, case.tp
        )
        self._known["weight"] = case.weight

    def __getitem__(self, name: str) -> Any:
        if name not in self._known and name in self._costly:
            self._known[name] = self._costly[name](self._case)
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self._costly

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._known, *self._costly)))

    def __len__(self) -> int:
        return len(self._known.keys() | self._costly.keys())


def case_fields(case: Case) -> Mapping[str, Any]:
    """Return every field of a case that a filter may name."""
    return CaseFields(case)


def plain_fields(
    problem: Problem,
    backend: str,
    options: Mapping[str, Any],
    model: str | None = None,
    tp: int | None = None,
) -> dict[str, Any]:
    """Every field of a case but its label and ids, which cost the most to make."""
    return {
        **options,
        **{name: getattr(problem, name) for name in FIELDS},
        "phase": problem.phase,
        "group_size": problem.group_size,
        "model": model,
        "tp": tp,
        "backend": backend,
        "backend_label": backend_label(backend, options),
    }


def unknown_field(name: str, extra: Iterable[str]) -> str | None:
    """Return advice where no case has such a field, None where one does."""
    known = {*FIELDS, *DERIVED, *extra}
    if name in known:
        return None
    return did_you_mean(name, known) or f"fields are {', '.join(FIELDS[:10])}, …"


def wrong_value(name: str, text: str) -> tuple[str, str] | None:
    """Return what is wrong with a value of this field, and advice."""
    words = WORDS.get(name)
    if words is not None and text.casefold() not in words:
        listed = f"{name} is one of {', '.join(words)}; got {text!r}"
        return listed, did_you_mean(text, words)
    if name in NUMBERS and number_of(text) is None:
        return f"{name} is a number; got {text!r}", "write 4096 or 4k"
    return None if text else (f"{name} needs a value", "")


def wrong_order(name: str, values: tuple[str, ...]) -> tuple[str, str] | None:
    """Return what is wrong with < and the like between this field and these values."""
    if len(values) > 1:
        return f"{name} is compared with one value here", "a,b goes with = and !="
    if name in WORDS or name in TEXTS:
        return f"{name} is a word and has no order", "use = or !="
    if number_of(values[0]) is None:
        return f"{name} is compared with a number; got {values[0]!r}", "write 4096 or 4k"
    return None


@cache
def number_of(text: str) -> float | None:
    """Read ``4096``, ``4k`` or ``0.5``; None where the text is no finite number."""
    try:
        return float(parse_count(text))
    except (ValueError, OverflowError):
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) != float("inf") and number == number else None  # noqa: PLR0124


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the word that was probably meant."""
    folded = {one.casefold(): one for one in sorted(words, reverse=True)}
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Write ``did you mean 'x'?``, or nothing where no word is near."""
    close = nearest(word, words)
    return f"did you mean {close!r}?" if close else ""
