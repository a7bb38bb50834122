from __future__ import annotations

import pytest

from attnbench.cli import exit_codes
from attnbench.measurement import BAD_STATUSES, STATUSES


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_beside_an_ok_case(status):
    assert exit_codes.of_counts({"ok": 1, status: 1}) == (1 if status in BAD_STATUSES else 0)


@pytest.mark.parametrize("status", ["skipped", "unsupported", "not_run", "oom"])
def test_no_ok_case_and_no_bad_one_is_the_machines_fault(status):
    assert exit_codes.of_counts({status: 2}) == 4


def test_a_bad_case_outranks_that_there_is_no_ok_one():
    assert exit_codes.of_counts({"failed": 2, "oom": 1}) == 1


def test_an_interrupt_outranks_what_was_measured():
    assert exit_codes.of_counts({"ok": 1, "failed": 1}, interrupted=True) == 130


@pytest.mark.parametrize(
    ("codes", "expected"), [([0, 1, 4], 4), ([70, 4], 70), ([0, 1], 1), ([0, 0], 0), ([], 0)]
)
def test_the_highest_of_several_runs(codes, expected):
    assert exit_codes.highest(codes) == expected
