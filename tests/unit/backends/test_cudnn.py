from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from attnbench.backends import cudnn
from attnbench.errors import Unsupported
from attnbench.problem import Problem

pytestmark = pytest.mark.torch

HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
NHD = {"kv_layout": "paged", "page_size": 4}
HND = {**NHD, "page_format": "hnd"}
DENSE = [
    {"batch": 2, "q_len": 7, "v_head_dim": 8, "scale": 0.3},
    {"batch": 2, "q_len": 3, "kv_len": 9, "mask": "causal"},
    {"batch": 2, "q_len": 3, "kv_len": 9, "mask": "causal", "mask_align": "top_left"},
    {"q_len": 9, "mask": "window", "window": 3},
    {"q_len": 4, "kv_len": 9, "mask": "window", "window": 1},
    {"batch": 2, "q_len": 1, "kv_len": 9},
]
WITHOUT_LSE = [
    {"q_len": 9, "mask": "causal", "sink_logits": True},
    {"requests": "q5_2q3s7_q1s9", "mask": "causal"},
    {"requests": "q5s11_q1s9", "mask": "window", "window": 3, **NHD},
]
PAGED = [
    {"batch": 2, "q_len": 1, "kv_len": 11, **NHD},
    {"batch": 2, "q_len": 3, "kv_len": 11, "mask": "causal", **HND},
]


@pytest.fixture(autouse=True)
def library(monkeypatch, standins, sibling):
    module = sibling("standin_cudnn").module(standins)
    standins.install(monkeypatch, cudnn.library, {"cudnn": module})
    stream = SimpleNamespace(cuda_stream=7)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    return module


@pytest.mark.parametrize("fields", [*DENSE, *PAGED])
def test_problems_are_described_to_the_graph_right(is_right, fields):
    outputs = is_right(cudnn, **HEADS, **fields)

    assert outputs.lse is not None


@pytest.mark.parametrize("fields", WITHOUT_LSE)
def test_where_statistics_mean_something_else_there_is_no_lse(is_right, fields):
    outputs = is_right(cudnn, **HEADS, **fields)

    assert outputs.lse is None


@pytest.mark.parametrize(
    ("fields", "mode"), [(DENSE[0], "bwd"), (DENSE[3], "fwd_bwd"), (WITHOUT_LSE[0], "fwd_bwd")]
)
def test_gradients(is_right, fields, mode):
    is_right(cudnn, {"deterministic": True}, **HEADS, **fields, mode=mode)


def test_a_graph_that_cudnn_refuses_is_unsupported(is_right):
    with pytest.raises(Unsupported, match="Bottom right causal mask does not support"):
        is_right(cudnn, **HEADS, q_len=9, kv_len=4, mask="causal")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"q_len": 4, "head_dim": 20}, "head_dim 20 is not a multiple of 8"),
        ({"q_len": 9, "kv_len": 4, "mask": "causal"}, "a bottom_right mask with more rows"),
        ({"q_len": 1, "kv_len": 4, "sink_logits": True}, "sink_logits of a single row"),
        ({"requests": "2q4", "mode": "bwd"}, "the backward of ragged requests"),
    ],
)
def test_what_it_cannot_do_is_a_reason(gpu, fields, reason):
    problem = Problem(**{**HEADS, "dtype": "bf16", **fields})

    assert reason in cudnn.why_not(problem, gpu())


def test_what_was_handed_over_is_declared(gpu):
    for fields in (*DENSE, *PAGED, *WITHOUT_LSE[::2]):
        problem = Problem(**{**HEADS, **fields, "dtype": "bf16"})
        reason = cudnn.capabilities.why_not(problem, gpu())
        assert (reason or cudnn.why_not(problem, gpu())) is None, problem.label
