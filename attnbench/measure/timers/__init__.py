"""Timers: each a file, each its own estimand, none ever silently replaced by another.

``wall`` is what the host sees. ``event`` is the device's time of one call between two events,
``event_batched`` the mean of several calls back to back between two events, ``graph`` the same
replayed from a CUDA graph, ``profiler`` the span of the kernels as the device's own trace has it.
A timer that a device or a call cannot be read with is an answer (``Unsupported``), and a time that
cannot be is one too (``Implausible``), never a sample.
"""

from __future__ import annotations

from attnbench.measure.timers.registry import SEE_ONE_STREAM, TIMERS, make_timer
from attnbench.measure.timers.sample import Launches, Target, Timer, possible
from attnbench.measure.timers.stray import refuse_stray_work

__all__ = [
    "SEE_ONE_STREAM",
    "TIMERS",
    "Launches",
    "Target",
    "Timer",
    "make_timer",
    "possible",
    "refuse_stray_work",
]
