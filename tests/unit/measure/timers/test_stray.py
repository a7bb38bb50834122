"""Work that no event sees."""

from __future__ import annotations

import pytest

from attnbench.device.fake import Fake, Script
from attnbench.measure.outcome import Implausible
from attnbench.measure.timers import refuse_stray_work

pytestmark = pytest.mark.torch


def test_work_on_a_stream_that_nothing_joins_is_refused():
    device = Fake(Script(wrong_stream=True))

    with pytest.raises(Implausible, match="us beyond the event after the call"):
        refuse_stray_work(device, lambda: device.launch(1e-3))


def test_work_on_two_streams_is_refused_where_the_unseen_one_is_longer():
    device = Fake()

    def both():
        device.on_side_stream(lambda: device.launch(3e-3))
        device.launch(1e-3)

    with pytest.raises(Implausible):
        refuse_stray_work(device, both)


@pytest.mark.parametrize("seconds", [5e-6, 50e-6, 50e-3])
def test_work_on_the_current_stream_is_not_refused(seconds):
    device = Fake(Script(noise=0.05))

    refuse_stray_work(device, lambda: device.launch(seconds))
