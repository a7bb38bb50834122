"""Two timers agree, or their difference is shown. No GPU is needed for this."""

from __future__ import annotations

import crosscheck
from slices.paths import ROOT


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


def test_every_ruler_is_there():
    folder = ROOT / "tests" / "gpu" / "rulers"

    assert {path.stem for path in folder.glob("*.py")} == set(crosscheck.RULERS)
