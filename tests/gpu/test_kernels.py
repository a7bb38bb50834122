"""Every Triton kernel on a GPU, in every dtype and at the shapes of real models, against fp64.

The interpreter has seen each of these kinds of problem at small odd shapes (tests/kernels). What it
cannot see is here: the compiler's own code, the matrix units' arithmetic, bf16 and fp8, tiles that
fill shared memory, grids of thousands of programs, races. Each case is computed twice, with
q drawn again in between, into memory that held NaN before.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from attnbench.kernels.launch import is_interpreted
from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import checksum, make_inputs, matmul_precision, redraw
from attnbench.measure.reduce import reduced, upcast
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = [pytest.mark.gpu(rehearsable=True), pytest.mark.torch]

Case = dict[str, Any]
DTYPES = ("fp32", "tf32", "fp16", "bf16")
WIDTHS = ((64, 64), (96, 96), (128, 128), (192, 128), (256, 256))
LLAMA: Case = {"q_heads": 32, "kv_heads": 8, "head_dim": 128, "dtype": "bf16"}
LATENT: Case = {
    "q_heads": 128,
    "kv_heads": 1,
    "head_dim": 576,
    "v_head_dim": 512,
    "latent": True,
    "dtype": "bf16",
}
GPT_OSS: Case = {
    "q_heads": 64,
    "kv_heads": 8,
    "head_dim": 64,
    "dtype": "bf16",
    "mask": "window",
    "window": 128,
    "sink_logits": True,
}
GEMMA: Case = {
    "q_heads": 16,
    "kv_heads": 8,
    "head_dim": 256,
    "dtype": "bf16",
    "mask": "causal",
    "softcap": 50.0,
}
_INTERPRETED_S = 0.15
_POISON_BYTES = 2**28


def flash() -> list[Case]:
    """Widths and dtypes forward and backward; masks, features and shapes of models in bf16."""
    wide = [
        {"q_heads": 8, "kv_heads": 2, "head_dim": dim, "v_head_dim": v_dim, "dtype": dtype}
        for dim, v_dim in WIDTHS
        for dtype in DTYPES
    ]
    both = [
        {**one, "q_len": 1000, "mask": "causal", "mode": mode}
        for one in wide
        for mode in ("fwd", "bwd")
    ]
    masks: list[Case] = [
        {},
        {"mask": "causal", "mask_align": "top_left", "kv_len": 3000},
        {"mask": "causal", "q_len": 700, "kv_len": 5000},
        {"mask": "window", "window": 512, "sinks": 4},
        {"mask": "causal", "bias": "alibi"},
        {"mask": "causal", "sink_logits": True},
        {"mask": "causal", "rope": "neox", "kv_len": 3000},
        {"mask": "causal", "rope": "gptj", "rope_dim": 64},
        {"requests": "2q777_q33s1300_q4s900_q2049", "mask": "causal"},
    ]
    shaped = [
        {**LLAMA, **({} if "requests" in one else {"q_len": 2048}), **one, "mode": mode}
        for one in masks
        for mode in ("fwd", "bwd")
    ]
    models: list[Case] = [
        {**LLAMA, "q_len": 8192, "mask": "causal"},
        {**LLAMA, "q_len": 8192},
        {**LLAMA, "q_heads": 64, "q_len": 4096, "batch": 2, "mask": "causal", "mode": "fwd_bwd"},
        {**GEMMA, "q_len": 4096, "mode": "fwd_bwd"},
        {**GPT_OSS, "q_len": 4096, "mode": "fwd_bwd"},
        {**LLAMA, "q_len": 1, "kv_len": 4096},
        {**LLAMA, "kv_heads": 32, "head_dim": 96, "q_len": 4097, "mask": "causal"},
        {**LLAMA, "q_len": 2048, "mask": "causal", "mode": "bwd", "with": {"atomic": True}},
    ]
    return [*both, *shaped, *models]


def decode() -> list[Case]:
    """Every cache: widths, dtypes, codes, pages, latent, appended, and a server's batch."""
    wide = [
        {**LLAMA, "q_len": 1, "head_dim": dim, "v_head_dim": v_dim, "dtype": dtype}
        for dim, v_dim in WIDTHS
        for dtype in DTYPES
    ]
    plain = [{**one, "batch": 3, "kv_len": 2011} for one in wide]
    paged: Case = {"kv_layout": "paged", "page_order": "shuffled"}
    layouts: list[Case] = [
        {},
        {**paged, "page_size": 16},
        {**paged, "page_size": 128, "page_format": "hnd"},
        {**paged, "page_size": 7},
    ]
    codes = [
        {**LLAMA, **layout, "q_len": 1, "batch": 5, "kv_len": 1999, "kv_dtype": kind, **more}
        for kind in ("int8", "int4", "fp8_e4m3", "fp8_e5m2")
        for layout in layouts[:3]
        for more in ({}, {"head_dim": 64, "dtype": "fp16"}, {"head_dim": 256, "dtype": "fp32"})
    ]
    rows = [
        {**LLAMA, **layout, "q_len": q_len, "batch": 3, "kv_len": 4096, "mask": "causal"}
        for layout in layouts
        for q_len in (1, 4, 16)
    ]
    appended = [
        {**LLAMA, **layout, "q_len": 2, "kv_len": 1025, "append": 2, "mask": "causal", **more}
        for layout in layouts[:2]
        for more in ({}, {"rope": "neox"}, {"rope": "gptj"}, {"kv_dtype": "int8"})
    ]
    turned = [
        {**LLAMA, **layout, "q_len": q_len, "batch": 3, "kv_len": 2011, "rope": kind}
        for layout in layouts[:2]
        for q_len, kind in ((1, "neox"), (4, "gptj"))
    ]
    models: list[Case] = [
        {**LLAMA, "q_len": 1, "batch": 64, "kv_len": 8192},
        {**LLAMA, "q_len": 1, "batch": 1, "kv_len": 131072},
        {**LLAMA, "q_len": 1, "batch": 1, "kv_len": 65537, "kv_dtype": "int4"},
        {**LLAMA, "q_len": 1, "batch": 64, "kv_heads": 1, "kv_len": 4096},
        {**LLAMA, "q_len": 1, "batch": 32, "kv_heads": 32, "kv_len": 4096},
        {**LATENT, "q_len": 1, "batch": 16, "kv_len": 8192},
        {**LATENT, **paged, "page_size": 64, "q_len": 2, "batch": 4, "kv_len": 4096},
        {**LATENT, "dtype": "fp16", "q_len": 1, "kv_len": 1999},
        {**GPT_OSS, **paged, "page_size": 16, "q_len": 1, "batch": 32, "kv_len": 8192},
        {**GEMMA, "q_len": 1, "batch": 8, "kv_len": 8192},
        {**LLAMA, "requests": "32q1s2k_q4s1999_3q16s777", "mask": "causal"},
        *({**LLAMA, "q_len": 1, "kv_len": 9999, "with": {"splits": n}} for n in (1, 2, 33)),
    ]
    return [*plain, *codes, *rows, *appended, *turned, *models]


