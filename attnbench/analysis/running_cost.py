"""What a call costs on either side of a comparison: dollars at the user's prices, and joules.

attnbench ships no price and looks none up. A price is dollars for an hour of one device, so that a
call costs latency times price: of a device that does this and nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from attnbench.errors import OptionError

if TYPE_CHECKING:
    from attnbench.analysis.sides import Side
    from attnbench.stats.latency import Latency

_SECONDS_AN_HOUR = 3600
_MILLION = 1e6
_US_A_SECOND = 1e6


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


def price_of(side: Side, by_device: Mapping[str, float]) -> float | None:
    """Return the price of a side's device; of several devices, the one that they all have."""
    found = {by_device.get(name) for name in side.values("device_name")}
    return found.pop() if len(found) == 1 else None


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


@dataclass(frozen=True, slots=True)
class Energy:
    """Joules of one call; ``counted`` by the board's counter, or else power times latency."""

    joules: float
    counted: bool


def energies(side: Side) -> Mapping[str, Energy]:
    """Return each ok case's energy by its id, medians over its rows; unknown ones are left out.

    The counter is read over many calls. Where it was not, the power that the telemetry read after
    the samples stands for the whole of them.
    """
    columns = ["case_id", "status", "energy_j_per_call", "power_w", "latency_us"]
    counted: dict[str, list[float]] = {}
    estimated: dict[str, list[float]] = {}
    for row in side.table.select(columns).to_pylist():
        if row["status"] != "ok":
            continue
        if row["energy_j_per_call"]:
            counted.setdefault(row["case_id"], []).append(row["energy_j_per_call"])
        elif row["power_w"] and row["latency_us"]:
            joules = row["power_w"] * row["latency_us"] / _US_A_SECOND
            estimated.setdefault(row["case_id"], []).append(joules)
    found = {case: Energy(median(known), counted=False) for case, known in estimated.items()}
    found |= {case: Energy(median(known), counted=True) for case, known in counted.items()}
    return found
