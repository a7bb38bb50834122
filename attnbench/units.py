"""Scaling for people: the only place where a number loses digits.

Inside attnbench everything is in seconds, bytes, FLOP and decimal prefixes (1 GB = 1e9 B), with the
unit in the name. These functions read such numbers from text and write them as short text.
"""

from __future__ import annotations

import math
import re

_WORDS = {"k": 1024, "m": 1024**2, "g": 1024**3}
_COUNT = re.compile(r"(\d+)([kmg]?)", re.IGNORECASE)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", re.IGNORECASE)
_BYTES = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[KMGT]i?)?B)", re.IGNORECASE)
_SECONDS_A_WORD = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SMALLEST_PLAIN_EXPONENT = -4
_SINGULAR = {"are": "is", "have": "has", "were": "was", "fit": "fits"}


def parse_count(text: str) -> int:
    """Read ``4096`` or ``4k`` (k = 1024, m = 1048576), as suites and flags write lengths.

    Raises:
        ValueError: the text is not such a number.

    """
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        message = f"{text!r} is not a whole number such as 4096 or 4k"
        raise ValueError(message)
    return int(match[1]) * _WORDS.get(match[2].lower(), 1)


def parse_duration(text: str) -> float:
    """Read ``90``, ``90s``, ``10m`` or ``1h`` as seconds.

    Raises:
        ValueError: the text is not such a duration.

    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        message = f"{text!r} is not a duration such as 90s, 10m or 1h"
        raise ValueError(message)
    return float(match[1]) * _SECONDS_A_WORD[(match[2] or "s").lower()]


def parse_bytes(text: str) -> int:
    """Read ``141GB`` or ``80GiB`` as bytes.

    Raises:
        ValueError: the text is not a size.

    """
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        message = f"{text!r} is not a size such as 80GB or 512MiB"
        raise ValueError(message)
    unit = match[2].upper()
    base = 1024 if "I" in unit else 1000
    power = "BKMGT".index(unit[0])
    return round(float(match[1]) * float(base**power))


def count_text(value: int) -> str:
    """Write a length the way suites do: 4096 is ``4k``, 131072 is ``128k``, 1000 stays ``1000``."""
    for word in ("m", "k"):
        if value >= _WORDS[word] and value % _WORDS[word] == 0:
            return f"{value // _WORDS[word]}{word}"
    return str(value)


def counted(count: int, noun: str, verb: str = "") -> str:
    """Write ``1 case``, ``2 processes``, ``1,200 cases``, and with a verb ``1 case is``."""
    plural = "es" if noun.endswith("s") else "s"
    words = [f"{count:,} {noun}{'' if count == 1 else plural}"]
    if verb:
        words.append(_SINGULAR[verb] if count == 1 else verb)
    return " ".join(words)


def the_counted(count: int, noun: str) -> str:
    """Write ``the one case`` or ``the 2 cases``."""
    return f"the one {noun}" if count == 1 else f"the {counted(count, noun)}"


def significant(value: float, digits: int = 3) -> str:
    """Write a number with three significant digits: 9.996 is ``10.0``, 0.5 is ``0.500``.

    Whole digits are all kept (12345 stays ``12345``); only below 0.0001 there is an exponent.
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    scientific = f"{value:.{digits - 1}e}"
    exponent = int(scientific.partition("e")[2])
    if exponent < _SMALLEST_PLAIN_EXPONENT:
        return scientific
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def _scaled(value: float, steps: list[tuple[float, str]]) -> str:
    # Rounded first, so that 999.6 ns is 1.00 µs and never 1000 ns.
    rounded = float(f"{value:.2e}")
    scale, unit = next((step for step in steps if abs(rounded) >= step[0]), steps[-1])
    return f"{significant(rounded / scale)} {unit}"


def time_text(seconds: float) -> str:
    """Write a latency: ``18.2 µs``, ``4.10 ms``, ``1.20 s``."""
    return _scaled(seconds, [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns")])


def bytes_text(count: float) -> str:
    """Write a size in decimal units: ``2.15 GB``."""
    if abs(count) < 1e3:  # noqa: PLR2004
        return f"{count:.0f} B"
    return _scaled(count, [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")])


def rate_text(bytes_per_second: float) -> str:
    """Write a bandwidth: ``4.31 TB/s``."""
    return _scaled(bytes_per_second, [(1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s")])


def flops_text(flop_per_second: float) -> str:
    """Write an arithmetic rate: ``512 TFLOP/s``."""
    return _scaled(flop_per_second, [(1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s")])


def spread_text(half_width: float) -> str:
    """Write half an interval, a share: ``±1.2%``; beyond ten times the value the rest is noise."""
    if half_width >= 9.9995:  # noqa: PLR2004  what rounds to 1000.0 is beyond
        return "±>999%"
    return f"±{100 * half_width:.1f}%"


def duration_text(seconds: float) -> str:
    """Write how long something took or will take, without false precision."""
    if seconds < 9.95:  # noqa: PLR2004  what rounds to 10.0 is written "10 s"
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{minutes} min {rest} s" if hours == 0 else f"{hours} h {minutes} min"
