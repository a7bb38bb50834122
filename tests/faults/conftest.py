"""Small suites over backends that are written for the occasion."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import attnbench
from attnbench.execute.events import Event, RunFinished

if TYPE_CHECKING:
    import pandas as pd

PREAMBLE = """
import torch
from attnbench.plugin import Capabilities, Inputs, Unsupported
capabilities = Capabilities()

def honest(inputs):
    return torch.nn.functional.scaled_dot_product_attention(
        inputs.q, inputs.k, inputs.v, scale=inputs.scale)
"""
MEASURE = "{processes: 2, warmup_s: 0.01, sample_s: 0.02, compile_s: 60, case_limit_s: 5}"


class Bed:
    """A folder with backends and one suite over them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "results" / "run.parquet"

    def backend(self, name: str, body: str) -> None:
        text = PREAMBLE + textwrap.dedent(body)
        (self.folder / f"{name}.py").write_text(text, encoding="utf-8")

    def suite(self, *backends: str, lengths: str = "[16, 48]", measure: str = MEASURE) -> Path:
        lines = "\n".join(f"  {one}:" for one in backends)
        text = (
            "suite: bed\n"
            "problem: {q_len: 16, q_heads: 2, head_dim: 16, dtype: fp32}\n"
            f"sweep:\n  kv_len: {lengths}\n"
            f"backends:\n{lines}\n"
            f"measure: {measure}\n"
        )
        path = self.folder / "bed.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def run(
        self, *backends: str, listener: Callable[[Event], None] | None = None, **keywords: object
    ) -> tuple[RunFinished, pd.DataFrame]:
        suite_keys = {k: keywords.pop(k) for k in ("lengths", "measure") if k in keywords}
        suite = self.suite(*backends, **suite_keys)  # type: ignore[arg-type]
        finished = attnbench.run(
            suite,
            device="cpu",
            out=self.out,
            listener=listener,
            **keywords,  # type: ignore[arg-type]
        )
        return finished, attnbench.load(self.out)


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path)


def by_backend(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of one backend."""
    return frame[frame["backend"] == name]
