"""When torch's compiler is reset: only where it has compiled something."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from attnbench.measure.dynamo_counters import CompileWatcher

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(("attempts", "resets"), [(0, 0), (3, 1)])
def test_a_compiler_that_compiled_nothing_is_left_alone(monkeypatch, attempts, resets):
    frames = {"total": attempts, "ok": attempts}
    utils = SimpleNamespace(counters={"frames": frames})
    monkeypatch.setitem(sys.modules, "torch._dynamo", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "torch._dynamo.utils", utils)
    called = []
    monkeypatch.setattr(torch.compiler, "reset", lambda: called.append(1))

    CompileWatcher()

    assert len(called) == resets
