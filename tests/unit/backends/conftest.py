from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnbench.environment import Device


def load(name):
    """Load a file of this folder: tests are no package."""
    place = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def standins():
    pytest.importorskip("torch")
    return load("standins")


@pytest.fixture
def sibling():
    return load


@pytest.fixture
def gpu():
    def gpu(arch="sm_90"):
        return Device(kind="cuda", name="any", arch=arch, memory_bytes=1, free_bytes=1)

    return gpu


@pytest.fixture
def is_right():
    """Whether a backend is right on a problem, before and after q was drawn again in place.

    One thread, because tensors of a few hundred numbers only make the others wait.
    """
    import torch

    from attnbench.measure.calls import Prepared
    from attnbench.measure.check import check
    from attnbench.measure.inputs import make_inputs, redraw
    from attnbench.measure.reference import Reference
    from attnbench.problem import Problem

    def is_right(module, options=None, **fields):
        inputs = make_inputs(Problem(**fields), "cpu")
        prepared = Prepared(module, inputs, options or {})
        outputs = prepared.outputs()
        first = check(outputs, Reference.of(inputs))
        assert first.passed, first.reason
        redraw(inputs)
        again = check(prepared.outputs(), Reference.of(inputs))
        assert again.passed, f"after q was drawn again: {again.reason}"
        return outputs

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield is_right
    torch.set_num_threads(threads)
