"""Attention that reads memory which is not its own, a terabyte beyond the end of q.

On a CPU, where it is a rehearsal, the process gets the signal that the same thing has there.
"""

from __future__ import annotations

import os
import signal

import torch
import triton
import triton.language as tl

from attnbench.plugin import Capabilities, Inputs

capabilities = Capabilities()
_FAR = 2**39  # elements of two bytes


def prepare(inputs: Inputs):
    """Return the call."""
    if inputs.q.device.type != "cuda":
        return lambda: os.kill(os.getpid(), signal.SIGSEGV)
    far = torch.tensor([_FAR], dtype=torch.int64, device=inputs.q.device)
    o = torch.empty_like(inputs.q)

    def attend():
        _reach[(1,)](inputs.q, o, far, num_warps=1)
        torch.cuda.synchronize()
        return o

    return attend


@triton.jit
def _reach(q, o, far):
    tl.store(o, tl.load(q + tl.load(far)))
