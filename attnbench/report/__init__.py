"""Reports: runs as one HTML file that a colleague can open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import NothingSelected, OptionError
from attnbench.store.run import Source

if TYPE_CHECKING:
    import pandas as pd

    from attnbench.report.comparisons import Comparisons

_HEAVY_BYTES = 5_000_000
_ONE_DEVICE = "prices were given, but no two devices are compared, so work per dollar is not shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A report that was written.

    ``compared`` has a sentence for each pair of runs, ``refused`` one for each refused comparison.
    """

    path: Path
    bytes: int
    cases: int
    verdict: str
    compared: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def is_heavy(self) -> bool:
        """Too large to send by mail."""
        return self.bytes > _HEAVY_BYTES


def report(  # noqa: PLR0913  as many as the command line has flags
    runs: Source | Iterable[Source],
    out: str | os.PathLike[str],
    *,
    filter: str | None = None,
    title: str | None = None,
    baseline: str | None = None,
    colours: Mapping[str, int] | None = None,
    by: str | None = None,
    against: str | None = None,
    threshold: float | None = None,
    prices: Mapping[str, float] | None = None,
) -> Written:
    """Write one offline HTML file about one or several runs.

    Args:
        runs: files, folders or names of runs; the first is compared with each other one.
        out: path of the HTML file.
        filter: keep only the cases that match.
        title: heading of the page; None makes one of suite and device.
        baseline: label that speed-ups are relative to; None chooses one.
        colours: place in the palette, 1 to 10, by label.
        by: as in ``compare``.
        against: as in ``compare``.
        threshold: as in ``compare``.
        prices: dollars per hour by device name.

    Raises:
        InputError: a run cannot be read, or a filter, label, colour or price is wrong.
        NothingSelected: no row is left.
        OutputError: the file cannot be written.

    """
    from attnbench.report.html import render
    from attnbench.report.page import make_page
    from attnbench.store.atomic import check_writable, write_text

    frame, metadata, compared = _load(
        runs, filter, by=by, against=against, threshold=threshold, prices=prices
    )
    path = Path(out).expanduser()
    check_writable(path.parent)
    page = make_page(
        frame,
        metadata,
        title=title,
        baseline=baseline,
        colours=colours,
        comparisons=compared,
    )
    text = render(page)
    write_text(path, text)
    return Written(
        path=path,
        bytes=len(text.encode()),
        cases=len(page.cases.rows),
        verdict=page.verdict,
        compared=page.compared,
        refused=compared.refused,
    )


def picture(
    runs: Source | Iterable[Source],
    out: str | os.PathLike[str],
    *,
    figure: str,
    mode: str = "light",
    filter: str | None = None,
    baseline: str | None = None,
    colours: Mapping[str, int] | None = None,
    prices: Mapping[str, float] | None = None,
) -> Path:
    """Write one figure of a report as an SVG file.

    Args:
        runs: files, folders or names of runs.
        out: path of the SVG file.
        figure: one of ``attnbench.report.figures.FIGURES``.
        mode: ``light`` or ``dark``.
        filter: keep only the cases that match.
        baseline: label that speed-ups are relative to; None chooses one.
        colours: place in the palette, 1 to 10, by label.
        prices: dollars per hour by device name.

    Raises:
        InputError: a run cannot be read, or a figure, mode, filter, label or price is wrong.
        NothingSelected: no row is left, or the figure has no data; the message says why.
        OutputError: the file cannot be written.

    """
    from attnbench.report.figures import FIGURES
    from attnbench.report.html import MODES
    from attnbench.report.html import picture as picture_text
    from attnbench.report.model import MissingFigure
    from attnbench.report.page import make_report_data, source_line
    from attnbench.report.points import gather
    from attnbench.report.svg import figure_style
    from attnbench.store.atomic import check_writable, write_text

    for word, known, what in ((figure, FIGURES, "figure"), (mode, MODES, "mode")):
        if word not in known:
            raise OptionError(f"{what} is one of {', '.join(known)}; got {word!r}")
    frame, metadata, compared = _load(runs, filter, prices=prices)
    data = make_report_data(gather(frame), metadata, baseline, colours, compared)
    with figure_style():
        drawn = FIGURES[figure](data)
    if isinstance(drawn, MissingFigure):
        raise NothingSelected(f"there is no figure {figure!r}: {drawn.why}")
    path = Path(out).expanduser()
    check_writable(path.parent)
    write_text(path, picture_text(drawn, source_line(data.points), mode))
    return path


def _load(
    runs: Source | Iterable[Source],
    filter: str | None,
    *,
    by: str | None = None,
    against: str | None = None,
    threshold: float | None = None,
    prices: Mapping[str, float] | None = None,
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]], Comparisons]:
    """Return the rows of a report, the footers of their runs by run id, and their comparisons."""
    from attnbench.analysis.cases import filtered
    from attnbench.analysis.compare import THRESHOLD
    from attnbench.analysis.running_cost import prices_by_device
    from attnbench.report.comparisons import comparisons
    from attnbench.store import load, read, result_files

    files = result_files(runs)
    frame = filtered(load(files), filter)
    names = [str(name) for name in frame["device_name"].dropna().unique()]
    by_device = prices_by_device(prices or {}, names)
    found = comparisons(
        files,
        devices=frame["device_id"].nunique(),
        filter=filter,
        by=by,
        against=against,
        threshold=THRESHOLD if threshold is None else threshold,
        prices=by_device,
    )
    if by_device and not found.across:
        found = replace(found, refused=(*found.refused, _ONE_DEVICE))
    footers = [read(file).metadata for file in files]
    by_run = {str(footer["run_id"]): footer for footer in footers if "run_id" in footer}
    return frame, by_run, found
