"""Decode and the KV cache: use of the bandwidth, and what fewer KV heads save."""

from __future__ import annotations

from collections.abc import Sequence

from attnbench.analysis.variants import variant_name
from attnbench.report import palette, svg
from attnbench.report.facets import IN_CASE_TABLE, Facet, largest, not_shown, split
from attnbench.report.figures import lines
from attnbench.report.model import DataTable, Figure, MissingFigure, Panel, ReportData, backend_keys
from attnbench.report.points import Point
from attnbench.units import bytes_text, count_text, counted, rate_text, time_text

_MOST_BANDWIDTHS = 9
_BY_BATCH = ("bandwidth-batch", "Does a larger batch use more of the bandwidth?")
_BY_LENGTH = ("bandwidth-length", "Does a longer cache use more of the bandwidth?")


def bandwidth_batch(data: ReportData) -> Figure | MissingFigure:
    """Draw the share of the bandwidth against batch, one panel per length."""
    name, title = _BY_BATCH
    facets = split(_decoding(data), ("batch",))
    several = [one for one in facets if len({_batch(point) for point in one.points}) > 1]
    if not several:
        return MissingFigure(name, title, _why_no_bandwidth(data, "batch sizes"))
    return _bandwidth_figure(data, several, _BY_BATCH, is_length=False)


def bandwidth_length(data: ReportData) -> Figure | MissingFigure:
    """Draw the share of the bandwidth against cache length, one panel per batch."""
    name, title = _BY_LENGTH
    facets = split([p for p in _decoding(data) if p.length], ("length",))
    several = [one for one in facets if len({point.length for point in one.points}) > 1]
    if not several:
        return MissingFigure(name, title, _why_no_bandwidth(data, "lengths"))
    return _bandwidth_figure(data, several, _BY_LENGTH, is_length=True)


def _decoding(data: ReportData) -> list[Point]:
    return [
        point for point in data.ok if point.phase == "decode" and point.bandwidth_share is not None
    ]


def _why_no_bandwidth(data: ReportData, needed: str) -> str:
    decoding = [point for point in data.ok if point.phase == "decode"]
    if not decoding:
        return "no decode case is ok"
    resident = sum("L2_RESIDENT" in point.case.notes for point in decoding)
    if not _decoding(data):
        if resident:
            return (
                f"the working set of {resident} of {counted(len(decoding), 'decode case')} fits in"
                " the last-level cache, so a share of the memory bandwidth means nothing"
            )
        return "no decode case has a measured bandwidth ceiling"
    why = f"no decode problem has a bandwidth share at two or more {needed}"
    within = f"; {resident} of {counted(len(decoding), 'case', 'fit')} in the last-level cache"
    return f"{why}{within if resident else ''}"


def _bandwidth_figure(
    data: ReportData, several: list[Facet], named: tuple[str, str], *, is_length: bool
) -> Figure:
    shown, left_out = largest(several, _MOST_BANDWIDTHS)
    panels = tuple(
        _bandwidth_panel(one, data, f"{named[0]}-{n}", is_length=is_length)
        for n, one in enumerate(shown)
    )
    remarks = not_shown(left_out, "panel", IN_CASE_TABLE)
    resident = sum(p.phase == "decode" and "L2_RESIDENT" in p.case.notes for p in data.ok)
    if resident:
        remarks.append(
            f"{resident} decode cases fit in the last-level cache and are not shown: a share of the"
            " memory bandwidth means nothing for them"
        )
    return Figure(
        name=named[0],
        title=named[1],
        how="100 % is the best bandwidth measured on this device (read, copy or triad). The rate"
        " counts the minimum traffic, so a kernel that reads the cache twice shows half the share."
        " Short or few sequences cannot saturate the memory; launch overhead dominates there.",
        panels=panels,
        keys=backend_keys(data, sorted({p.backend for one in shown for p in one.points})),
        table=DataTable(
            ("run", "problem", "backend", "bandwidth", "share of the best"),
            tuple(_bandwidth_row(point) for one in shown for point in one.points),
        ),
        remarks=tuple(remarks),
    )


