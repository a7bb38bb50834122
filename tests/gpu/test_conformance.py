"""Every built-in backend against the conformance kit, on the device itself."""

from __future__ import annotations

import pytest

from attnbench import api
from attnbench.registry import BUILT_INS

pytestmark = [pytest.mark.gpu, pytest.mark.torch, pytest.mark.slow]


@pytest.mark.parametrize("backend", [*BUILT_INS, "triton_flash[atomic=true]"])
def test_a_built_in_backend_passes_every_trial(backend):
    (subject,) = api.backend_cases((backend,))

    finished = api.check_trial(subject, device="cuda", budget="10m")

    wrong = [(one.trial.label, one.reason) for one in finished.done if one.is_bad]
    assert wrong == []
    assert finished.counts.get("ok", 0) > 0
