"""What test_reference.py, which holds naive against the definition, leaves open."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from attnbench.backends import naive
from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import checksum, make_inputs
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "bf16"}


def checked(options=None, **fields):
    inputs = make_inputs(Problem(**{**HEADS, **fields}), "cpu")
    before = checksum(inputs)
    result = check(Prepared(naive, inputs, options or {}).outputs(), Reference.of(inputs))
    assert checksum(inputs) == before
    return result


@pytest.mark.parametrize("mode", ["fwd", "bwd", "fwd_bwd"])
@pytest.mark.parametrize(
    "fields",
    [
        {"q_len": 33, "mask": "causal"},
        {"batch": 3, "q_len": 1, "kv_len": 100},
        {"q_len": 20, "kv_len": 50, "v_head_dim": 8, "softcap": 5.0, "bias": "alibi"},
        {"requests": "2q9s20_q1s64_q30", "mask": "window", "window": 6, "sinks": 2},
    ],
    ids=["prefill", "decode", "extend", "mixed"],
)
def test_every_phase_and_mode_is_right(fields, mode):
    result = checked(mode=mode, **fields)
    assert result.passed, result.reason


@pytest.mark.parametrize("kv_dtype", ["bf16", "fp8_e4m3", "fp8_e5m2", "int8", "int4"])
@pytest.mark.parametrize("append", [0, 1])
def test_every_cache_is_right(kv_dtype, append):
    pages = {"kv_layout": "paged", "page_size": 16, "append": append}
    result = checked(batch=3, q_len=1, kv_len=50, kv_dtype=kv_dtype, **pages)
    assert result.passed, result.reason


def test_upcast_errs_less():
    assert checked({"upcast": True}, q_len=64).error_rel < checked(q_len=64).error_rel


def test_an_append_may_be_called_again():
    inputs = make_inputs(Problem(**HEADS, q_len=2, kv_len=9, append=2), "cpu")
    call = naive.prepare(inputs)

    first, second = call(), call()

    assert torch.equal(first[0], second[0])
    assert torch.equal(inputs.k[..., -2:, :], inputs.k_new)


def test_workspace_counts_the_scores_of_the_largest_group():
    problem = Problem(**HEADS, requests="4q1s1k_q64")
    scores, keys = 4 * 4 * 1024, 4 * 2 * 1024 * 32
    assert naive.workspace_bytes(problem) == 3 * scores * 2 + 2 * keys * 2
    dense = Problem(**HEADS, q_len=64)
    assert naive.workspace_bytes(dense) == 3 * 4 * 64 * 64 * 2
    assert naive.workspace_bytes(dense, upcast=True) > 2 * naive.workspace_bytes(dense)


@pytest.mark.parametrize("name", ["naive", "sdpa", "flex"])
def test_a_built_in_backend_is_imported_without_torch(name):
    program = f"import attnbench.backends.{name}, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
