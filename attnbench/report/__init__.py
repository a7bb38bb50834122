"""Reports: runs as one HTML file that a colleague can open."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from attnbench.store.run import Source

_HEAVY_BYTES = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A report that was written."""

    path: Path
    bytes: int
    cases: int
    verdict: str

    @property
    def is_heavy(self) -> bool:
        """Too large to be mailed about."""
        return self.bytes > _HEAVY_BYTES


def report(  # noqa: PLR0913  as many as the command line has flags
    runs: Source | Iterable[Source],
    out: str | os.PathLike[str],
    *,
    select: str | None = None,
    title: str | None = None,
    baseline: str | None = None,
    colours: Mapping[str, int] | None = None,
    by: str | None = None,
    against: str | None = None,
    threshold: float | None = None,
) -> Written:
    """Write one offline HTML file about one run or several.

    ``select`` is a filter, ``baseline`` the label that speed-ups are against, ``colours`` gives
    labels a place in the palette, from 1 to 10. Of several runs the first is compared with each
    other one; ``by``, ``against`` and ``threshold`` are those of ``compare``.

    Raises:
        InputError: a run that cannot be read, a filter, label or colour that is wrong.
        NothingSelected: no row is left.
        OutputError: the file cannot be written.

    """
    from attnbench.analysis.compare import THRESHOLD
    from attnbench.analysis.table import selected
    from attnbench.report.compared import comparisons
    from attnbench.report.html import render
    from attnbench.report.page import make_page
    from attnbench.store import load, read, result_files
    from attnbench.store.atomic import check_writable, write_text

    files = result_files(runs)
    frame = selected(load(files), select)
    footers = [read(file).metadata for file in files]
    metadata = {str(footer["run_id"]): footer for footer in footers if "run_id" in footer}
    path = Path(out).expanduser()
    check_writable(path.parent)
    found = comparisons(
        files,
        devices=frame["device_id"].nunique(),
        select=select,
        by=by,
        against=against,
        threshold=THRESHOLD if threshold is None else threshold,
    )
    page = make_page(
        frame, metadata, title=title, baseline=baseline, colours=colours, comparisons=found
    )
    text = render(page)
    write_text(path, text)
    return Written(
        path=path, bytes=len(text.encode()), cases=len(page.cases.rows), verdict=page.verdict
    )
