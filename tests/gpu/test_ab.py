"""Two interleaved sides on a CUDA device: unchanged code is not red, and a slower side is seen."""

from __future__ import annotations

import pytest

import attnbench

pytestmark = [pytest.mark.gpu, pytest.mark.torch]


def test_unchanged_code_is_not_red(tmp_path):
    ruling = attnbench.ab(
        "ab", base="sdpa", new="sdpa", rounds=5, device="cuda:0", out=tmp_path / "x"
    )

    assert ruling.outcome != "fail"
    assert {one.case.base_status for one in ruling.judged} == {"ok"}
    assert ruling.ab.rounds == 5


def test_scores_written_out_are_slower_than_a_fused_kernel(tmp_path):
    sides = {"base": "sdpa", "new": "naive", "filter": "q_len=384"}

    ruling = attnbench.ab("ab", **sides, rounds=5, device="cuda:0", out=tmp_path / "x")

    assert ruling.outcome == "fail"
    assert {one.case.verdict for one in ruling.judged} == {"slower"}
