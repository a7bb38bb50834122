"""How two sides were measured by turns: what a ruling of ``ab`` says beside that of ``gate``."""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.analysis.machine import CanaryShift
from attnbench.stats.difference import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Interleaved:
    """The rounds that a ruling is made from.

    ``words`` are the SIDE words of base and new, ``rounds`` how many of ``planned`` rounds all
    cases had, ``fresh`` how many more the ``suspects`` had. ``first`` and ``later`` hold log new -
    log base, [case, round], NaN where a round has no pair. ``shift`` is the change of all cases
    together, a share, ``canaries`` what calls that never change differ by between the sides.
    ``cut`` says what ended it before its time.
    """

    words: tuple[str, str]
    planned: int
    rounds: int
    fresh: int
    suspects: tuple[str, ...]
    first: Array
    later: Array
    shift: float | None
    canaries: tuple[CanaryShift, ...] = ()
    cut: str | None = None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What unchanging calls say against taking every change for the code's."""
        moved = [f"{one.name} {one.change:+.1%}" for one in self.canaries if one.is_real]
        if not moved:
            return ()
        text = (
            f"the machine itself differed beside the new side ({', '.join(moved)}, which never "
            "change): look for what runs with one side alone"
        )
        return (text,)

    @property
    def interrupted(self) -> bool:
        """Whether the user ended it."""
        return self.cut == "interrupted"
