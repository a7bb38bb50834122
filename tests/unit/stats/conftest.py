"""The simulated machines of tests/bench/gate, for tests of calibration."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def noise():
    path = Path(__file__).parents[2] / "bench" / "gate" / "noise.py"
    spec = importlib.util.spec_from_file_location("gate_noise", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gate_noise"] = module
    spec.loader.exec_module(module)
    return module
