"""Reading traces: memory over time and who did the work."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from attnbench.device.trace import (
    device_kernels,
    device_span_s,
    leaf_operators,
    memory_use,
    named_kernels,
)


class Event:
    """What a kineto event answers."""

    def __init__(
        self,
        name: str,
        start: int,
        duration: int = 0,
        nbytes: int = 0,
        device: str = "cpu",
        *,
        is_annotation: bool = False,
    ) -> None:
        self._is_annotation = is_annotation
        self._name, self._start, self._duration = name, start, duration
        self._nbytes, self._device = nbytes, device

    def name(self) -> str:
        return self._name

    def start_ns(self) -> int:
        return self._start

    def duration_ns(self) -> int:
        return self._duration

    def nbytes(self) -> int:
        return self._nbytes

    def is_user_annotation(self) -> bool:
        return self._is_annotation

    def device_type(self) -> str:
        return self._device


def test_memory_is_the_running_sum_in_time_order() -> None:
    events = [
        Event("[memory]", 3, nbytes=-50),
        Event("[memory]", 1, nbytes=100),
        Event("aten::mm", 0, 9),
        Event("[memory]", 2, nbytes=70),
    ]
    assert memory_use(events) == (170, 120)


def test_freeing_what_was_there_before_is_no_negative_peak() -> None:
    assert memory_use([Event("[memory]", 1, nbytes=-50)]) == (0, -50)
    assert memory_use([]) == (0, 0)


def test_leaves_are_operators_with_no_other_inside() -> None:
    events = [
        Event("aten::matmul", 0, 100),
        Event("aten::expand", 5, 5),
        Event("aten::bmm", 20, 70),
        Event("aten::resolve_conj", 25, 1),
        Event("aten::softmax", 110, 50),
        Event("aten::_softmax", 115, 40),
        Event("aten::bmm", 200, 10),
        Event("ProfilerStep#0", 0, 300),
    ]
    assert leaf_operators(events) == ("aten::bmm", "aten::_softmax")


def test_a_kernels_own_copies_do_not_hide_it() -> None:
    events = [
        Event("aten::_flash_backward", 0, 100),
        Event("aten::empty", 1, 2),
        Event("aten::copy_", 10, 20),
        Event("autograd::engine::evaluate_function: AccumulateGrad", 110, 30),
        Event("aten::detach", 112, 2),
        Event("aten::contiguous", 200, 20),
        Event("aten::copy_", 205, 10),
    ]
    assert leaf_operators(events) == ("aten::_flash_backward", "aten::copy_")


def test_device_kernels_leave_out_copies_and_the_host() -> None:
    events = [
        Event("flash_fwd", 20, 5, device="cuda"),
        Event("Memcpy DtoD", 5, 5, device="cuda"),
        Event("combine", 30, 5, device="cuda"),
        Event("aten::mm", 0, 50),
        Event("flash_fwd", 40, 5, device="cuda"),
    ]
    assert device_kernels(events, "cuda") == ("flash_fwd", "combine")


def test_a_range_that_the_host_named_is_no_kernel() -> None:
    events = [
        Event("Torch-Compiled Region: 0/0", 0, 90, device="cuda", is_annotation=True),
        Event("triton_fused", 20, 5, device="cuda"),
    ]
    assert device_kernels(events, "cuda") == ("triton_fused",)


def test_the_span_of_a_device_is_from_its_first_work_to_its_last() -> None:
    events = [
        Event("flash_fwd", 20_000, 5_000, device="cuda"),
        Event("Memcpy DtoD", 5_000, 5_000, device="cuda"),
        Event("combine", 22_000, 1_000, device="cuda"),
        Event("aten::mm", 0, 50_000),
        Event("my range", 0, 90_000, device="cuda", is_annotation=True),
    ]
    assert device_span_s(events, "cuda") == pytest.approx(20e-6)
    assert device_span_s(events[3:], "cuda") is None


@pytest.mark.torch
def test_a_known_workspace_is_read_exactly() -> None:
    import torch

    from attnbench.device.cpu import Cpu

    def call() -> object:
        workspace = torch.empty(3_000_000, dtype=torch.uint8)
        del workspace
        return torch.empty(1_000_000, dtype=torch.uint8)

    profile = Cpu().profile(call)
    assert profile.peak_bytes == 3_000_000
    assert profile.left_bytes == 1_000_000


# As inductor writes it: a kernel is a name of the module, looked up at each call.
SOURCE = """
def call(x):
    cpp_fused_mul_sin_0(x)
    return torch.add(x, 1)
"""


@pytest.fixture
def generated(monkeypatch):
    """Stand in for a module of generated code."""
    import torch

    module = ModuleType("generated")
    vars(module).update(torch=torch, cpp_fused_mul_sin_0=lambda x: x, cpp_fused_names=("a", "b"))
    exec(SOURCE, vars(module))  # noqa: S102  our own text
    cache = SimpleNamespace(PyCodeCache=SimpleNamespace(modules=[module]))
    monkeypatch.setitem(sys.modules, "torch._inductor.codecache", cache)
    return module


@pytest.mark.torch
def test_a_generated_kernel_is_named_between_the_operators(generated):
    import torch

    from attnbench.device.cpu import Cpu

    x = torch.ones(3)

    assert Cpu().profile(lambda: generated.call(x)).kernels == ("cpp_fused_mul_sin_0", "aten::add")


@pytest.mark.torch
def test_outside_the_profiled_call_the_kernel_is_the_one_that_was_generated(generated):
    import torch

    from attnbench.device.cpu import Cpu

    kernel = generated.cpp_fused_mul_sin_0

    with named_kernels(torch.profiler.record_function):
        assert generated.cpp_fused_mul_sin_0 is not kernel
        assert generated.cpp_fused_names == ("a", "b")
    assert generated.cpp_fused_mul_sin_0 is kernel

    with pytest.raises(TypeError):
        Cpu().profile(generated.call)
    assert generated.cpp_fused_mul_sin_0 is kernel


@pytest.mark.torch
@pytest.mark.parametrize("cache", [None, SimpleNamespace()])
def test_where_torch_keeps_no_such_modules_nothing_is_named_and_nothing_fails(monkeypatch, cache):
    import torch

    from attnbench.device.cpu import Cpu

    monkeypatch.setitem(sys.modules, "torch._inductor.codecache", cache)
    x = torch.ones(3)

    assert Cpu().profile(lambda: torch.add(x, 1)).kernels == ("aten::add",)
