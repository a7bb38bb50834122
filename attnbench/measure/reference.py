"""What a problem's outputs should be: fp64 on the values that the backend was given.

An error is judged by the error of plain PyTorch in the same dtype, the low-precision reference.
Both references are computed once per problem and shared by all its backends. A problem of more than
2^28 scores has a reference for only 256 sampled rows; its dq is for the same rows, its dk and dv
for all keys of the last KV head of the last sequence.

A row's error is relative to the length of the row. A gradient's row counts as at least of the rms
length: it is a difference of larger terms (the first row under a causal mask has dq = 0 = dp - dp),
whose rounding errors say nothing relative to its own length.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attnbench.kv_cache import TORCH_DTYPES
from attnbench.measure.inputs import matmul_precision
from attnbench.measure.oracle import Answer, answer_block, answer_rows, blocks_of, layer
from attnbench.measure.row_sampling import sample_rows
from attnbench.measure.sequences import Block, groups_of, keys_view, rows_view
from attnbench.planning.sizes import REDRAWN_ROWS, SAMPLED_ROWS, is_sampled
from attnbench.plugin import Inputs
from attnbench.problem import Problem

ROW_NAMES, KEY_NAMES = ("o", "lse", "dq"), ("dk", "dv")
NAMES = (*ROW_NAMES, *KEY_NAMES)
_WITHOUT_LSE = ("linear", "layer")
_REDRAWN_PAIR_SCORES = 2**24  # what a few rows' reference may spend on dk and dv


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One tensor of the output: what it should be, and the error of plain PyTorch.

    ``shape`` and ``dtype`` are those of the output. ``exact`` is ``[rows, dim]`` (lse: dim 1).
    ``where`` indexes these rows in the output; None if they are all its rows, in order. ``unit`` is
    the typical magnitude of the cancelling gradient terms; errors are relative to it if all of
    ``exact`` is 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    exact: Tensor
    plain_error: float
    where: tuple[Tensor, ...] | None = None
    unit: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Everything that ``check`` compares an output with, for one problem and one draw of q."""

    problem: Problem
    expected: Mapping[str, Expected]

    @classmethod
    def of(cls, inputs: Inputs) -> Reference:
        """Compute the reference of these inputs, for all rows or for sampled ones.

        Raises:
            Unsupported: there is no reference for this kind of attention.

        """
        with torch.no_grad(), matmul_precision(inputs.problem):
            if inputs.problem.attention == "layer":
                return cls._of_layer(inputs)
            if not is_sampled(inputs.problem):
                return cls._whole(inputs)
            return cls._sampled(inputs, SAMPLED_ROWS, with_keys=True)

    @classmethod
    def few_rows(cls, inputs: Inputs, like: Reference | None = None) -> Reference:
        """Compute at most 64 rows, for a redrawn q; dk and dv only if one head's are cheap.

        Args:
            inputs: with the redrawn q.
            like: the reference of the first draw, whose plain PyTorch error counts too, because 64
                rows would underestimate it.

        """
        problem = inputs.problem
        if problem.attention == "layer":
            return cls.of(inputs)
        scores = problem.group_size * max(r.q_len * r.kv_len for _, r in problem.request_groups)
        with torch.no_grad(), matmul_precision(problem):
            with_keys = scores <= _REDRAWN_PAIR_SCORES
            found = cls._sampled(inputs, REDRAWN_ROWS, with_keys=with_keys)
        return found if like is None else found.at_least_as_lenient_as(like)

    def at_least_as_lenient_as(self, other: Reference) -> Reference:
        """Raise each error of plain PyTorch to at least that of the other reference."""
        raised = {}
        for name, one in self.expected.items():
            same = other.expected.get(name)
            error = max(one.plain_error, same.plain_error if same else 0.0)
            raised[name] = replace(one, plain_error=error)
        return Reference(problem=self.problem, expected=raised)

    @classmethod
    def _whole(cls, inputs: Inputs) -> Reference:
        exact = _whole_answer(inputs, torch.float64, _kept_dtype(inputs.problem))
        plain = _whole_answer(inputs, _plain_dtype(inputs.problem), None)
        return cls._from(inputs, exact, plain, {})

    @classmethod
    def _of_layer(cls, inputs: Inputs) -> Reference:
        """Compute all rows, because each row of a layer needs every head."""

        def answer(kind: torch.dtype, kept: torch.dtype | None) -> dict[str, Tensor]:
            return layer(inputs, kind, lambda inner: _whole_answer(inner, kind, kept))

        exact = answer(torch.float64, torch.float64)
        return cls._from(inputs, exact, answer(_plain_dtype(inputs.problem), None), {})

    @classmethod
    def _sampled(cls, inputs: Inputs, rows: int, *, with_keys: bool) -> Reference:
        exact, where = _sampled_answer(inputs, torch.float64, rows, with_keys=with_keys)
        plain, _ = _sampled_answer(inputs, _plain_dtype(inputs.problem), rows, with_keys=with_keys)
        return cls._from(inputs, exact, plain, where)

    @classmethod
    def _from(
        cls,
        inputs: Inputs,
        exact: dict[str, Tensor],
        plain: dict[str, Tensor],
        where: Mapping[str, tuple[Tensor, ...]],
    ) -> Reference:
        expected = {}
        for name, answer in exact.items():
            if name == "lse" and inputs.problem.attention in _WITHOUT_LSE:
                continue
            like = _like(inputs, name)
            rows = _as_rows(answer, name)
            # The plain output is rounded to the output's dtype, like a backend's output.
            rounded = _as_rows(plain[name].to(like.dtype), name)
            unit = _unit(inputs, name)
            cancels = inputs.problem.feature == "identity"
            errors = row_errors(rounded, rows, name, unit, cancels=cancels)
            finite = errors[errors.isfinite()]
            expected[name] = Expected(
                name=name,
                shape=tuple(like.shape),
                dtype=like.dtype,
                exact=rows,
                plain_error=float(finite.max()) if finite.numel() else 0.0,
                where=where.get(name),
                unit=unit,
            )
        return cls(problem=inputs.problem, expected=expected)


