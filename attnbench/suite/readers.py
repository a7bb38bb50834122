"""How single values of a suite file are read, and what is said of those that cannot be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from attnbench.filter import did_you_mean
from attnbench.units import parse_count


class ValueFault(Exception):
    """A value that cannot be: what is wrong, and what to write."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice


Reader = Callable[[str, Any], Any]


def whole(low: int) -> Reader:
    """Read ``4096`` or ``4k``, at least ``low``."""

    def read(name: str, value: Any) -> int:
        number = value
        if isinstance(value, str):
            try:
                number = parse_count(value)
            except ValueError:
                raise ValueFault(
                    f"{name} needs a whole number, found the text {value!r}", _count_advice(value)
                ) from None
        if type(number) is not int:
            advice = f"write {int(value)}" if _is_integral(value) else "write 4096 or 4k"
            if isinstance(value, list | dict):
                advice = "what is varied goes under sweep"
            raise ValueFault(f"{name} needs a whole number, found {_found(value)}", advice)
        if number < low:
            raise ValueFault(f"{name} is at least {low}; got {number}")
        return number

    return read


def real(*, zero: bool = False) -> Reader:
    """Read a number above 0, or from 0 on."""

    def read(name: str, value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value):
            raise ValueFault(f"{name} needs a number, found {_found(value)}")
        if value < 0 or (value == 0 and not zero):
            raise ValueFault(f"{name} is {'at least' if zero else 'above'} 0; got {value}")
        return value  # type: ignore[no-any-return]

    return read


def off_or_from(low: float, why: str) -> Reader:
    """Read 0, or a number from ``low`` on; ``why`` says what is in the way of less."""

    def read(name: str, value: Any) -> float:
        number: float = real(zero=True)(name, value)
        if 0 < number < low:
            raise ValueFault(f"{name} is 0 (off) or at least {low:g}; got {value}", why)
        return number

    return read


def word(words: tuple[str, ...]) -> Reader:
    """Read one of a few words."""

    def read(name: str, value: Any) -> str:
        if value not in words or not isinstance(value, str):
            advice = did_you_mean(value, words) if isinstance(value, str) else ""
            got = repr(value) if isinstance(value, str) else _found(value)
            raise ValueFault(f"{name} is one of {', '.join(words)}; got {got}", advice)
        return value

    return read


def flag(name: str, value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueFault(f"{name} is true or false; got {_found(value)}", "write true or false")
    return value


def text(name: str, value: Any) -> str:
    """Read a text that says something."""
    if not isinstance(value, str) or not value.strip():
        quoted = f"write '{value}'" if isinstance(value, int | float) else ""
        raise ValueFault(f"{name} is a text; got {_found(value)}", quoted)
    return value


def share(name: str, value: Any) -> float:
    """Read ``3%`` or ``0.03``, which are the same."""
    number = value
    if isinstance(value, str):
        digits = value.strip()
        try:
            number = float(digits.removesuffix("%")) / (100 if digits.endswith("%") else 1)
        except ValueError:
            number = value
    if type(number) not in (int, float) or not math.isfinite(number):
        raise ValueFault(f"{name} is a share; got {_found(value)}", "write 3% or 0.03")
    if number < 0:
        raise ValueFault(f"{name} is at least 0; got {value}")
    if number >= 1 and not isinstance(value, str):
        raise ValueFault(f"{name} {value} would be {value * 100:g} %", f"write {value:g}% or 0.03")
    return round(float(number), 12)


def scalar(name: str, value: Any) -> Any:
    """Read a word, number or flag."""
    if isinstance(value, list | dict):
        raise ValueFault(f"{name} takes single values, found {_found(value)}")
    return value


def _found(value: Any) -> str:
    """Name a wrong value, in the words of a suite's author."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value!r}" if value else "an empty text"
    if isinstance(value, list):
        return "a list"
    return "a map" if isinstance(value, dict) else str(value)


def _is_integral(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _count_advice(value: str) -> str:
    close = "".join(value.split()).replace(",", "").replace("_", "").lower().removesuffix("b")
    try:
        return f"write {close} or {parse_count(close)}"
    except ValueError:
        return "write 4096 or 4k"
