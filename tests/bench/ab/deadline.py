"""Attention whose calls end at a deadline, so that they can be made slower by a known share."""

import time

from attnbench.plugin import Capabilities, Inputs

capabilities = Capabilities()
CALL_S = 0.02


def prepare(inputs: Inputs, *, share: float = 0.0, slow_at: int = 0):
    """Compute, then sleep until the deadline, long before which the computing is done."""
    import torch

    # Threads that wait for each other on a busy machine would miss the deadline.
    torch.set_num_threads(1)
    slower = share if inputs.problem.kv_len == slow_at else 0.0
    lasts = CALL_S * (1 + slower)

    def call():
        end = time.perf_counter() + lasts
        out = torch.nn.functional.scaled_dot_product_attention(
            inputs.q, inputs.k, inputs.v, scale=inputs.scale
        )
        while (left := end - time.perf_counter()) > 0:
            time.sleep(left)
        return out

    return call
