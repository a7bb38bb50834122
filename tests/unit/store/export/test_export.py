"""Formats are found by name."""

from __future__ import annotations

import pytest

from attnbench.errors import OptionError
from attnbench.store import EXPORTERS, export_text, load


def test_every_format_writes_a_run(tmp_path, store_row, finished_run):
    frame = load(finished_run(tmp_path / "x.parquet", [store_row()]))

    for form in EXPORTERS:
        assert "decode #0" in export_text(frame, form)


def test_an_unknown_format_names_those_that_exist():
    with pytest.raises(OptionError, match=r"^--as is one of csv, markdown; got xml$"):
        export_text(None, "xml")
