"""Attention that takes memory by the gigabyte until there is none, from ``kv_len`` 512 on."""

from __future__ import annotations

import torch

from attnbench.plugin import Capabilities, Inputs

capabilities = Capabilities()
_BLOCK = 2**30


def prepare(inputs: Inputs):
    """Return the call; what it took is given back when it fails."""

    def attend():
        taken = []
        while inputs.problem.kv_len >= 512:
            taken.append(torch.empty(_BLOCK, dtype=torch.uint8, device=inputs.q.device))
        return torch.nn.functional.scaled_dot_product_attention(
            inputs.q, inputs.k, inputs.v, scale=inputs.scale
        )

    return attend
