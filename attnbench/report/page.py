"""From rows to a page: the verdict, what to beware of, figures, tables and provenance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
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
from attnbench.units import time_text

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
    """Make the page of all rows of ``frame``; ``metadata`` holds the runs' footers by run id.

    ``comparisons`` are of the runs with each other, where there are several.

    Raises:
        NothingSelected: there is no row.
        OptionError: ``baseline`` or a colour names a backend that is not there.

    """
    from attnbench import __version__

    if frame.empty:
        raise NothingSelected("there is no row to report on", hint="attnbench list runs")
    found = comparisons or Comparisons()
    data = make_report_data(gather(frame), metadata, baseline=baseline, colours=colours or {})
    data = replace(data, comparisons=found)
    return Page(
        title=title or _title(data.points),
        verdict=winners.verdict(data.points, data.contests),
        rules=tuple(winners.rules(data.contests)),
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
    """Yield the figures that suites quote of these problems, and our fastest beside each."""
    for footer in metadata.values():
        own = [p for p in points if p.case.rows[0]["run_id"] == footer.get("run_id")]
        for line in published_lines(footer, [point.case for point in own]):
            finished = [p for p in drawn(own) if p.case.problem == line[0]]
            best = min(finished, key=lambda p: p.seconds, default=None)
            ours = "" if best is None else f"{time_text(best.seconds)}, {best.backend}, {best.run}"
            yield (*line, ours)


def _advice(frame: pd.DataFrame) -> str:
    """What ``attnbench advise`` says of these rows; nothing where no case is ok."""
    try:
        return document.text(advise_rows(frame))
    except NothingSelected:
        return ""


def make_report_data(
    points: Sequence[Point],
    metadata: Mapping[str, Mapping[str, Any]],
    *,
    baseline: str | None,
    colours: Mapping[str, int],
) -> ReportData:
    """Decide once, for all figures, who is fastest, who is the baseline and who looks how.

    Raises:
        OptionError: ``baseline`` or a colour names a backend that is not there.

    """
    found = winners.contests(points)
    labels = _best_first(points, found)
    for named in (*([baseline] if baseline else []), *colours):
        _check_label(named, labels)
    asked = [footer.get("baseline") for footer in metadata.values()]
    base, why = _baseline(baseline, asked, points, found)
    return ReportData(
        points=tuple(points),
        contests=tuple(found),
        styles=palette.styles(labels, colours),
        baseline=base,
        baseline_why=why,
    )


def _best_first(points: Sequence[Point], found: Sequence[winners.Contest]) -> list[str]:
    """Backends by how many problems they win, then by how often they are near the best."""
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
            f"no backend of these runs is called {label!r}{f', {advice}' if advice else ''}",
            hint=f"there are {known}",
        )


def _baseline(
    chosen: str | None,
    asked: Sequence[Any],
    points: Sequence[Point],
    found: Sequence[winners.Contest],
) -> tuple[str | None, str]:
    """The one that was named, else the suite's, else the slowest of those that share problems."""
    finished = {point.backend for point in drawn(points)}
    if chosen is not None:
        return chosen, "what --baseline names"
    for name in asked:
        if isinstance(name, str) and name in finished:
            return name, "the suite's baseline"
    if len(finished) < 2:  # noqa: PLR2004  one backend has no speed-up
        return None, "speed-ups need two backends that finished something"
    standing = rank_cases([point.case for point in drawn(points)])
    if standing:
        return standing[-1].label, "the slowest over the problems that all backends finished"
    shared_by = Counter(p.backend for one in found if not one.is_alone for p in one.points)
    if not shared_by:
        return None, "no problem was finished by two backends"
    return shared_by.most_common(1)[0][0], "the backend that finished most problems with others"


def _title(points: Sequence[Point]) -> str:
    names = dict.fromkeys(str(point.row["suite"] or point.row["run_name"]) for point in points)
    devices = dict.fromkeys(str(point.row["device_name"] or "unknown device") for point in points)
    return f"{_listed(list(names))} on {_listed(list(devices))}"


def source_line(points: Sequence[Point]) -> str:
    """Where a picture comes from: suite, device, day, how many ok cases and processes."""
    ok = drawn(points)
    day = dict(_chips(points)).get("measured", "")
    processes = max((p.latency.processes for p in ok if p.latency), default=0)
    each = "1 process" if processes == 1 else f"{processes} processes"
    parts = (_title(points), day, f"{len(ok)} ok cases", f"up to {each}", "made by attnbench")
    return ", ".join(filter(None, parts))


def _listed(names: Sequence[str]) -> str:
    if len(names) > 3:  # noqa: PLR2004
        return f"{', '.join(names[:2])} and {len(names) - 2} others"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _warnings(points: Sequence[Point]) -> list[str]:
    """What stands above the verdict: bad cases first, then doubts about the ok ones."""
    ok = drawn(points)
    lines = []
    bad = Counter(p.case.status for p in points if p.case.status in STATUSES[5:])
    if bad:
        said = ", ".join(f"{count} {status}" for status, count in bad.most_common())
        lines.append(f"{said}: these cases have no latency and stand in no figure")
    cases = [point.case for point in ok]
    lines += [*input_warnings(cases), *note_warnings(cases)]
    return lines


def _chips(points: Sequence[Point]) -> list[tuple[str, str]]:
    """Short facts below the title: what, where, when and how many."""
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