def _whole_answer(inputs: Inputs, kind: torch.dtype, kept: torch.dtype | None) -> dict[str, Tensor]:
    """Compute every row in ``kind``, in the output's layout; gradients only in a backward mode.

    The results are kept in the dtype ``kept``; None keeps them as they are computed.
    """
    problem = inputs.problem
    outputs: dict[str, Tensor] = {}
    for group in groups_of(problem):
        for block in blocks_of(problem, group):
            answer = answer_block(inputs, block, kind)
            for name in NAMES:
                part = getattr(answer, name)
                if part is None:
                    continue
                if name not in outputs:
                    dtype = (
                        torch.float64 if name == "lse" and kept is not None else kept or part.dtype
                    )
                    outputs[name] = torch.empty(
                        _like(inputs, name).shape, dtype=dtype, device=part.device
                    )
                view = rows_view if name in ROW_NAMES else keys_view
                view(outputs[name], problem, group)[block.batch, block.heads] = part
    return outputs


def _sampled_answer(
    inputs: Inputs, kind: torch.dtype, rows: int, *, with_keys: bool
) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor, ...]]]:
    """Compute sampled rows of o, lse and dq, one KV head's dk and dv; and their indices."""
    problem, device = inputs.problem, inputs.q.device
    parts: dict[str, list[Tensor]] = {}
    places: dict[str, list[tuple[Tensor, ...]]] = {}

    def add(answer: Answer, names: tuple[str, ...], where: tuple[Tensor, ...]) -> None:
        for name in names:
            part = getattr(answer, name)
            if part is not None:
                parts.setdefault(name, []).append(part)
                places.setdefault(name, []).append(where)

    for sampled in sample_rows(problem, rows, device):
        heads = sampled.block.heads.start * problem.group_size + sampled.heads
        where = _index(problem, sampled.block, heads, sampled.rows, "q")
        add(answer_rows(inputs, sampled, kind), ROW_NAMES, where)
    if problem.mode != "fwd" and with_keys:
        block = _last_pair(problem)
        keys = torch.arange(block.group.request.kv_len, device=device)
        heads = torch.full_like(keys, block.heads.start)
        answer = answer_block(inputs, block, kind)
        flat = Answer(o=answer.o, lse=answer.lse, dk=_only(answer.dk), dv=_only(answer.dv))
        add(flat, KEY_NAMES, _index(problem, block, heads, keys, "k"))
    joined = {name: torch.cat(some) for name, some in parts.items()}
    where_all = {
        name: tuple(torch.cat(axis) for axis in zip(*some, strict=True))
        for name, some in places.items()
    }
    return joined, where_all


def _last_pair(problem: Problem) -> Block:
    """Return the last KV head of the last sequence."""
    *_, group = groups_of(problem)
    batch, heads = slice(group.count - 1, group.count), problem.n_kv_heads
    return Block(group=group, batch=batch, heads=slice(heads - 1, heads))


