"""What is decided before a kernel runs: tiles, refusals, and what each argument is."""

from __future__ import annotations

import pytest

from attnbench.backends import triton_decode, triton_flash
from attnbench.environment import Device
from attnbench.kernels.launch import assumed_target, features_of, next_power_of_2, two_parts
from attnbench.kernels.tile_table import decode_tile, flash_tiles
from attnbench.problem import Problem

HOPPER = Device(kind="cuda", name="H200", arch="sm_90", memory_bytes=1, free_bytes=1)
DECODE = {"q_len": 1, "kv_len": 64, "q_heads": 8, "kv_heads": 2, "head_dim": 128, "dtype": "bf16"}
FLASH = {**DECODE, "q_len": 64}
LATENT = {"head_dim": 576, "v_head_dim": 512, "kv_heads": 1}


@pytest.mark.parametrize(
    ("width", "parts"),
    [(64, (64, 0)), (96, (64, 32)), (128, (128, 0)), (192, (128, 64)), (576, (512, 64))],
)
def test_a_head_dim_is_cut_into_powers_of_two(width, parts):
    assert two_parts(width) == parts


def test_the_next_power_of_two_is_not_below():
    assert [next_power_of_2(one) for one in (1, 2, 3, 16, 17)] == [1, 2, 4, 16, 32]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"q_len": 17}, "q_len 17 is above 16: triton_flash is for long queries"),
        ({"v_head_dim": 80}, "v_head_dim 80 is not one of 64, 96, 128, 192, 256, 512"),
        ({"latent": True}, None),
        ({"latent": True, "v_head_dim": 64}, "a latent cache is 576 wide with V of 512"),
        ({"rope": "neox"}, None),
        ({"rope": "neox", "latent": True, **LATENT}, "rope on a latent cache needs append"),
        ({"rope": "neox", "kv_dtype": "int4"}, "rope on a int4 cache needs append"),
        ({"rope": "neox", "kv_dtype": "int4", "append": 1}, None),
        ({"kv_dtype": "int8", "head_dim": 96}, "head_dim 96 of a int8 cache is not one of"),
        ({"kv_dtype": "fp8_e4m3", "append": 1}, "append writes no fp8_e4m3 cache"),
        ({"kv_dtype": "int8", "latent": True}, "a latent cache is read in 16 or 32 bit only"),
    ],
)
def test_what_decode_cannot_do_is_said_in_words(fields, words):
    said = triton_decode.why_not(Problem(**{**DECODE, **fields}), HOPPER)

    assert said is None if words is None else words in said


@pytest.mark.parametrize("splits", [0, -1, 129])
def test_splits_beyond_what_combine_takes_are_refused(splits):
    assert "splits is 1 to 128" in triton_decode.why_not(Problem(**DECODE), HOPPER, splits=splits)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"v_head_dim": 80}, "v_head_dim 80 is not one of 64, 96, 128, 192, 256"),
        ({"latent": True}, "triton_decode reads one"),
        ({"batch": 2**15, "mode": "bwd"}, "65535 pairs of KV head and request at most, not 65536"),
        ({"batch": 2**14, "mode": "bwd", "rope": "neox"}, "of query head and request at most"),
    ],
)
def test_what_flash_cannot_do_is_said_in_words(fields, words):
    assert words in triton_flash.why_not(Problem(**{**FLASH, **fields}), HOPPER)


def test_more_requests_than_a_grid_has_rows_are_flash_forward_s_all_the_same():
    assert triton_flash.why_not(Problem(**{**FLASH, "batch": 2**16}), HOPPER) is None


def test_an_option_of_the_backward_is_refused_forward():
    assert "mode fwd has none" in triton_flash.why_not(Problem(**FLASH), HOPPER, atomic=True)


@pytest.mark.parametrize("backend", [triton_decode, triton_flash])
def test_a_head_dim_without_a_kernel_and_a_cpu_are_unsupported(backend):
    cpu = Device(kind="cpu", name="x", arch="x86_64", memory_bytes=1, free_bytes=1)
    old = Device(kind="cuda", name="T4", arch="sm_75", memory_bytes=1, free_bytes=1)
    odd = Problem(**{**DECODE, "head_dim": 80})

    assert "head_dim 80 is not one of" in backend.capabilities.why_not(odd, HOPPER)
    assert backend.capabilities.why_not(Problem(**DECODE), cpu) == "device cpu is not one of cuda"
    assert "needs sm_80" in backend.capabilities.why_not(Problem(**DECODE), old)


@pytest.mark.parametrize("arch", [80, 86, 89, 90, 100, 103, 120])
def test_every_inspected_case_is_supported_and_has_tiles_everywhere(arch):
    device = Device(kind="cuda", name="x", arch=f"sm_{arch}", memory_bytes=1, free_bytes=1)
    for backend, tiles in ((triton_decode, decode_tile), (triton_flash, flash_tiles)):
        for problem, options in backend.inspected():
            assert backend.capabilities.why_not(problem, device) is None
            assert backend.why_not(problem, device, **options) is None
            assert tiles(arch, problem) is not None


def test_one_row_at_the_end_needs_no_mask():
    last = {**DECODE, "mask": "causal"}

    assert not features_of(Problem(**last))["CAUSAL"]
    assert features_of(Problem(**{**last, "mask_align": "top_left"}))["CAUSAL"]
    assert features_of(Problem(**{**last, "q_len": 2}))["CAUSAL"]
    assert features_of(Problem(**{**last, "mask": "window", "window": 8}))["CAUSAL"]


def test_an_unknown_newer_architecture_is_planned_like_the_newest_known():
    assert assumed_target(110).sms == assumed_target(100).sms
    assert assumed_target(110).arch == 110
