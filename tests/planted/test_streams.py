"""Number 6: work on a stream that the timer does not see."""

from __future__ import annotations

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.measure.selftest import events, streams

pytestmark = pytest.mark.torch


def test_a_timer_whose_events_stand_on_another_stream_is_refused_before_a_run():
    device = Fake(Script(wrong_stream=True))

    for test in (events, streams):
        done = test(device)
        assert not done.passed
        assert done.grave


def test_a_backend_that_works_on_another_stream_has_no_time(measured, attend):
    device = Fake(Script())

    def prepare(inputs):
        def call():
            device.on_side_stream(lambda: device.launch(5e-3))
            return attend(inputs)

        return call

    done = measured(device, prepare)

    assert done.status == "implausible"
    assert "a stream that it does not join" in done.reason
    assert done.samples_us == ()
