"""Two timers agree, or their difference is shown. No GPU is needed for this."""

from __future__ import annotations

import crosscheck
import pytest
from slices.paths import ROOT

from attnbench.api import load_suite, plan


def test_agreement_is_plain_and_disagreement_is_shown():
    found = {
        "event": {"long": 1e-3, "off": 1e-3, "short": 2e-5, "unsupported": "unsupported"},
        "do_bench": {"long": 1.019e-3, "off": 0.95e-3, "short": 3e-5},
        "cuda_bench": {"": "ModuleNotFoundError: No module named 'cuda'"},
    }
    lines = crosscheck.markdown(found, reference="event")

    assert "| long | 1000.0 | 1019.0 | - |" in lines
    assert "| off | 1000.0 | 950.0 (-5.0%) | - |" in lines
    assert "| short | 20.0 (short) | 30.0 (short) | - |" in lines
    assert "| unsupported | unsupported | - | - |" in lines
    assert lines[-1] == "cuda_bench: ModuleNotFoundError: No module named 'cuda'"


def test_what_was_read_is_kept_when_a_ruler_is_cut_off(tmp_path, monkeypatch):
    def cut_off(ruler, _asked):
        if ruler == crosscheck.RULERS[1]:
            raise KeyboardInterrupt
        return {"a call": 1e-3}

    monkeypatch.setattr(crosscheck, "_by_us", lambda *_: {"event": {"a call": 1e-3}})
    monkeypatch.setattr(crosscheck, "_by_child", cut_off)
    with pytest.raises(KeyboardInterrupt):
        crosscheck.main(["--lengths", "--out", str(tmp_path)])

    table = (tmp_path / "lengths.md").read_text(encoding="utf-8")
    assert f"| call | event | {crosscheck.RULERS[0]} |" in table
    assert (tmp_path / "lengths.json").exists()


def test_every_ruler_is_there():
    folder = ROOT / "tests" / "gpu" / "rulers"

    assert {path.stem for path in folder.glob("*.py")} == set(crosscheck.RULERS)


@pytest.mark.parametrize("call", [*crosscheck.CALLS, *crosscheck.LENGTHS])
def test_every_call_is_one_that_a_large_gpu_can_run(tmp_path, call):
    suite = tmp_path / "call.yaml"
    suite.write_text(crosscheck.suite_text(*call, crosscheck._TIMERS["cuda"]), encoding="utf-8")
    calls = len(call[2]) or 1

    assert len(load_suite(suite).cases) == calls
    planned = plan(suite, device="h200").planned
    assert {one.status for one in planned} == {"run"}
    assert len(planned) >= calls
