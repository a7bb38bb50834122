"""Rows in the formats of other tools: a format is a name and a function from a frame to text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attnbench.errors import OptionError
from attnbench.store.export.csv import to_csv
from attnbench.store.export.markdown import to_markdown

if TYPE_CHECKING:
    import pandas as pd

    Exporter = Callable[[pd.DataFrame], str]

# A new format is one new file beside these and one line here.
EXPORTERS: dict[str, Exporter] = {
    "csv": to_csv,
    "markdown": to_markdown,
}


def export_text(frame: pd.DataFrame, form: str) -> str:
    """Return the rows of ``attnbench.load`` as text in one of the formats of ``EXPORTERS``.

    Raises:
        OptionError: there is no such format.

    """
    if form not in EXPORTERS:
        raise OptionError(f"--as is one of {', '.join(EXPORTERS)}; got {form}")
    return EXPORTERS[form](frame)
