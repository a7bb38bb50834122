"""Linear attention in plain PyTorch: chunk by chunk, or one token after another.

Katharopoulos et al. 2020 (arXiv 2006.16236); the chunked form is that of Hua et al. 2022 (arXiv
2202.10447) and of the flash-linear-attention library: products inside a chunk under its mask, and
the sum of all earlier chunks as one state of head_dim x v_head_dim. States are kept in fp32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from attnbench.environment import Device
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

Form = Literal["chunked", "recurrent"]

capabilities = Capabilities(
    dtypes={"fp32", "tf32", "fp16", "bf16"},
    masks={"none", "causal"},
    attentions={"linear"},
)
_FP32_BYTES = 4


def why_not(problem: Problem, device: Device, *, form: Form = "chunked") -> str | None:
    """Report the recurrent form without a mask: there is only one state."""
    del device
    if form == "recurrent" and problem.mask == "none":
        return "recurrent is a causal form; mask none has one state for all rows"
    return None


def prepare(inputs: Inputs, *, form: Form = "chunked") -> Callable[[], Tensor]:
    """Return the call; it computes feature maps and states.

    Args:
        inputs: fp32, tf32, fp16 or bf16, dense.
        form: ``chunked`` for matrix products per chunk, ``recurrent`` for one token at a time.

    Returns:
        A call that gives o in q's dtype and layout.

    """
    problem, scale = inputs.problem, inputs.scale
    causal = _recurrent if form == "recurrent" else _chunked
    sums = _over_all if problem.mask == "none" else causal

    def attend() -> Tensor:
        assert inputs.k is not None
        assert inputs.v is not None
        q = inputs.q.unflatten(1, (problem.n_kv_heads, problem.group_size))
        k, v = inputs.k.unsqueeze(2), inputs.v.unsqueeze(2)
        if problem.feature == "identity":
            return (sums(q, k, v, problem) * scale).flatten(1, 2).to(inputs.q.dtype)
        # A column of ones appended to v sums the weights: the denominator of the same product.
        with_ones = _with_ones(v)
        o = sums(_elu1(q), _elu1(k), with_ones, problem)
        return (o[..., :-1] / o[..., -1:]).flatten(1, 2).to(inputs.q.dtype)

    return attend


def workspace_bytes(problem: Problem, *, form: Form = "chunked") -> int:
    """Bytes of q's and k's features, v with ones, o, and a state per chunk, all in fp32."""
    assert problem.batch is not None
    assert problem.q_len is not None
    tokens = problem.batch * problem.q_len
    rows = tokens * (problem.q_heads + problem.n_kv_heads) * (problem.head_dim + problem.v_dim + 1)
    chunks = 1 if form == "recurrent" else -(-problem.q_len // (problem.chunk or 1))
    heads = problem.batch * problem.n_kv_heads
    states = 2 * chunks * heads * problem.head_dim * (problem.v_dim + 1)
    scores = tokens * problem.q_heads * (problem.chunk or 1)
    return (2 * rows + states + scores) * _FP32_BYTES


def _elu1(x: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.elu(x.float()) + 1


def _with_ones(v: Tensor) -> Tensor:
    import torch

    return torch.cat((v.float(), v.new_ones(*v.shape[:-1], 1, dtype=torch.float32)), -1)


def _over_all(q: Tensor, k: Tensor, v: Tensor, problem: Problem) -> Tensor:
    """Without a mask every row sees every key: one state ``k^T v``."""
    del problem
    return q.float() @ (k.float().mT @ v.float())


def _chunked(q: Tensor, k: Tensor, v: Tensor, problem: Problem) -> Tensor:
    """Add masked scores within each chunk to the state before it, for all chunks at once."""
    import torch

    assert problem.chunk is not None
    length, chunk = q.shape[-2], problem.chunk
    # Pad to whole chunks: rows of zeros add nothing to any sum.
    q, k, v = (
        torch.nn.functional.pad(one.float(), (0, 0, 0, -length % chunk)).unflatten(-2, (-1, chunk))
        for one in (q, k, v)
    )
    states = k.mT @ v
    # Exclusive prefix sum; inclusive sum minus own chunk would round with later tokens.
    before = torch.cat((states.new_zeros(states[..., :1, :, :].shape), states), -3)
    before = before.cumsum(-3)[..., :-1, :, :]
    inside = (q @ k.mT).tril() @ v
    return (q @ before + inside).flatten(-3, -2)[..., :length, :]


def _recurrent(q: Tensor, k: Tensor, v: Tensor, problem: Problem) -> Tensor:
    """One token after another, as a decoder does."""
    import torch

    del problem
    q, k, v = q.float(), k.float(), v.float()
    state = q.new_zeros(*k.shape[:-2], k.shape[-1], v.shape[-1])
    rows = []
    for token in range(q.shape[-2]):
        at = slice(token, token + 1)
        state = state + k[..., at, :].mT @ v[..., at, :]
        rows.append(q[..., at, :] @ state)
    return torch.cat(rows, -2)
