"""What a run stores of its machine, through the real worker, and after going on."""

from __future__ import annotations

import pytest

from attnbench.analysis.machine import machine_states
from attnbench.cli import app
from attnbench.store import read

pytestmark = pytest.mark.torch


def test_a_run_holds_self_tests_and_canaries_and_going_on_adds_to_them(bed, capsys):
    bed.backend(
        "good",
        """
        def prepare(inputs: Inputs):
            return lambda: honest(inputs)
        """,
    )
    bed.run("./good.py", lengths="[16]", processes=1)
    (state,) = machine_states(read(bed.out).metadata)
    assert [one["name"] for one in state.tests] == ["spin", "copy", "A/A"]
    assert [one.process for one in state.processes] == [0]

    bed.run("./good.py", lengths="[16]", processes=2, resume=True)
    (state,) = machine_states(read(bed.out).metadata)
    assert [one["name"] for one in state.tests] == ["spin", "copy", "A/A"] * 2
    assert [one.process for one in state.processes] == [0, 1]
    assert all(set(one.changes) == {"copy", "gemm", "softmax"} for one in state.processes)
    assert not state.distrust
    app.main(["show", str(bed.out), "--timing"])
    shown = capsys.readouterr().out
    assert "self-test  spin: " in shown
    assert "softmax" in shown