def named(case: Case) -> str:
    """What differs from a Llama layer."""
    return "-".join(f"{key}={one}" for key, one in case.items() if LLAMA.get(key) != one)


def assert_right(backend: str, case: Case, device: str) -> None:
    """Compute twice what the problem asks for, and compare each time with the reference."""
    fields = dict(case)
    options = fields.pop("with", {})
    problem = Problem(**fields)
    if is_interpreted():
        problem = reduced(upcast(problem), _INTERPRETED_S)
    module = importlib.import_module(f"attnbench.backends.{backend}")
    with matmul_precision(problem):
        inputs = make_inputs(problem, device)
        before = checksum(inputs)
        prepared = Prepared(module, inputs, options)
        poison(device)
        first = prepared.outputs()
        result = check(first, Reference.of(inputs))
        assert result.passed, f"{result.reason} (error {result.error_rel}, {problem})"
        redraw(inputs)
        poison(device)
        result = check(prepared.outputs(), Reference.few_rows(inputs))
        assert result.passed, f"drawn again: {result.reason} ({problem})"
        redraw(inputs, back=True)
        again = prepared.outputs()
        assert options.get("atomic") or again.same_bits(first), f"two calls differ ({problem})"
        assert checksum(inputs) == before, f"an input was written ({problem})"


def poison(device: str) -> None:
    """Leave NaN in the memory that the next call's outputs come from."""
    if device == "cpu":
        return
    torch.cuda.empty_cache()
    torch.full((_POISON_BYTES // 4,), float("nan"), device=device)
    torch.full((2**17,), float("nan"), device=device)  # the allocator's pool for small blocks


@pytest.mark.parametrize("case", flash(), ids=named)
def test_triton_flash(case, place):
    assert_right("triton_flash", case, place.device)


@pytest.mark.parametrize("case", decode(), ids=named)
def test_triton_decode(case, place):
    assert_right("triton_decode", case, place.device)