def _index(
    problem: Problem, block: Block, heads: Tensor, tokens: Tensor, side: str
) -> tuple[Tensor, ...]:
    """Return the index of rows in a tensor with the layout of q or of k."""
    sequence = block.batch.start
    if not problem.is_ragged:
        return torch.full_like(tokens, sequence), heads, tokens
    group = block.group
    if side == "q":
        return group.first_row + sequence * group.request.q_len + tokens, heads
    return group.first_key + sequence * group.request.kv_len + tokens, heads


def _only(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor[0, 0]


def _like(inputs: Inputs, name: str) -> Tensor:
    """Return a meta tensor with the shape and dtype that an output must have."""
    q = inputs.q
    if name == "o":
        return torch.empty(*q.shape[:-1], inputs.problem.v_dim, dtype=q.dtype, device="meta")
    if name == "lse":
        return torch.empty(q.shape[:-1], dtype=torch.float32, device="meta")
    source = {"dq": q, "dk": inputs.k, "dv": inputs.v}[name]
    assert source is not None
    return torch.empty(source.shape, dtype=source.dtype, device="meta")


def _unit(inputs: Inputs, name: str) -> float:
    """Return the typical length of a term scale · (do · v) · k of dq, or of dk; else 0."""
    if name not in ("dq", "dk"):
        return 0.0
    factors = (inputs.grad_out, inputs.v, inputs.k if name == "dq" else inputs.q)
    lengths = [rms_row_norm(_as_rows(one.detach(), name)) for one in factors if one is not None]
    return inputs.scale * math.prod(lengths)


def _as_rows(tensor: Tensor, name: str) -> Tensor:
    return tensor.reshape(-1, 1) if name == "lse" else tensor.reshape(-1, tensor.shape[-1])


def _plain_dtype(problem: Problem) -> torch.dtype:
    """Return the dtype that plain PyTorch computes in, which has no fp8 products."""
    return torch.bfloat16 if problem.dtype.startswith("fp8") else TORCH_DTYPES[problem.dtype]


def _kept_dtype(problem: Problem) -> torch.dtype:
    """Return fp64, or fp32 for a much coarser dtype, which halves the memory."""
    return torch.float64 if problem.dtype in ("fp32", "tf32") else torch.float32


GRADIENTS = ("dq", "dk", "dv")
# Of the rms row norm: below it a row counts as that large.
_SMALLEST_NORM, _SMALLEST_GRADIENT = 1e-3, 1.0
_AT_ONCE = 2**20  # elements compared at once, in fp64


def row_errors(
    got: Tensor, exact: Tensor, name: str, unit: float = 0.0, *, cancels: bool = False
) -> Tensor:
    """Return the relative error of each row, fp64 ``[rows]``; NaN or inf if ``got`` is not finite.

    Args:
        got: the computed rows, ``[rows, dim]``.
        exact: what they should be.
        name: of the output, o, lse, dq, dk or dv; the error of lse is absolute below 1.
        unit: replaces the rms length if every row should be 0.
        cancels: whether rows are sums of terms of both signs, like a gradient's: true of linear
            attention without a feature map.

    """
    errors = torch.empty(exact.shape[0], dtype=torch.float64, device=exact.device)
    step = max(1, _AT_ONCE // exact.shape[1])
    smallest = _SMALLEST_GRADIENT if name in GRADIENTS or cancels else _SMALLEST_NORM
    # A row shorter than this counts as this long: its error is mostly cancellation.
    least = smallest * rms_row_norm(exact) or unit
    for start in range(0, exact.shape[0], step):
        part = slice(start, start + step)
        r = exact[part].double()
        difference = (got[part].double() - r).norm(dim=-1)
        if name == "lse":
            # Already a logarithm: the error is absolute, relative above 1; rows without a key pass.
            size = r.abs().squeeze(-1)
            errors[part] = torch.where(size.isfinite(), difference / size.clamp(min=1), 0.0)
        else:
            size = r.norm(dim=-1).clamp(min=least)
            errors[part] = torch.where((size == 0) & (difference == 0), 0.0, difference / size)
    return errors


def rms_row_norm(rows: Tensor) -> float:
    """Return the root mean square of the rows' norms."""
    step = max(1, _AT_ONCE // rows.shape[1])
    total = sum(float(part.double().square().sum()) for part in torch.split(rows, step))
    return math.sqrt(total / max(1, rows.shape[0]))
