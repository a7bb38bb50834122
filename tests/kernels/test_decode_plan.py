from __future__ import annotations

from dataclasses import replace

import pytest

from attnbench.kernels.decode_plan import MAX_SPLITS, SplitProblem, choose_splits, predict_seconds
from attnbench.kernels.launch import assumed_target

HOPPER = assumed_target(90)
# One sequence of 4096 keys, 8 KV heads of 128 in bf16, tiles of 64 keys.
LONELY = SplitProblem(programs=8, tiles=64, tile_bytes=32_768, resident=3, rows=32, v_dim=128)


def test_one_sequence_alone_is_cut_until_the_device_is_busy():
    splits = choose_splits(LONELY, HOPPER)

    assert LONELY.programs * splits > 0.9 * HOPPER.sms
    assert LONELY.programs * splits <= HOPPER.sms * LONELY.resident


def test_a_batch_that_fills_the_device_is_not_cut():
    assert choose_splits(replace(LONELY, programs=8 * 132, rows=32 * 132), HOPPER) == 1


@pytest.mark.parametrize("tiles", [1, 2, 3])
def test_no_split_is_shorter_than_two_tiles(tiles):
    assert choose_splits(replace(LONELY, tiles=tiles), HOPPER) <= max(1, tiles // 2)


@pytest.mark.parametrize("programs", [1, 8, 32, 131, 132, 133, 500])
@pytest.mark.parametrize("tiles", [1, 7, 64, 2048, 100_000])
def test_the_choice_is_the_fastest_of_all_by_its_own_model(programs, tiles):
    problem = replace(LONELY, programs=programs, tiles=tiles)
    most = max(1, min(MAX_SPLITS, tiles // 2))
    times = {one: predict_seconds(problem, HOPPER, one) for one in range(1, most + 1)}

    assert times[choose_splits(problem, HOPPER)] == pytest.approx(min(times.values()))


def test_a_longer_sequence_never_takes_less_time():
    times = [predict_seconds(replace(LONELY, tiles=tiles), HOPPER, 4) for tiles in range(8, 200)]

    assert times == sorted(times)
