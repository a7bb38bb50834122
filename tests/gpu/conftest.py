"""Suites over backends that know how long they take, what they need and what they break.

With ``ATTNBENCH_REHEARSAL=1`` and no CUDA device, tests that can be rehearsed run on the CPU, so
that what they say of suites, runs and rows is known to be right before a GPU is at hand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import attnbench

if TYPE_CHECKING:
    import pandas as pd

# The programs of this folder and what they are made of; their tests import them by name.
sys.path.insert(0, str(Path(__file__).parent))

BACKENDS = Path(__file__).parent / "backends"
PROBLEM = "{q_len: 128, kv_len: 128, q_heads: 8, head_dim: 64, dtype: bf16}"
MEASURE = "{processes: 1, warmup_s: 0.02, sample_s: 0.2}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a test runs: ``device`` is cuda:0, or cpu in a rehearsal."""

    folder: Path
    device: str

    @property
    def is_rehearsal(self) -> bool:
        """True on a CPU: rows and statuses are as on a GPU, clocks and allocators are not."""
        return self.device == "cpu"

    def measured(
        self,
        backends: str,
        *,
        problem: str = PROBLEM,
        sweep: str = "",
        measure: str = MEASURE,
        filter: str | None = None,
    ) -> pd.DataFrame:
        """Run a suite and return its rows; ``backends`` are lines, ``BUSY:`` names busy.py."""
        text = backends
        for path in BACKENDS.glob("*.py"):
            text = text.replace(f"{path.stem.upper()}:", f"{path}:")
        lines = "".join(f"  {line}\n" for line in text.strip().splitlines())
        swept = f"sweep: {sweep}\n" if sweep else ""
        suite = self.folder / "gpu.yaml"
        suite.write_text(
            f"suite: gpu\nproblem: {problem}\n{swept}backends:\n{lines}measure: {measure}\n",
            encoding="utf-8",
        )
        out = self.folder / "gpu.parquet"
        attnbench.run(suite, device=self.device, out=out, filter=filter)
        return attnbench.load(out)


@pytest.fixture
def place(tmp_path: Path, device: str) -> Place:
    """A folder and a device."""
    return Place(tmp_path, device)


@pytest.fixture(scope="session")
def make_place(tmp_path_factory: pytest.TempPathFactory, device: str) -> Callable[[], Place]:
    """Make a place that outlives a test."""
    return lambda: Place(tmp_path_factory.mktemp("place"), device)


@pytest.fixture(scope="session")
def device() -> str:
    """The device of these tests."""
    import torch

    if not torch.cuda.is_available() and os.environ.get("ATTNBENCH_REHEARSAL"):
        return "cpu"
    return "cuda:0"
