"""What is wrong in a suite, where, and what to write instead, as text for people."""

from __future__ import annotations

from dataclasses import dataclass, field

# A longer line is shown as the part around the caret.
_WIDEST = 100
_BEFORE_CARET = 40


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of one line of a file, or of the command line (``line`` None), from column 0."""

    name: str
    line: int | None
    column: int
    width: int
    text: str

    @property
    def order(self) -> tuple[bool, int, int]:
        """Sorts places as they stand in the file, the command line last."""
        return self.line is None, self.line or 0, self.column

    def header(self) -> str:
        """Write ``suites/decode.yaml:9:3``."""
        return self.name if self.line is None else f"{self.name}:{self.line}:{self.column + 1}"

    def picture(self, advice: str) -> list[str]:
        """Draw the line, and under it a caret and the advice."""
        number = "" if self.line is None else str(self.line)
        start = max(0, self.column - _BEFORE_CARET) if len(self.text) > _WIDEST else 0
        shown = self.text[start : start + _WIDEST].replace("\t", " ").rstrip()
        width = max(1, min(self.width, len(shown) - (self.column - start)))
        caret = " " * (self.column - start) + "^" * width
        gutter = " " * len(number)
        return [f"    {number} | {shown}", f"    {gutter} | {caret} {advice}".rstrip()]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing to change.

    ``also`` is a second place that belongs to it, with what to say there; ``affects`` counts the
    cases that have it; ``more`` are lines under the picture.
    """

    message: str
    place: Place | None
    advice: str = ""
    also: tuple[Place, str] | None = None
    affects: str = ""
    more: tuple[str, ...] = field(default=())

    def render(self) -> str:
        """Write the fault: what, where, the line with a caret, what to write."""
        lines = [f"error: {self.message}"]
        if self.place is not None:
            affects = f"     affects {self.affects}" if self.affects else ""
            lines += [f"  {self.place.header()}{affects}", *self.place.picture(self.advice)]
        if self.also is not None:
            place, said = self.also
            lines += [f"  {place.header()}", *place.picture(said)]
        return "\n".join([*lines, *(f"  {one}" for one in self.more)])


def rendered(faults: list[Diagnostic]) -> list[str]:
    """Write the faults in the order of the file, each once."""
    nowhere = (False, 0, 0)
    ordered = sorted(faults, key=lambda one: nowhere if one.place is None else one.place.order)
    return list(dict.fromkeys(fault.render() for fault in ordered))
