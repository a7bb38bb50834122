"""Rows in the formats of other tools: a format is a name and a function from a frame to text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.analysis.export.cases import left_out
from attnbench.analysis.export.dashboards import to_bencher, to_github_action_benchmark
from attnbench.analysis.export.pytest_benchmark import to_pytest_benchmark
from attnbench.analysis.export.tables import to_csv, to_markdown
from attnbench.errors import NothingSelected, OptionError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Exporter:
    """One format; ``keeps_all`` is false where it has no place for a case that is not ok."""

    write: Callable[[pd.DataFrame], str]
    keeps_all: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """Rows as text; ``left_out`` counts the cases that are not in it, empty where all are."""

    text: str
    left_out: str


# A new format is one function beside these and one line here.
EXPORTERS: dict[str, Exporter] = {
    "csv": Exporter(to_csv, keeps_all=True),
    "markdown": Exporter(to_markdown, keeps_all=True),
    "pytest-benchmark": Exporter(to_pytest_benchmark),
    "github-action-benchmark": Exporter(to_github_action_benchmark),
    "bencher": Exporter(to_bencher),
}


def export(frame: pd.DataFrame, form: str) -> Exported:
    """Return the rows of ``attnbench.load`` in one of the formats of ``EXPORTERS``.

    Raises:
        NothingSelected: the format takes only ok cases, and there is none.
        OptionError: there is no such format.
        ResultFileError: an ok row with a time that cannot be one.

    """
    if form not in EXPORTERS:
        from attnbench.filter import did_you_mean

        near = did_you_mean(form, EXPORTERS)
        raise OptionError(f"--as is one of {', '.join(EXPORTERS)}; got {form}", hint=near or None)
    exporter = EXPORTERS[form]
    if exporter.keeps_all:
        return Exported(exporter.write(frame), "")
    without = left_out(frame)
    if not (frame["status"] == "ok").any():
        raise NothingSelected(
            f"{form} takes only ok cases, and none is ok: {without or 'there is no row'}",
            hint="--as csv and --as markdown keep every case with its reason",
        )
    return Exported(exporter.write(frame), without)
