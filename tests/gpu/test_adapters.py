"""Adapters with their real libraries: right against the reference, where they say they can do it.

Run by nobody yet. A library that is not installed is skipped, with the line that installs it.
"""

from __future__ import annotations

import importlib

import pytest

from attnbench.problem import Problem
from attnbench.registry import BUILT_INS

pytestmark = [pytest.mark.gpu, pytest.mark.torch]

ADAPTERS = ("flash_attn", "flash_attn_3", "flash_attn_4", "flashinfer", "cudnn", "flex")
HEADS = {"q_heads": 8, "kv_heads": 2, "head_dim": 128, "dtype": "bf16"}
LATENT = {"q_heads": 16, "kv_heads": 1, "head_dim": 576, "v_head_dim": 512, "latent": True}
PAGED = {"kv_layout": "paged", "page_size": 256}
PROBLEMS = [
    {"batch": 2, "q_len": 300, "mask": "causal"},
    {"q_len": 300, "kv_len": 700, "mask": "causal"},
    {"batch": 2, "q_len": 300, "mask": "window", "window": 100},
    {"batch": 3, "q_len": 1, "kv_len": 1000},
    {"batch": 3, "q_len": 1, "kv_len": 1000, "mask": "window", "window": 100},
    {"batch": 3, "q_len": 1, "kv_len": 1024, **PAGED},
    {"batch": 3, "q_len": 1, "kv_len": 1000, **PAGED},
    {"batch": 3, "q_len": 1, "kv_len": 1000, "kv_layout": "paged", "page_format": "hnd"},
    {"batch": 3, "q_len": 4, "kv_len": 1000, "mask": "causal"},
    {"requests": "q300_2q64s500_q1s900", "mask": "causal"},
    {"requests": "q64s500_q1s900", "mask": "causal", **PAGED},
    {"q_len": 300, "mask": "causal", "softcap": 20.0},
    {"q_len": 300, "mask": "causal", "bias": "alibi"},
    {"q_len": 300, "mask": "causal", "sink_logits": True},
    {"batch": 2, "q_len": 2, "kv_len": 500, "append": 2, "mask": "causal", "rope": "neox"},
    {"q_len": 200, "head_dim": 192, "v_head_dim": 128, "mask": "causal"},
    {**LATENT, "batch": 2, "q_len": 1, "kv_len": 1000},
    {**LATENT, "batch": 2, "q_len": 1, "kv_len": 1024, "kv_layout": "paged", "page_size": 64},
    {"batch": 2, "q_len": 300, "mask": "causal", "mode": "fwd_bwd"},
    {"requests": "q300_q64s500", "mask": "causal", "mode": "fwd_bwd"},
]
OPTIONS = {
    "flashinfer": [{"lse": True}, {"backend": "fa2", "pack": False}],
    "flash_attn_4": [{"splits": 0}],
    "flex": [{"lse": True}],
}


@pytest.fixture(scope="module")
def device():
    from attnbench.device.cuda import Cuda

    return Cuda(0).describe()


@pytest.mark.parametrize("fields", PROBLEMS, ids=lambda one: Problem(**{**HEADS, **one}).label)
@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_is_right_before_and_after_q_is_drawn_again(name, fields, device):
    from attnbench.measure.calls import Prepared
    from attnbench.measure.check import check
    from attnbench.measure.inputs import make_inputs, redraw
    from attnbench.measure.reference import Reference

    module = importlib.import_module(BUILT_INS[name])
    problem = Problem(**{**HEADS, **fields})
    library = getattr(module, "library", None)
    if library is not None and (missing := library.why_not()):
        pytest.skip(missing)
    for options in ({}, *OPTIONS.get(name, ())):
        reason = module.capabilities.why_not(problem, device)
        if reason or module.why_not(problem, device, **options):
            continue
        inputs = make_inputs(problem, "cuda:0")
        prepared = Prepared(module, inputs, options)
        first = check(prepared.outputs(), Reference.of(inputs))
        assert first.passed, f"{options}: {first.reason}"
        redraw(inputs)
        again = check(prepared.outputs(), Reference.of(inputs))
        assert again.passed, f"{options}, q drawn again: {again.reason}"


@pytest.mark.parametrize("backend", ["triton_decode", "triton_flash"])
def test_tuning_measures_and_writes_a_table_that_can_be_used(backend, device, tmp_path):
    from attnbench.api import load_suite
    from attnbench.api.backends import measure_tiles
    from attnbench.execute import tune as tuning
    from attnbench.kernels.tile_table import read_table

    suite = load_suite("tune", backends=[backend], filter="head_dim=64 mode=fwd kv_dtype=bf16")
    found = tuning.candidates_of(backend, suite.cases, device)
    candidates = tuple(tuning.compiled(backend, found, device.arch))
    out = tmp_path / "tiles.json"

    request = tuning.TuningRequest(suite=suite, candidates=candidates, out=out, processes=3)
    tuned = measure_tiles(request, lambda _: None)

    assert {one.after_us is not None for one in tuned.choices} == {True}
    names = {row.source for row in read_table(out).rows}
    assert any(device.name in one for one in names)
