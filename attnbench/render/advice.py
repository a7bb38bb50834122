"""What advice looks like: a table for each shape, read downwards by batch and context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.render.screen import Screen, cropped, width_of
from attnbench.units import count_text

if TYPE_CHECKING:
    from attnbench.analysis.advise import Advice, DeviceAdvice, Region, Span
    from attnbench.analysis.advise.regions import Shape

_MULTIPLE = 2.0  # from here on a share is said as a multiple
_RULE = (
    "a tie is a lead under 2 %, or overlapping intervals between processes; next best: how much "
    "longer it takes over the problems measured there"
)
_EVEN = "even in 2 of 6, to 1.5x: as good on two of the six, and elsewhere up to 1.5 times as long"
_NEXT = (
    "--json is the same for an engine, with the borders between regions; attnbench report draws it"
)
_BARE = ("phase", "dtype")
_HANDLED = (*_BARE, "q_heads", "kv_heads", "head_dim", "v_head_dim", "kv_dtype", "mode", "mask")

Lines = tuple[tuple[str, ...], ...]


def show_advice(advice: Advice, screen: Screen) -> None:
    """Print the advice for each device."""
    for number, one in enumerate(advice.devices):
        if number:
            screen.line()
        _show_device(one, screen)
    screen.line()
    screen.wrap(_RULE, style="dim")
    if any(region.even and region.rival for one in advice.devices for region in one.regions):
        screen.wrap(_EVEN, style="dim")
    screen.wrap(_NEXT, style="dim")


def _show_device(one: DeviceAdvice, screen: Screen) -> None:
    """Print what is advised on one device; shapes that get the same advice share a table."""
    names = ", ".join(dict.fromkeys(one.runs.values()))
    day = one.measured[0][:10] if one.measured else ""
    screen.wrap("   ".join(filter(None, (one.name, names, day))))
    for warning in one.warnings:
        screen.wrap(f"note  {warning}")
    for title, lines in _tables(one.regions):
        screen.line()
        screen.wrap(title)
        screen.table(_fitted(lines, screen.width))


def _tables(regions: Sequence[Region]) -> Iterator[tuple[str, Lines]]:
    by_shape: dict[Shape, list[Region]] = {}
    for region in regions:
        by_shape.setdefault(region.shape, []).append(region)
    alike: dict[tuple[str, Lines], list[Shape]] = {}
    several = len({(shape.timer, shape.l2) for shape in by_shape}) > 1
    for shape, members in by_shape.items():
        key = (_title_but_heads(shape, with_timing=several), tuple(_lines(members)))
        alike.setdefault(key, []).append(shape)
    for (title, lines), shapes in alike.items():
        heads = dict.fromkeys(
            f"{one.problem['q_heads']}/{one.problem['kv_heads']}" for one in shapes
        )
        phase, _, rest = title.partition(" ")
        yield f"{phase}, {', '.join(heads)} heads x {rest}", lines


def _title_but_heads(shape: Shape, *, with_timing: bool) -> str:
    """``decode 128, bf16, causal, paged``: everything but the heads, defaults left out."""
    fields = shape.problem
    dims = str(fields["head_dim"])
    if fields["v_head_dim"] != fields["head_dim"]:
        dims += f"->{fields['v_head_dim']}"
    words = [dims, str(fields["dtype"])]
    if fields["kv_dtype"] != fields["dtype"]:
        words.append(f"{fields['kv_dtype']} cache")
    if fields["mode"] != "fwd":
        words.append(str(fields["mode"]))
    if fields["mask"] != "none":
        words.append(str(fields["mask"]))
    for name, value in fields.items():
        if name not in _HANDLED:
            words.append(name if value is True else f"{name} {value}")
    if with_timing:
        words.append(f"{shape.timer} {shape.l2}")
    return f"{fields['phase']} {', '.join(words)}"


def _lines(regions: Sequence[Region]) -> Iterator[tuple[str, ...]]:
    yield ("batch", "context", "use", "next best")
    before = ""
    for one in regions:
        batch = span_text(one.batch)
        said = "" if batch == before else batch
        before = batch
        yield (said, span_text(one.context), " or ".join(one.use), rival_text(one))


def span_text(span: Span | None) -> str:
    """``1k to 16k``: what was measured; the borders between regions are in the JSON."""
    if span is None:
        return ""
    first, last = (count_text(one) for one in (span.measured[0], span.measured[-1]))
    return first if first == last else f"{first} to {last}"


def rival_text(one: Region) -> str:
    """``naive +12% to 3.1x``: how much longer the nearest of the others takes.

    ``naive even in 2 of 6, to 3.1x`` where it is as good as the best on some problems.
    """
    if one.rival is None or one.least is None or one.most is None:
        return "nothing else finished" if not one.is_tie else ""
    if one.even:
        return f"{one.rival} even in {one.even} of {one.cells}, to {_more(one.most)}"
    ends = dict.fromkeys((_more(one.least), _more(one.most)))
    return f"{one.rival} {' to '.join(ends)}"


def _more(share: float) -> str:
    return f"{1 + share:.1f}x" if 1 + share >= _MULTIPLE else f"{100 * share:+.0f}%"


def _fitted(lines: Sequence[Sequence[str]], width: int) -> list[list[str]]:
    """Shorten the last two columns until the table fits."""
    rows = [list(row) for row in lines]
    for column in (3, 2):
        excess = width_of(rows) - width
        longest = max(len(row[column]) for row in rows)
        if excess > 0:
            room = max(12, longest - excess)
            rows = [
                [cropped(text, room) if at == column else text for at, text in enumerate(row)]
                for row in rows
            ]
    return rows
