"""Number 7: a graph over one buffer that stays in the last-level cache."""

from __future__ import annotations

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.method import ROTATE, Method

pytestmark = pytest.mark.torch

GRAPH = Method(timer="graph", l2="cold", flush=ROTATE, warmup_s=0.01)
COLD_S = 50e-6
ROOMY, CRAMPED = Script(), Script(memory_bytes=300_000)


@pytest.fixture
def replayed(measured, attend):
    """Measure a call that reads its inputs, in a graph; the scripted cache serves what it holds."""

    def run(script):
        device = Fake(script)

        def prepare(inputs):
            place, nbytes = inputs.q.data_ptr(), 10_000

            def call():
                device.launch(COLD_S, reads=(place, nbytes))
                return attend(inputs)

            return call

        return measured(device, prepare, method=GRAPH)

    return run


def test_a_graph_that_has_one_buffer_says_warm_and_has_no_share_of_the_bandwidth(replayed):
    cramped = replayed(CRAMPED)

    assert (cramped.status, cramped.l2, cramped.flush_bytes) == ("ok", "warm", None)
    assert "L2_RESIDENT" in cramped.notes
    assert max(cramped.samples_us) < 0.6 * COLD_S * 1e6


def test_a_graph_that_is_called_cold_goes_round_copies(replayed):
    roomy = replayed(ROOMY)

    assert (roomy.status, roomy.l2) == ("ok", "cold")
    assert roomy.flush_bytes >= 5 * ROOMY.llc_bytes
    assert "L2_RESIDENT" not in roomy.notes
    assert min(roomy.samples_us) == pytest.approx(COLD_S * 1e6, rel=0.01)
