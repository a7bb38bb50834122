"""From rows to a page: verdict, warnings, figures, tables and provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.analysis.advise import advise_rows, document
from attnbench.analysis.cases import rank_cases
from attnbench.analysis.runs import published_lines
from attnbench.analysis.warnings import input_warnings, note_warnings
from attnbench.errors import NothingSelected, OptionError
from attnbench.filter import did_you_mean
from attnbench.measurement import STATUSES
from attnbench.metrics import METRICS
from attnbench.report import palette, winners
from attnbench.report.comparisons import Comparisons
from attnbench.report.facets import shared
from attnbench.report.figures import sections
from attnbench.report.model import Page, ReportData, backend_keys
from attnbench.report.points import Point, drawn, gather
from attnbench.report.tables import case_table, failures, provenance
from attnbench.units import counted, time_text

if TYPE_CHECKING:
    import pandas as pd


def make_page(
    frame: pd.DataFrame,
    metadata: Mapping[str, Mapping[str, Any]],
    *,
    title: str | None = None,
    baseline: str | None = None,
    colours: Mapping[str, int] | None = None,
    comparisons: Comparisons | None = None,
) -> Page:
    """Make the page of all rows of ``frame``.

    Args:
        frame: rows of one run or several.
        metadata: the footers of the runs' files, by run id.
        title: heading; None makes one of suite and device.
        baseline: label that speed-ups are relative to; None chooses one.
        colours: place in the palette, 1 to 10, by label.
        comparisons: the runs compared with each other.

    Raises:
        NothingSelected: ``frame`` is empty.
        OptionError: ``baseline`` or a colour names a backend without a case.

    """
    from attnbench import __version__

    if frame.empty:
        raise NothingSelected("there are no rows to report", hint="attnbench list runs")
    found = comparisons or Comparisons()
    data = make_report_data(gather(frame), metadata, baseline, colours, found)
    return Page(
        title=title or _title(data.points),
        verdict=winners.verdict(data.points, data.rankings),
        rules=tuple(winners.rules(data.rankings)),
        warnings=(*_warnings(data.points), *found.refused),
        chips=tuple(_chips(data.points)),
        common=tuple(shared(data.points)),
        sections=sections(data),
        cases=case_table(data),
        failures=failures(data.points),
        provenance=provenance(data.points, metadata),
        formulas=tuple((m.name, f"{m.formula} [{m.unit}]", m.about) for m in METRICS.values()),
        version=__version__,
        keys=backend_keys(data, list(data.styles)),
        compared=found.lines,
        published=tuple(_published(data.points, metadata)),
        advice=_advice(frame),
    )


def _published(
    points: Sequence[Point], metadata: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, ...]]:
    """Yield the results that suites quote for these problems, each with our fastest."""
    for footer in metadata.values():
        own = [p for p in points if p.case.rows[0]["run_id"] == footer.get("run_id")]
        for line in published_lines(footer, [point.case for point in own]):
            finished = [p for p in drawn(own) if p.case.problem == line[0]]
            best = min(finished, key=lambda p: p.seconds, default=None)
            ours = "" if best is None else f"{time_text(best.seconds)}, {best.backend}, {best.run}"
            yield (*line, ours)


def _advice(frame: pd.DataFrame) -> str:
    """The output of ``attnbench advise`` for these rows; empty if no case is ok."""
    try:
        return document.text(advise_rows(frame))
    except NothingSelected:
        return ""


def make_report_data(
    points: Sequence[Point],
    metadata: Mapping[str, Mapping[str, Any]],
    baseline: str | None = None,
    colours: Mapping[str, int] | None = None,
    comparisons: Comparisons | None = None,
) -> ReportData:
    """Rank the backends, choose the baseline and give each backend its style, for all figures.

    Raises:
        OptionError: ``baseline`` or a colour names a backend without a case.

    """
    found = winners.rankings(points)
    labels = _best_first(points, found)
    for named in (*([baseline] if baseline else []), *(colours or {})):
        _check_label(named, labels)
    asked = [footer.get("baseline") for footer in metadata.values()]
    base, why = _baseline(baseline, asked, points, found)
    return ReportData(
        points=tuple(points),
        rankings=tuple(found),
        styles=palette.styles(labels, colours),
        baseline=base,
        baseline_why=why,
        comparisons=comparisons or Comparisons(),
    )


def _best_first(points: Sequence[Point], found: Sequence[winners.Ranking]) -> list[str]:
    """Order backends by wins, then by the sum of best latency over own latency."""
    wins = Counter(one.winner for one in found if one.winner)
    near: Counter[str] = Counter()
    for one in found:
        for point in one.points:
            near[point.backend] += one.best.seconds / point.seconds  # type: ignore[assignment]
    labels = dict.fromkeys(point.backend for point in points)
    return sorted(labels, key=lambda label: (-wins[label], -near[label], label))


def _check_label(label: str, labels: Sequence[str]) -> None:
    if label not in labels:
        advice = did_you_mean(label, labels)
        known = ", ".join(sorted(labels)[:8])
        raise OptionError(
            f"these runs have no backend {label!r}{f', {advice}' if advice else ''}",
            hint=f"backends: {known}",
        )


def _baseline(
    chosen: str | None,
    asked: Sequence[Any],
    points: Sequence[Point],
    found: Sequence[winners.Ranking],
) -> tuple[str | None, str]:
    """Return the baseline and where it comes from: named, from the suite, or the slowest."""
    finished = {point.backend for point in drawn(points)}
    if chosen is not None:
        return chosen, "the backend named by --baseline"
    for name in asked:
        if isinstance(name, str) and name in finished:
            return name, "the suite's baseline"
    if len(finished) < 2:  # noqa: PLR2004  one backend has no speed-up
        return None, "a speed-up needs two backends with completed cases"
    standing = rank_cases([point.case for point in drawn(points)])
    if standing:
        return standing[-1].label, "the slowest on the problems that all backends completed"
    shared_by = Counter(p.backend for one in found if not one.has_one_backend for p in one.points)
    if not shared_by:
        return None, "no two backends completed the same problem"
    [(label, _)] = shared_by.most_common(1)
    return label, "the backend that shares the most completed problems with others"


def _title(points: Sequence[Point]) -> str:
    names = dict.fromkeys(str(point.row["suite"] or point.row["run_name"]) for point in points)
    devices = dict.fromkeys(str(point.row["device_name"] or "unknown device") for point in points)
    return f"{_listed(list(names))} on {_listed(list(devices))}"


def source_line(points: Sequence[Point]) -> str:
    """Return the origin of a picture: suite, device, day, ok cases and processes."""
    ok = drawn(points)
    day = dict(_chips(points)).get("measured", "")
    processes = max((p.latency.processes for p in ok if p.latency), default=0)
    parts = (
        _title(points),
        day,
        counted(len(ok), "ok case"),
        f"up to {counted(processes, 'process')}",
        "made by attnbench",
    )
    return ", ".join(filter(None, parts))


def _listed(names: Sequence[str]) -> str:
    if len(names) > 3:  # noqa: PLR2004
        return f"{', '.join(names[:2])} and {counted(len(names) - 2, 'other')}"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _warnings(points: Sequence[Point]) -> list[str]:
    """Return what is shown above the verdict: failures first, then warnings about ok cases."""
    ok = drawn(points)
    lines = []
    bad = Counter(p.case.status for p in points if p.case.status in STATUSES[5:])
    if bad:
        said = ", ".join(f"{count} {status}" for status, count in bad.most_common())
        lines.append(f"{said}: these cases have no latency and appear in no figure")
    cases = [point.case for point in ok]
    lines += [*input_warnings(cases), *note_warnings(cases)]
    return lines


def _chips(points: Sequence[Point]) -> list[tuple[str, str]]:
    """Return the short facts below the verdict: device, day, counts."""
    statuses = Counter(point.case.status for point in points)
    moments = [
        row["started_at"] for p in points for row in p.case.rows if row["started_at"] is not None
    ]
    chips = [
        ("device", _listed(list(dict.fromkeys(str(p.row["device_name"] or "?") for p in points)))),
        ("phases", ", ".join(dict.fromkeys(point.phase for point in points))),
        ("dtypes", ", ".join(dict.fromkeys(str(point.row["dtype"] or "?") for point in points))),
        ("backends", f"{len({point.backend for point in points})}"),
    ]
    if moments:
        chips.append(("measured", f"{min(moments):%Y-%m-%d}"))
    chips += [(one, f"{statuses[one]:,}") for one in STATUSES if statuses[one]]
    if noisy := sum("NOISY" in point.case.notes for point in drawn(points)):
        chips.append(("noisy", f"{noisy:,}"))
    return chips
