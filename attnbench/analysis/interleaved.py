"""How two sides were measured by turns: what a ruling of ``ab`` says beside that of ``gate``."""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.stats.difference import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Interleaved:
    """The rounds that a ruling is made from.

    ``words`` are the SIDE words of base and new, ``rounds`` how many of ``planned`` rounds all
    cases had, ``fresh`` how many more the ``suspects`` had. ``first`` and ``later`` hold log new -
    log base, [case, round], NaN where a round has no pair. ``shift`` is the change of all cases
    together, a share. ``cut`` says what ended it before its time.
    """

    words: tuple[str, str]
    planned: int
    rounds: int
    fresh: int
    suspects: tuple[str, ...]
    first: Array
    later: Array
    shift: float | None
    cut: str | None = None

    @property
    def interrupted(self) -> bool:
        """Whether the user ended it."""
        return self.cut == "interrupted"
