"""How many calls an interval between two events needs, so that their resolution does not matter."""

from __future__ import annotations

import math
from collections.abc import Callable

from attnbench.measure.outcome import Implausible

# An interval this many resolutions long is read to half a per cent.
RESOLUTIONS = 200
MOST_CALLS = 4096
_ROOM = 1.1  # the next interval may be a little shorter than the one that was tried


def long_enough(interval: Callable[[int], float], resolution_s: float, *, turn: int = 1) -> int:
    """Return how many calls make an interval of at least 200 resolutions.

    ``interval(calls)`` times so many; ``calls`` is always a multiple of ``turn``.

    Raises:
        Implausible: thousands of calls are too short.

    """
    shortest_s, most = RESOLUTIONS * resolution_s, max(turn, MOST_CALLS // turn * turn)
    calls = turn
    while (took_s := interval(calls)) < shortest_s:
        if calls == most:
            raise Implausible(
                f"{calls} calls back to back take {took_s * 1e6:.3g} us in all: "
                "no call that does the work is as short"
            )
        wanted = math.ceil(_ROOM * calls * shortest_s / took_s / turn) * turn
        calls = min(most, max(calls + turn, wanted))
    return calls
