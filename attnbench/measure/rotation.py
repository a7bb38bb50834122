"""Cold calls without a flush between them: the same backend on many copies of the inputs in turn.

Five times the last-level cache is read before a copy comes round again. Never silently fewer: where
the copies find no room there is no rotation at all, and the row says ``warm``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from attnbench.measure.bench import DeviceContext, ProblemInputs
from attnbench.measure.calls import Prepared
from attnbench.measure.inputs import input_bytes
from attnbench.measure.outcome import TooSlow
from attnbench.method import copies_for, read_bytes, rotation_fits
from attnbench.plugin import Inputs

_ROOM = 0.9  # of what is free: outputs and workspace of one call need some of it


@dataclass(frozen=True, slots=True)
class Rotation:
    """The call on each copy; the first is the one that was checked and whose memory was watched."""

    members: tuple[Prepared, ...]
    bytes_a_turn: int

    @property
    def others(self) -> tuple[Prepared, ...]:
        """All but the first."""
        return self.members[1:]


def rotate(
    first: Prepared,
    bind: Callable[[Inputs], Prepared],
    shared: ProblemInputs,
    bench: DeviceContext,
    *,
    prepared_bytes: int,
    limit_s: float,
) -> Rotation | None:
    """Bind a backend to as many copies of the inputs as make a cold cache; None without room.

    Raises:
        TooSlow: to prepare them takes longer than ``limit_s``.

    """
    driver, problem = bench.driver, shared.problem
    if not rotation_fits(problem, bench.device):
        return None
    count = copies_for(problem, bench.device.llc_bytes)
    driver.release()
    missing = (count - 1 - len(shared.copies)) * input_bytes(shared.inputs)
    if missing + (count - 1) * prepared_bytes > _ROOM * driver.describe().free_bytes:
        return None
    members = [first]
    deadline_ns = driver.clock_ns() + limit_s * 1e9
    try:
        for number in range(count - 1):
            members.append(bind(shared.copy(number)))
            if driver.clock_ns() > deadline_ns:
                _give_up(number + 1, count - 1, limit_s)
    except Exception as error:
        for one in members[1:]:
            with suppress(Exception):
                one.teardown()
        if not driver.is_out_of_memory(error):
            raise
        shared.copies.clear()
        return None
    return Rotation(tuple(members), count * read_bytes(problem))


def _give_up(done: int, wanted: int, limit_s: float) -> NoReturn:
    raise TooSlow(
        f"a cold cache needs {wanted} copies of the inputs, and to prepare {done} of them took "
        f"case_limit_s, {limit_s:g} s; timer: event needs none"
    )
