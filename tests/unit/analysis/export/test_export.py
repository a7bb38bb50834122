"""Formats are found by name, and what a format has no place for is said."""

from __future__ import annotations

import math

import pytest

from attnbench.analysis.export import EXPORTERS, export
from attnbench.errors import NothingSelected, OptionError, ResultFileError
from attnbench.store import load

NUMBERS_ALONE = ["pytest-benchmark", "github-action-benchmark", "bencher"]


def test_every_format_writes_a_run(tmp_path, store_row, finished_run):
    frame = load(finished_run(tmp_path / "x.parquet", [store_row()]))

    for form in EXPORTERS:
        assert "decode #0" in export(frame, form).text


def test_an_unknown_format_names_those_that_exist_and_the_nearest():
    listed = "csv, markdown, pytest-benchmark, github-action-benchmark, bencher"
    with pytest.raises(OptionError, match=rf"^--as is one of {listed}; got xml$"):
        export(None, "xml")
    with pytest.raises(OptionError, match="did you mean 'bencher'"):
        export(None, "benchr")


@pytest.mark.parametrize("form", NUMBERS_ALONE)
def test_what_is_not_ok_becomes_no_number_and_is_counted(tmp_path, store_row, finished_run, form):
    rows = [store_row(0), store_row(0, 1, status="oom"), store_row(1)]
    rows += [store_row(case, None, status="skipped") for case in (2, 3)]

    found = export(load(finished_run(tmp_path / "x.parquet", rows)), form)

    assert found.left_out == "2 skipped, 1 oom"
    assert "decode #1" in found.text
    for case in (0, 2, 3):
        assert f"decode #{case}" not in found.text


@pytest.mark.parametrize("form", ["csv", "markdown"])
def test_formats_that_keep_every_case_leave_nothing_out(tmp_path, store_row, finished_run, form):
    rows = [store_row(0), store_row(1, status="oom")]

    found = export(load(finished_run(tmp_path / "x.parquet", rows)), form)

    assert found.left_out == ""
    assert "because of oom" in found.text


@pytest.mark.parametrize("form", NUMBERS_ALONE)
def test_a_run_without_an_ok_case_has_nothing_to_export(tmp_path, store_row, finished_run, form):
    frame = load(finished_run(tmp_path / "x.parquet", [store_row(status="oom")]))

    with pytest.raises(NothingSelected, match="none is ok: 1 oom"):
        export(frame, form)


@pytest.mark.parametrize("form", NUMBERS_ALONE)
@pytest.mark.parametrize("samples", [[], [1.0, math.nan], [1.0, 0.0], [1.0, -2.0]])
def test_a_time_that_cannot_be_one_is_refused(tmp_path, store_row, finished_run, form, samples):
    frame = load(finished_run(tmp_path / "x.parquet", [store_row()]))
    frame["samples_us"] = [samples]

    with pytest.raises(ResultFileError, match="not finite and above zero"):
        export(frame, form)
