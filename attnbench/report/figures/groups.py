"""What fewer KV heads buy: the size of the cache, and the time of a decode step."""

from __future__ import annotations

from collections.abc import Sequence

from attnbench.analysis.variants.heads import variant_name
from attnbench.report import canvas, palette
from attnbench.report.facets import Facet, largest, split
from attnbench.report.figures import lines
from attnbench.report.model import DataTable, Figure, MissingFigure, Panel, ReportData, backend_keys
from attnbench.report.points import Point
from attnbench.units import bytes_text, count_text, time_text

NAME, TITLE = "groups", "What do fewer KV heads buy?"
_MOST_FACETS = 6
_HEIGHT = 250


def groups(subject: ReportData) -> Figure | MissingFigure:
    """Draw cache bytes and decode latency against KV heads, two panels for each problem."""
    decoding = [p for p in subject.points if p.phase == "decode" and p.row["kv_heads"] and p.length]
    facets = [one for one in _by_kv_heads(decoding) if _grows(one)]
    if not facets:
        why = "no decode problem was measured with two numbers of KV heads or more"
        return MissingFigure(NAME, TITLE, why)
    shown, left_out = largest(facets, _MOST_FACETS)
    panels = []
    sizes: set[tuple[tuple[int, float], ...]] = set()
    for number, facet in enumerate(shown):
        size = _size_of_cache(facet)
        if size and tuple(size) not in sizes:
            sizes.add(tuple(size))
            panels.append(_cache_panel(facet, size, f"{NAME}-c{number}"))
    panels += [_time_panel(one, subject, f"{NAME}-t{n}") for n, one in enumerate(shown)]
    remarks = [f"{left_out} more problems are left out"] if left_out else []
    points = [point for one in shown for point in one.points]
    return Figure(
        name=NAME,
        title=TITLE,
        how="MHA has a KV head for every query head, MQA one for all, GQA-g has g. The bars are the"
        " bytes that one token takes in the cache of this layer; the lines are one decode step over"
        " the whole cache. Where decode is limited by memory the time follows the bars; where it is"
        " flat something else is the limit.",
        panels=tuple(panels),
        keys=backend_keys(subject, sorted({p.backend for p in points if p.latency})),
        table=_table(points),
        remarks=tuple(remarks),
    )


def _by_kv_heads(points: Sequence[Point]) -> list[Facet]:
    """Panels by everything but the KV heads; the query heads stay."""
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
    """Bytes a token by KV heads."""
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

    figure, axes = canvas.panel(lines.WIDTH, _HEIGHT)
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
    axes.set_ylabel("KV cache a token")
    said = ", ".join(f"{variant_name(queries, heads)} {bytes_text(size)}" for heads, size in sizes)
    title = "size of the cache, one layer"
    return Panel(title, canvas.to_svg(figure, name, title, f"Bytes a token: {said}"))


def _time_panel(facet: Facet, subject: ReportData, name: str) -> Panel:
    drawn = lines.series(facet.points, _kv_heads, _seconds, with_band=True)
    figure, axes = canvas.panel(lines.WIDTH, _HEIGHT)
    queries = facet.points[0].row["q_heads"] or 0
    places = lines.across(drawn)
    lines.counts_axis(axes, places, "KV heads")
    axes.set_xticks(places, [variant_name(queries, heads) for heads in places])
    low, high = lines.span(drawn)
    canvas.time_axis(axes, low / 1.2, high * 1.2)
    lines.draw(axes, drawn, subject.styles)
    said = [f"{one.label}: {time_text(one.ys[0])} to {time_text(one.ys[-1])}" for one in drawn[:4]]
    about = f"Decode latency for {places[0]} to {places[-1]} KV heads. {'; '.join(said)}"
    return Panel(
        facet.title or "decode step", canvas.to_svg(figure, name, facet.title or TITLE, about)
    )


def _table(points: Sequence[Point]) -> DataTable:
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