def _bandwidth_row(point: Point) -> tuple[str, ...]:
    rate = rate_text((point.bandwidth_gbps or 0) * 1e9)
    share = f"{point.bandwidth_share or 0:.1f} %"
    return (point.run, point.case.problem, point.backend, rate, share)


def _bandwidth_panel(facet: Facet, data: ReportData, name: str, *, is_length: bool) -> Panel:
    drawn = lines.series(facet.points, _length if is_length else _batch, _share)
    figure, axes = svg.new_panel(lines.WIDTH, 250)
    places = lines.across(drawn)
    if is_length:
        svg.lengths_axis(axes, places, "tokens in the cache")
    else:
        lines.counts_axis(axes, places, "batch")
    top = lines.span(drawn)[1]
    axes.axhline(100, color=palette.MUTED, linewidth=1.2, zorder=1)
    axes.set_ylim(0, max(108.0, 1.08 * top))
    axes.set_yticks(
        [tick for tick in range(0, int(max(108.0, 1.08 * top)) + 1, 25) if tick % 25 == 0]
    )
    axes.set_ylabel("% of best bandwidth")
    lines.draw(axes, drawn, data.styles)
    said = [f"{one.label}: {one.ys[0]:.0f} % to {one.ys[-1]:.0f} %" for one in drawn[:4]]
    x = "length" if is_length else "batch"
    first, last = count_text(places[0]), count_text(places[-1])
    about = f"Share of the best bandwidth for {x} {first} to {last}. {'; '.join(said)}"
    return Panel(facet.title, svg.render(figure, name, facet.title or "bandwidth", about))


def _batch(point: Point) -> int | None:
    return point.row["batch"] or None


def _length(point: Point) -> int | None:
    return point.length


def _share(point: Point) -> float | None:
    return point.bandwidth_share


_GROUPS, _GROUPS_TITLE = "groups", "What do fewer KV heads save?"
_MOST_GROUPS = 6
_HEIGHT = 250


def groups(data: ReportData) -> Figure | MissingFigure:
    """Draw cache bytes and decode latency against the number of KV heads."""
    decoding = [p for p in data.points if p.phase == "decode" and p.row["kv_heads"] and p.length]
    facets = [one for one in _by_kv_heads(decoding) if _grows(one)]
    if not facets:
        why = "no decode problem was measured with two or more KV head counts"
        return MissingFigure(_GROUPS, _GROUPS_TITLE, why)
    shown, left_out = largest(facets, _MOST_GROUPS)
    panels = []
    sizes: set[tuple[tuple[int, float], ...]] = set()
    for number, facet in enumerate(shown):
        size = _size_of_cache(facet)
        if size and tuple(size) not in sizes:
            sizes.add(tuple(size))
            panels.append(_cache_panel(facet, size, f"{_GROUPS}-c{number}"))
    panels += [_time_panel(one, data, f"{_GROUPS}-t{n}") for n, one in enumerate(shown)]
    remarks = not_shown(left_out, "problem")
    points = [point for one in shown for point in one.points]
    return Figure(
        name=_GROUPS,
        title=_GROUPS_TITLE,
        how="MHA has one KV head per query head, MQA one in total, GQA-g has g. Bars are the cache"
        " bytes per token of one layer; lines are the time of one decode step over the whole cache."
        " Where memory limits decode, the time follows the bars; where it is flat, something else"
        " is the limit.",
        panels=tuple(panels),
        keys=backend_keys(data, sorted({p.backend for p in points if p.latency})),
        table=_groups_table(points),
        remarks=tuple(remarks),
    )


