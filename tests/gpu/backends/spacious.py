"""Attention with a workspace of ``workspace`` bytes and ``kept`` bytes left by ``prepare``."""

from __future__ import annotations

import torch

from attnbench.plugin import Capabilities, Inputs

capabilities = Capabilities()


def prepare(inputs: Inputs, *, workspace: int = 0, kept: int = 0):
    """Return the call; its workspace is larger than what the attention itself takes."""

    def bytes_of(count: int):
        return torch.empty(count, dtype=torch.uint8, device=inputs.q.device)

    held = bytes_of(kept)

    def attend():
        o = torch.nn.functional.scaled_dot_product_attention(
            inputs.q, inputs.k, inputs.v, scale=inputs.scale
        )
        free = bytes_of(workspace)
        del free
        return o

    attend.held = held
    return attend
