"""Attention that then keeps the device busy for ``ns`` nanoseconds of the device's own clock.

Its length is known without this package: a program on the GPU waits until ``%globaltimer`` has
moved on so far. On a CPU, where it is a rehearsal, the host's clock is waited for.
"""

from __future__ import annotations

import time

import torch
import triton
import triton.language as tl
from triton.language.extra.cuda import globaltimer

from attnbench.plugin import Capabilities, Inputs

capabilities = Capabilities()


def prepare(inputs: Inputs, *, ns: int = 0):
    """Return the call: an honest answer, then the wait."""
    wait = waiting(inputs.q.device, ns)

    def attend():
        o = torch.nn.functional.scaled_dot_product_attention(
            inputs.q, inputs.k, inputs.v, scale=inputs.scale
        )
        wait()
        return o

    return attend


def waiting(device: torch.device, ns: int):
    """Return a call that keeps this device busy for so long, and not at all for 0."""
    if ns == 0:
        return lambda: None
    if device.type != "cuda":
        return lambda: _wait_here(ns)
    length = torch.tensor([ns], dtype=torch.int64, device=device)
    passed = torch.zeros_like(length)
    return lambda: _wait_for[(1,)](length, passed, num_warps=1)


@triton.jit
def _wait_for(length, passed):
    ns = tl.load(length)
    start = globaltimer()
    now = start
    while now - start < ns:
        now = globaltimer()
    tl.store(passed, now - start)


def _wait_here(ns: int) -> None:
    end = time.perf_counter_ns() + ns
    while time.perf_counter_ns() < end:
        pass