def _by_kv_heads(points: Sequence[Point]) -> list[Facet]:
    """Split by everything except the KV heads; query heads still separate panels."""
    facets = []
    for facet in split(points, ("heads",)):
        by_queries: dict[int, list[Point]] = {}
        for point in facet.points:
            by_queries.setdefault(point.row["q_heads"], []).append(point)
        for q_heads, members in by_queries.items():
            extra = f"{q_heads} query heads" if len(by_queries) > 1 else ""
            title = ", ".join(filter(None, (facet.title, extra)))
            facets.append(Facet(title, tuple(members)))
    return facets


def _grows(facet: Facet) -> bool:
    return len({point.row["kv_heads"] for point in facet.points if point.latency}) > 1


def _size_of_cache(facet: Facet) -> list[tuple[int, float]]:
    """Cache bytes per token, by number of KV heads."""
    sizes = {
        point.row["kv_heads"]: point.row["kv_cache_bytes"]
        / point.length
        / (point.row["batch"] or 1)
        for point in facet.points
        if point.row["kv_cache_bytes"] and point.length
    }
    return sorted(sizes.items())


def _cache_panel(facet: Facet, sizes: Sequence[tuple[int, float]], name: str) -> Panel:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure, axes = svg.new_panel(lines.WIDTH, _HEIGHT)
    places = range(len(sizes))
    axes.bar(
        places, [size for _, size in sizes], width=0.62, color=palette.step_colour(6), zorder=2
    )
    for place, (_, size) in zip(places, sizes, strict=True):
        axes.annotate(
            bytes_text(size),
            (place, size),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=10,
        )
    queries = facet.points[0].row["q_heads"] or 0
    axes.set_xticks(list(places), [variant_name(queries, heads) for heads, _ in sizes])
    axes.set_ylim(0, 1.18 * max(size for _, size in sizes))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: bytes_text(y).replace(".00", "")))
    axes.grid(visible=False, axis="x")
    axes.set_ylabel("KV cache per token")
    said = ", ".join(f"{variant_name(queries, heads)} {bytes_text(size)}" for heads, size in sizes)
    title = "cache size, one layer"
    return Panel(title, svg.render(figure, name, title, f"Bytes per token: {said}"))


def _time_panel(facet: Facet, data: ReportData, name: str) -> Panel:
    drawn = lines.series(facet.points, _kv_heads, _seconds, with_band=True)
    figure, axes = svg.new_panel(lines.WIDTH, _HEIGHT)
    queries = facet.points[0].row["q_heads"] or 0
    places = lines.across(drawn)
    lines.counts_axis(axes, places, "KV heads")
    axes.set_xticks(places, [variant_name(queries, heads) for heads in places])
    low, high = lines.span(drawn)
    svg.time_axis(axes, low / 1.2, high * 1.2)
    lines.draw(axes, drawn, data.styles)
    said = [f"{one.label}: {time_text(one.ys[0])} to {time_text(one.ys[-1])}" for one in drawn[:4]]
    about = f"Decode latency for {places[0]} to {places[-1]} KV heads. {'; '.join(said)}"
    return Panel(
        facet.title or "decode step", svg.render(figure, name, facet.title or _GROUPS_TITLE, about)
    )


def _groups_table(points: Sequence[Point]) -> DataTable:
    rows = []
    for point in points:
        if point.latency is None:
            continue
        row = point.row
        rows.append(
            (
                point.run,
                variant_name(row["q_heads"] or 0, row["kv_heads"]),
                str(row["batch"] or ""),
                count_text(point.length or 0),
                bytes_text(row["kv_cache_bytes"] or 0),
                point.backend,
                time_text(point.seconds),
            )
        )
    columns = ("run", "variant", "batch", "tokens", "KV cache", "backend", "latency")
    return DataTable(columns, tuple(rows))


def _kv_heads(point: Point) -> int | None:
    return point.row["kv_heads"] or None


def _seconds(point: Point) -> float | None:
    return None if point.latency is None else point.seconds
