"""What a call costs in dollars on either side of a comparison, at prices that the user gave.

attnbench ships no price and looks none up. A price is dollars for an hour of one device, so that a
call costs latency times price: of a device that does this and nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from attnbench.errors import OptionError

if TYPE_CHECKING:
    from attnbench.analysis.compare import RunComparison
    from attnbench.analysis.sides import Side
    from attnbench.stats.latency import Latency

_SECONDS_AN_HOUR = 3600
_MILLION = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Dollars for an hour of one device on either side; None where no price was given for it."""

    base: float | None = None
    new: float | None = None

    @property
    def ratio(self) -> float | None:
        """New over base."""
        return None if self.base is None or self.new is None else self.new / self.base

    def work(self, latency_ratio: float | None) -> float | None:
        """How many times the calls that a dollar pays for, from new latency over base."""
        if latency_ratio is None or self.ratio is None:
            return None
        return 1 / (latency_ratio * self.ratio)


NO_PRICES = Prices()


def dollars_a_million(reading: Latency | None, price: float | None) -> float | None:
    """Return what a million calls cost; None where the latency or the price is not known."""
    if reading is None or price is None:
        return None
    return _MILLION * reading.seconds * price / _SECONDS_AN_HOUR


def prices_by_device(prices: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Return the price of each device of some runs by its name; ``prices`` have words of the user.

    A word is a device's name, the word that ``plan --device`` has for it, or whole words out of its
    name, in upper or lower case: H20 is not H200.

    Raises:
        OptionError: a word is no device, several, or one that has a price; or no price at all.

    """
    found: dict[str, float] = {}
    words: dict[str, str] = {}
    for word, price in prices.items():
        _check(word, price)
        name = _device(word, names, price)
        if name in words:
            raise OptionError(
                f"{name} has two prices: {words[name]!r} and {word!r}", hint="leave one of them out"
            )
        words[name] = word
        found[name] = float(price)
    return found


def priced(pairs: Sequence[RunComparison], by_device: Mapping[str, float]) -> list[RunComparison]:
    """Return the comparisons with what was asked for an hour of each side's device."""
    return [
        replace(one, prices=Prices(base=_of(one.base, by_device), new=_of(one.new, by_device)))
        for one in pairs
    ]


def unpriced(pairs: Sequence[RunComparison]) -> list[str]:
    """The devices without a price, where another one has one."""
    sides = [
        side for one in pairs for side in ((one.base, one.prices.base), (one.new, one.prices.new))
    ]
    if all(price is None for _, price in sides):
        return []
    return list(
        dict.fromkeys(str(name) for side, price in sides if price is None for name in _names(side))
    )


def _of(side: Side, by_device: Mapping[str, float]) -> float | None:
    """A side that stands for several devices has a price where they all have one and the same."""
    found = {by_device.get(name) for name in _names(side)}
    return found.pop() if len(found) == 1 else None


def _names(side: Side) -> list[Any]:
    return side.values("device_name")


def _device(word: str, names: Sequence[str], price: float) -> str:
    found = _matching(word, names)
    if len(found) == 1:
        return found[0]
    listed = ", ".join(names) or "none that has a name"
    if not found:
        raise OptionError(
            f"no device of these runs is called {word!r}: there are {listed}",
            hint=f"such as --price '{names[0]}={price:g}'" if names else None,
        )
    raise OptionError(
        f"{word!r} is more than one device of these runs: {', '.join(found)}",
        hint=f"write the name in full: --price '{found[0]}={price:g}'",
    )


def _matching(word: str, names: Sequence[str]) -> list[str]:
    from attnbench.device.rates import GPU_SPECS

    folded = word.strip().casefold()
    sheet = GPU_SPECS.get(folded)
    for exact in (folded, sheet and sheet.name.casefold()):
        if alike := [name for name in names if name.casefold() == exact]:
            return alike
    wanted = _words(folded)
    return [name for name in names if wanted and _holds(_words(name.casefold()), wanted)]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _holds(words: Sequence[str], wanted: Sequence[str]) -> bool:
    reach = len(wanted)
    return any(list(words[at : at + reach]) == list(wanted) for at in range(len(words)))


def _check(word: str, price: float) -> None:
    """A price that would make a cost of nothing, of less, or of no number is a slip."""
    if isinstance(price, bool) or not isinstance(price, (int, float)):
        raise OptionError(f"the price of {word!r} is a number of dollars an hour; got {price!r}")
    if not math.isfinite(price) or price <= 0:
        raise OptionError(
            f"the price of {word!r} is dollars an hour, above 0; got {price:g}",
            hint=f"such as --price '{word}=2.50'",
        )
