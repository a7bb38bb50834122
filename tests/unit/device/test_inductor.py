"""Kernels that torch.compile made for a CPU stand in the profiled call by name, and there alone."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from attnbench.device.cpu import Cpu
from attnbench.device.inductor import told_by_name

pytestmark = pytest.mark.torch

# As inductor writes it: a kernel is a name of the module, looked up at each call.
SOURCE = """
def call(x):
    cpp_fused_mul_sin_0(x)
    return torch.add(x, 1)
"""


@pytest.fixture
def generated(monkeypatch):
    """Stand in for a module of generated code."""
    module = ModuleType("generated")
    vars(module).update(torch=torch, cpp_fused_mul_sin_0=lambda x: x, cpp_fused_names=("a", "b"))
    exec(SOURCE, vars(module))  # noqa: S102  our own text
    cache = SimpleNamespace(PyCodeCache=SimpleNamespace(modules=[module]))
    monkeypatch.setitem(sys.modules, "torch._inductor.codecache", cache)
    return module


def test_a_generated_kernel_is_named_between_the_operators(generated):
    x = torch.ones(3)

    assert Cpu().profile(lambda: generated.call(x)).kernels == ("cpp_fused_mul_sin_0", "aten::add")


def test_outside_the_profiled_call_the_kernel_is_the_one_that_was_generated(generated):
    kernel = generated.cpp_fused_mul_sin_0

    with told_by_name(torch.profiler.record_function):
        assert generated.cpp_fused_mul_sin_0 is not kernel
        assert generated.cpp_fused_names == ("a", "b")
    assert generated.cpp_fused_mul_sin_0 is kernel

    with pytest.raises(TypeError):
        Cpu().profile(generated.call)
    assert generated.cpp_fused_mul_sin_0 is kernel


@pytest.mark.parametrize("cache", [None, SimpleNamespace()])
def test_where_torch_keeps_no_such_modules_nothing_is_named_and_nothing_fails(monkeypatch, cache):
    monkeypatch.setitem(sys.modules, "torch._inductor.codecache", cache)
    x = torch.ones(3)

    assert Cpu().profile(lambda: torch.add(x, 1)).kernels == ("aten::add",)
