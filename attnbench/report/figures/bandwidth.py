"""Does decode use the memory: share of the best bandwidth against batch and against length."""

from __future__ import annotations

from attnbench.report import canvas, palette
from attnbench.report.facets import Facet, largest, split
from attnbench.report.figures import lines
from attnbench.report.model import DataTable, Figure, MissingFigure, Panel, ReportData, backend_keys
from attnbench.report.points import Point
from attnbench.units import count_text, rate_text

_MOST_PANELS = 9
_BY_BATCH = ("bandwidth-batch", "Does a larger batch use more of the bandwidth?")
_BY_LENGTH = ("bandwidth-length", "Does a longer cache use more of the bandwidth?")


def by_batch(subject: ReportData) -> Figure | MissingFigure:
    """Draw the share of the bandwidth against batch, a panel for each length."""
    name, title = _BY_BATCH
    facets = split(_decoding(subject), ("batch",))
    several = [one for one in facets if len({_batch(point) for point in one.points}) > 1]
    if not several:
        return MissingFigure(name, title, _why(subject, "two batches"))
    return _figure(subject, several, _BY_BATCH, is_length=False)


def by_length(subject: ReportData) -> Figure | MissingFigure:
    """Draw the share of the bandwidth against the length of the cache, a panel for each batch."""
    name, title = _BY_LENGTH
    facets = split([p for p in _decoding(subject) if p.length], ("length",))
    several = [one for one in facets if len({point.length for point in one.points}) > 1]
    if not several:
        return MissingFigure(name, title, _why(subject, "two lengths"))
    return _figure(subject, several, _BY_LENGTH, is_length=True)


def _decoding(subject: ReportData) -> list[Point]:
    return [
        point
        for point in subject.ok
        if point.phase == "decode" and point.bandwidth_share is not None
    ]


def _why(subject: ReportData, needed: str) -> str:
    decoding = [point for point in subject.ok if point.phase == "decode"]
    if not decoding:
        return "no decode case came out ok"
    resident = sum("L2_RESIDENT" in point.case.notes for point in decoding)
    if not _decoding(subject):
        if resident:
            return (
                f"the working set of {resident} of {len(decoding)} decode cases stays in the"
                " last-level cache, where a share of the memory's bandwidth means nothing"
            )
        return "no decode case has a measured bandwidth to be compared with"
    why = f"no decode problem has a share of the bandwidth at {needed} or more"
    within = f"; {resident} of {len(decoding)} cases stay in the last-level cache"
    return f"{why}{within if resident else ''}"


def _figure(
    subject: ReportData, several: list[Facet], named: tuple[str, str], *, is_length: bool
) -> Figure:
    shown, left_out = largest(several, _MOST_PANELS)
    panels = tuple(
        _panel(one, subject, f"{named[0]}-{n}", is_length=is_length) for n, one in enumerate(shown)
    )
    remarks = []
    if left_out:
        remarks.append(f"{left_out} more panels are left out; the table of cases has every case")
    resident = sum(p.phase == "decode" and "L2_RESIDENT" in p.case.notes for p in subject.ok)
    if resident:
        remarks.append(
            f"{resident} decode cases stay in the last-level cache and are not shown: they have no"
            " share of the memory's bandwidth"
        )
    return Figure(
        name=named[0],
        title=named[1],
        how="100 % is the best of read, copy and triad measured on this device. The rate counts the"
        " least traffic, so that a kernel that reads the cache twice shows half the share. Short or"
        " few sequences cannot fill the memory: what the launch costs shows there.",
        panels=panels,
        keys=backend_keys(subject, sorted({p.backend for one in shown for p in one.points})),
        table=DataTable(
            ("run", "problem", "backend", "bandwidth", "share of the best"),
            tuple(_row(point) for one in shown for point in one.points),
        ),
        remarks=tuple(remarks),
    )


def _row(point: Point) -> tuple[str, ...]:
    rate = rate_text((point.bandwidth_gbps or 0) * 1e9)
    share = f"{point.bandwidth_share or 0:.1f} %"
    return (point.run, point.case.problem, point.backend, rate, share)


def _panel(facet: Facet, subject: ReportData, name: str, *, is_length: bool) -> Panel:
    drawn = lines.series(facet.points, _length if is_length else _batch, _share)
    figure, axes = canvas.panel(lines.WIDTH, 250)
    places = lines.across(drawn)
    if is_length:
        canvas.lengths_axis(axes, places, "tokens in the cache")
    else:
        lines.counts_axis(axes, places, "batch")
    top = lines.span(drawn)[1]
    axes.axhline(100, color=palette.MUTED, linewidth=1.2, zorder=1)
    axes.set_ylim(0, max(108.0, 1.08 * top))
    axes.set_yticks(
        [tick for tick in range(0, int(max(108.0, 1.08 * top)) + 1, 25) if tick % 25 == 0]
    )
    axes.set_ylabel("% of best bandwidth")
    lines.draw(axes, drawn, subject.styles)
    said = [f"{one.label}: {one.ys[0]:.0f} % to {one.ys[-1]:.0f} %" for one in drawn[:4]]
    x = "length" if is_length else "batch"
    first, last = count_text(places[0]), count_text(places[-1])
    about = f"Share of the best bandwidth for {x} {first} to {last}. {'; '.join(said)}"
    return Panel(facet.title, canvas.to_svg(figure, name, facet.title or "bandwidth", about))


def _batch(point: Point) -> int | None:
    return point.row["batch"] or None


def _length(point: Point) -> int | None:
    return point.length


def _share(point: Point) -> float | None:
    return point.bandwidth_share
