"""Every timer of the result file has one here, and a device that lacks it says so."""

from __future__ import annotations

import pytest

from attnbench.device.cpu import Cpu
from attnbench.device.fake import Fake, Script
from attnbench.errors import Unsupported
from attnbench.measure.timers import SEE_ONE_STREAM, TIMERS, make_timer
from attnbench.measurement import TIMERS as WORDS
from attnbench.method import ROTATING_TIMERS

pytestmark = pytest.mark.torch


def test_every_word_is_a_timer():
    assert set(TIMERS) == set(WORDS)
    assert set(ROTATING_TIMERS) < set(SEE_ONE_STREAM) < set(TIMERS)


@pytest.mark.parametrize("device", [Cpu(), Fake(Script(kind="cpu"))], ids=["real", "scripted"])
@pytest.mark.parametrize("name", sorted(set(TIMERS) - {"wall"}))
def test_a_cpu_has_none_but_wall(device, name):
    with pytest.raises(Unsupported, match=rf"timer {name}: a CPU .*; its timer is wall"):
        make_timer(name, device, lambda: None)


def test_a_word_that_is_no_timer_is_unsupported():
    with pytest.raises(Unsupported, match="no timer sundial; this version has wall, event, "):
        make_timer("sundial", Fake(), lambda: None)
