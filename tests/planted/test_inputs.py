"""Number 10: zeros in the cache, or pages in the order of the table, must be seen in the row."""

from __future__ import annotations

import pytest

from attnbench.case import Case
from attnbench.environment import Device, Environment
from attnbench.execute.rows import RunIdentity, make_row
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.problem import Problem

PAGED = {"q_len": 1, "kv_len": 70, "q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
DEVICE = Device(kind="cpu", name="any", arch="x86_64", memory_bytes=1, free_bytes=1)


def row_of(**fields):
    case = Case(problem=Problem(**PAGED, **fields), backend="naive")
    identity = RunIdentity(
        attnbench_version="1",
        run_id="r",
        run_name="r",
        suite="s",
        suite_sha256="0",
        suite_tags=(),
        run_args="{}",
        repro="attnbench run s",
        environment=Environment(device=DEVICE, host="h", python="3"),
    )
    done = Measurement(case=case, status="failed", reason="none was run")
    return make_row(identity, done, Method(timer="wall", l2="warm"))[0]


@pytest.mark.parametrize("dist", ["uniform", "zeros", "outliers"])
def test_what_was_drawn_is_a_column_a_word_of_the_label_and_part_of_the_id(dist):
    usual, other = row_of(), row_of(input_dist=dist)

    assert (usual["input_dist"], other["input_dist"]) == ("normal", dist)
    assert f"input_dist={dist}" in other["case_label"]
    assert "input_dist" not in usual["case_label"]
    assert usual["case_id"] != other["case_id"]


def test_pages_in_order_are_a_column_a_word_of_the_label_and_part_of_the_id():
    usual, other = row_of(kv_layout="paged"), row_of(kv_layout="paged", page_order="identity")

    assert (usual["page_order"], other["page_order"]) == ("shuffled", "identity")
    assert "page_order=identity" in other["case_label"]
    assert "page_order" not in usual["case_label"]
    assert usual["case_id"] != other["case_id"]


@pytest.mark.torch
@pytest.mark.parametrize("order", ["shuffled", "identity"])
def test_the_table_is_as_the_row_says(order):
    import torch

    from attnbench.measure.inputs import make_inputs

    problem = Problem(**{**PAGED, "batch": 3}, kv_layout="paged", page_order=order)
    table = make_inputs(problem, "cpu").page_table
    used = table.flatten()

    assert len(used.unique()) == len(used)
    in_order = torch.equal(used.long(), torch.arange(len(used)) + int(used[0]))
    assert in_order == (order == "identity")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("dist", "is_zero", "spread"),
    [("normal", False, (3, 6)), ("zeros", True, (0, 0)), ("uniform", False, (0.9, 1.01))],
)
def test_the_numbers_are_as_the_row_says(dist, is_zero, spread):
    from attnbench.measure.inputs import make_inputs

    fields = {**PAGED, "kv_len": 4096}
    k = make_inputs(Problem(**fields, input_dist=dist), "cpu").k
    largest = float(k.abs().max())

    assert (largest == 0) == is_zero
    assert spread[0] <= largest <= spread[1]


@pytest.mark.torch
def test_outliers_stand_out_in_the_same_channels_of_every_key():
    from attnbench.measure.inputs import make_inputs

    fields = {**PAGED, "kv_len": 4096}
    k = make_inputs(Problem(**fields, input_dist="outliers"), "cpu").k
    large = (k.abs() > 5).float().mean(-2)

    assert set(large.flatten().round(decimals=2).tolist()) == {0.0, 1.0}
    assert 0.01 < float(large.mean()) < 0.1
