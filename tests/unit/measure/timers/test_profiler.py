"""``profiler`` against a device whose clock is a script."""

from __future__ import annotations

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.errors import Unsupported
from attnbench.measure.timers import make_timer

pytestmark = pytest.mark.torch


def test_a_sample_is_the_span_of_the_kernels():
    device = Fake(Script(issue_s=20e-6))

    def two():
        device.launch(5e-6)
        device.launch(5e-6)

    timer = make_timer("profiler", device, two)

    assert timer.sample() == pytest.approx(25e-6)  # the second waits for its launch
    assert timer.host_s == pytest.approx(40e-6)


def test_work_on_another_stream_is_in_the_span():
    device = Fake(Script(wrong_stream=True))

    assert make_timer("profiler", device, lambda: device.launch(1e-3)).sample() == pytest.approx(
        1e-3
    )


def test_a_flush_stands_outside_the_span():
    device = Fake()
    timer = make_timer(
        "profiler", device, lambda: device.launch(5e-6), lambda: device.launch(500e-6)
    )

    assert timer.sample() == pytest.approx(5e-6)


def test_a_trace_without_kernels_is_unsupported():
    device = Fake(Script(blind_profiler=True))

    with pytest.raises(Unsupported, match="saw no kernel of this call; CUPTI may be taken"):
        make_timer("profiler", device, lambda: device.launch(5e-6))
