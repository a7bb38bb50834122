"""Rows and runs for the tests of the store."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from attnbench.store import RunWriter

RUN = {"run_id": "r1", "attnbench_version": "0.1.0", "suite_text": "suite: decode\n"}


def make_row(case=0, process=0, *, status="ok", **changes):
    """Return a row as the runner hands it over: an ok one, or one with a reason."""
    row = {
        "attnbench_version": "0.1.0",
        "run_id": "r1",
        "run_name": "decode-cpu",
        "case_id": f"{case:012x}",
        "method_id": "fedcba987654",
        "case_label": f"decode #{case} · naive",
        "process": process,
        "started_at": 1_795_246_200.25,
        "status": status,
        "notes": [],
    }
    if status == "ok":
        row |= {"samples_us": [18.5, 18.2, 18.1], "n_samples": 3, "latency_us": 18.2}
    else:
        row["reason"] = f"because of {status}"
    return row | changes


def write_run(path, rows, run=None):
    """Write a finished run and return its path."""
    with RunWriter.create(path, RUN if run is None else run) as writer:
        for row in rows:
            writer.append(row)
        writer.finish()
    return path


def write_journal(path, rows, run=None):
    """Leave the journal of an unfinished run whose result file would be ``path``."""
    with RunWriter.create(path, RUN if run is None else run) as writer:
        for row in rows:
            writer.append(row)
    return path.with_suffix(".journal")


def python(script, *arguments, prefix=()):
    """Run a script in a fresh interpreter that finds the same attnbench; return the process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", script, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def store_row():
    return make_row


@pytest.fixture
def finished_run():
    return write_run


@pytest.fixture
def unfinished_run():
    return write_journal


@pytest.fixture
def fresh_python():
    return python
