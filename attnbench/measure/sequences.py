"""Any layout of the inputs as dense, dequantized values, one group of equal requests at a time.

The reference reads every layout through these views, so that its mathematics needs only one layout:
rows ``[count, kv_heads, group, q_len, dim]`` and keys ``[count, kv_heads, kv_len, dim]``. In the
shapes below, n is the sequences and h the KV heads of a block, and group the query heads per KV
head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attnbench.kv_cache import TORCH_DTYPES, Quantized, by_slot, dequantize, quantize
from attnbench.planning.sizes import pages_of, rope_starts
from attnbench.plugin import Inputs
from attnbench.problem import Problem
from attnbench.problem.batch import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Adjacent equal requests: how many, and where the first one begins."""

    request: Request
    count: int
    first: int
    first_row: int
    first_key: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some sequences and some KV heads of a group; both slices have a start and a stop."""

    group: Group
    batch: slice
    heads: slice


def groups_of(problem: Problem) -> Iterator[Group]:
    """Yield the groups of a problem, in order."""
    first = row = key = 0
    for count, request in problem.request_groups:
        yield Group(request=request, count=count, first=first, first_row=row, first_key=key)
        first += count
        row += count * request.q_len
        key += count * request.kv_len


def rows_view(tensor: Tensor, problem: Problem, group: Group) -> Tensor:
    """View a tensor with the layout of q as ``[count, kv_heads, group, q_len, ...]``."""
    if problem.is_ragged:
        length = group.count * group.request.q_len
        packed = tensor.narrow(0, group.first_row, length)
        tensor = torch.unflatten(packed, 0, (group.count, group.request.q_len)).transpose(1, 2)
    return torch.unflatten(tensor, 1, (problem.n_kv_heads, problem.group_size))


def keys_view(tensor: Tensor, problem: Problem, group: Group) -> Tensor:
    """View a contiguous cache tensor as ``[count, kv_heads, kv_len, ...]``."""
    if not problem.is_ragged:
        return tensor
    packed = tensor.narrow(0, group.first_key, group.count * group.request.kv_len)
    return torch.unflatten(packed, 0, (group.count, group.request.kv_len)).transpose(1, 2)


def read_rows(inputs: Inputs, block: Block, kind: torch.dtype) -> Tensor:
    """Return q as ``[n, h, group, q_len, dim]`` in ``kind``, not yet rotated."""
    q = rows_view(inputs.q.detach(), inputs.problem, block.group)
    return q[block.batch, block.heads].to(kind)


def rotate_rows(inputs: Inputs, block: Block, q: Tensor, rows: Tensor) -> Tensor:
    """Rotate ``q [..., rows, dim]`` by the positions of these rows."""
    if inputs.problem.rope == "none":
        return q
    start, _ = rope_starts(inputs.problem, block.group.request)
    return _rotate(inputs, q, start + rows)


def read_k(inputs: Inputs, block: Block, kind: torch.dtype) -> Tensor:
    """Return k as ``[n, h, kv_len, dim]`` in ``kind``, appended rows included, not rotated."""
    return _read(inputs, block, kind, "k")


def read_v(inputs: Inputs, block: Block, kind: torch.dtype) -> Tensor:
    """Return v as ``[n, h, kv_len, v_dim]`` in ``kind``, appended rows included."""
    problem = inputs.problem
    if problem.latent:
        return _read(inputs, block, kind, "k")[..., : problem.v_dim]
    return _read(inputs, block, kind, "v")


def rotate_keys(inputs: Inputs, block: Block, k: Tensor) -> Tensor:
    """Rotate every key; if the call appends, the cache already holds rotated keys."""
    problem = inputs.problem
    if problem.rope == "none" or problem.append:
        return k
    _, start = rope_starts(problem, block.group.request)
    return _rotate(inputs, k, start + torch.arange(k.shape[-2], device=k.device))


def _read(inputs: Inputs, block: Block, kind: torch.dtype, name: str) -> Tensor:
    problem = inputs.problem
    stored = _cache(inputs, block, name if inputs.k_pages is None else f"{name}_pages")
    assert stored is not None
    if problem.is_quantized:
        scale, zero = _cache(inputs, block, f"{name}_scale"), _cache(inputs, block, f"{name}_zero")
        assert scale is not None
        values = dequantize(Quantized(stored, scale, zero), kind)
    else:
        values = stored.detach().to(kind)
    if not problem.append:
        return values
    return torch.cat((values[..., : -problem.append, :], _appended(inputs, block, kind, name)), -2)


def _cache(inputs: Inputs, block: Block, name: str) -> Tensor | None:
    """Return one tensor of the cache as ``[n, h, kv_len, ...]``; pages are gathered."""
    tensor: Tensor | None = getattr(inputs, name)
    if tensor is None:
        return None
    problem, group = inputs.problem, block.group
    if inputs.page_table is None:
        return keys_view(tensor, problem, group)[block.batch, block.heads]
    pages = by_slot(tensor, problem.page_format) if name.endswith("pages") else tensor.mT
    count = pages_of(problem, group.request)
    first = group.first + block.batch.start
    table = inputs.page_table[first : group.first + block.batch.stop, :count].long()
    tokens = pages[:, :, block.heads][table].flatten(1, 2)[:, : group.request.kv_len]
    return tokens.transpose(1, 2)


def _appended(inputs: Inputs, block: Block, kind: torch.dtype, name: str) -> Tensor:
    """Return the new rows as the cache will hold them: rotated and rounded to its dtype."""
    problem, group = inputs.problem, block.group
    tensor = inputs.k_new if name == "k" else inputs.v_new
    assert tensor is not None
    if problem.is_ragged:
        tensor = torch.unflatten(tensor, 0, (-1, problem.append)).transpose(1, 2)
    of_group = tensor[group.first : group.first + group.count]
    new = of_group[block.batch, block.heads].to(kind)
    # Only K is rotated; a latent V is the first columns of the rotated K.
    if name == "k" and problem.rope != "none":
        _, start = rope_starts(problem, group.request)
        end = start + group.request.kv_len
        new = _rotate(inputs, new, torch.arange(end - problem.append, end, device=new.device))
    if problem.is_quantized:
        return dequantize(quantize(new, problem.stored_dtype), kind)
    return new.to(TORCH_DTYPES[problem.stored_dtype]).to(kind)


def _rotate(inputs: Inputs, x: Tensor, positions: Tensor) -> Tensor:
    """Apply RoPE (Su et al. 2021, arXiv 2104.09864) to ``x [..., len(positions), dim]``.

    Pairs are adjacent columns (gptj) or columns of the two halves (neox).
    """
    assert inputs.cos is not None
    assert inputs.sin is not None
    cos, sin = inputs.cos[positions].to(x.dtype), inputs.sin[positions].to(x.dtype)
    pairs = cos.shape[-1]
    rotated, rest = x[..., : 2 * pairs], x[..., 2 * pairs :]
    if inputs.problem.rope == "neox":
        one, two = rotated[..., :pairs], rotated[..., pairs:]
        return torch.cat((one * cos - two * sin, two * cos + one * sin, rest), -1)
    one, two = rotated[..., 0::2], rotated[..., 1::2]
    pair = torch.stack((one * cos - two * sin, two * cos + one * sin), -1)
    return torch.cat((pair.flatten(-2), rest), -1)
