"""The file of 14 lines in docs/backends.md is all of a backend."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from attnbench.environment import Device
from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import make_inputs
from attnbench.measure.reference import Reference
from attnbench.plugin import OptionSpec
from attnbench.problem import Problem
from attnbench.registry import Registry

pytestmark = pytest.mark.torch

PAGE = Path(__file__).parents[3] / "docs" / "backends.md"
CPU = Device(kind="cpu", name="any", arch="x86_64", memory_bytes=1, free_bytes=1)
TEXT = '''\
"""Grouped attention as two einsums; this file is all of an attnbench backend."""
from attnbench.plugin import Capabilities, Inputs

capabilities = Capabilities(modes={"fwd", "bwd", "fwd_bwd"}, masks={"none"})


def prepare(inputs: Inputs, *, upcast: bool = False):
    """Return the call to be timed; what runs here is not timed."""
    import torch
    q, k, v, scale = inputs.q, inputs.k, inputs.v, inputs.scale
    kind = torch.float32 if upcast else q.dtype
    def attend():
        grouped = q.unflatten(1, (k.shape[1], -1)).to(kind)
        scores = torch.einsum("bhgqd,bhkd->bhgqk", grouped, k.to(kind)) * scale
        return torch.einsum("bhgqk,bhkd->bhgqd", scores.softmax(-1), v.to(kind)).flatten(1, 2).to(q.dtype)
    return attend
'''  # noqa: E501  it stands so in the docs


@pytest.fixture
def facts(tmp_path):
    (tmp_path / "grouped.py").write_text(TEXT, encoding="utf-8")
    return Registry(entry_points=[]).describe("./grouped.py", folder=tmp_path)


def test_it_is_the_one_in_the_docs():
    first = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert first[1] == TEXT


def test_its_facts_are_read_from_its_text(facts):
    assert facts.name == "grouped"
    assert facts.about.startswith("Grouped attention as two einsums")
    assert facts.options == {"upcast": OptionSpec(name="upcast", default=False)}


@pytest.mark.parametrize("mode", ["fwd", "bwd", "fwd_bwd"])
@pytest.mark.parametrize("options", [{}, {"upcast": True}], ids=["plain", "upcast"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_it_is_right(facts, mode, options, dtype):
    module = Registry(entry_points=[]).load(facts)
    heads = {"q_heads": 8, "kv_heads": 2, "head_dim": 16, "v_head_dim": 24}
    problem = Problem(batch=2, q_len=20, kv_len=30, dtype=dtype, mode=mode, **heads)
    inputs = make_inputs(problem, "cpu")

    assert module.capabilities.why_not(problem, CPU) is None
    outputs = Prepared(module, inputs, options).outputs()
    result = check(outputs, Reference.of(inputs))

    assert result.passed, result.reason
    assert outputs.o.dtype == getattr(torch, {"fp32": "float32", "bf16": "bfloat16"}[dtype])


def test_what_it_cannot_do_is_said_in_uniform_words(facts):
    module = Registry(entry_points=[]).load(facts)
    problem = Problem(q_len=8, q_heads=2, head_dim=8, dtype="fp32", mask="causal")

    assert module.capabilities.why_not(problem, CPU) == "mask causal is not one of none"
