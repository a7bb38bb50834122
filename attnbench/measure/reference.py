"""What a problem's outputs should be: fp64 on the values that the backend was given.

Beside it stands how far plain PyTorch of the same dtype is off, which is what an error is measured
by. Both are computed once a problem and shared by all its backends. Problems of more than 2^28
scores are referenced on 256 sampled rows; of their gradients dq is referenced on the same rows, dk
and dv on all keys of the last KV head of the last sequence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from attnbench.kv_cache import TORCH_DTYPES
from attnbench.measure.inputs import matmul_precision
from attnbench.measure.oracle import Answer, answer_block, answer_rows, blocks_of, layer
from attnbench.measure.row_sampling import pick_rows
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
    """One tensor of the output: what it should be, and by how much plain PyTorch misses it.

    ``exact`` is ``[rows, dim]`` (lse: dim 1). ``where`` picks these rows out of the output; None
    where they are all its rows, in order. ``unit`` is the length of the terms that a gradient is
    the difference of; errors are measured by it where all of ``exact`` is 0.
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
    """Everything that ``check`` compares an output with; of one problem and one draw of q."""

    problem: Problem
    expected: Mapping[str, Expected]

    @classmethod
    def of(cls, inputs: Inputs) -> Reference:
        """Compute the reference of these inputs, whole or sampled.

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
        """Compute at most 64 rows, for the q that was drawn again.

        dk and dv are left out unless one head's are cheap. ``like`` is the reference of the first
        draw: what plain PyTorch was off by there counts too, which 64 rows alone would understate.
        """
        problem = inputs.problem
        if problem.attention == "layer":
            return cls.of(inputs)
        a_pair = problem.group_size * max(r.q_len * r.kv_len for _, r in problem.request_groups)
        with torch.no_grad(), matmul_precision(problem):
            with_keys = a_pair <= _REDRAWN_PAIR_SCORES
            found = cls._sampled(inputs, REDRAWN_ROWS, with_keys=with_keys)
        return found if like is None else found.at_least_as_lenient_as(like)

    def at_least_as_lenient_as(self, other: Reference) -> Reference:
        """Let no error of plain PyTorch be smaller than the other reference's."""
        raised = {}
        for name, one in self.expected.items():
            twin = other.expected.get(name)
            error = max(one.plain_error, twin.plain_error if twin else 0.0)
            values = {field.name: getattr(one, field.name) for field in fields(one)}
            raised[name] = Expected(**{**values, "plain_error": error})
        return Reference(problem=self.problem, expected=raised)

    @classmethod
    def _whole(cls, inputs: Inputs) -> Reference:
        exact = _whole_answer(inputs, torch.float64, _kept_dtype(inputs.problem))
        plain = _whole_answer(inputs, _plain_dtype(inputs.problem), None)
        return cls._from(inputs, exact, plain, {})

    @classmethod
    def _of_layer(cls, inputs: Inputs) -> Reference:
        """A row of a layer needs every head, so that it is always computed whole."""

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
            # The twin's output is rounded to the output's dtype, as the backend's is.
            twin = _as_rows(plain[name].to(like.dtype), name)
            unit = _unit(inputs, name)
            cancels = inputs.problem.feature == "identity"
            errors = row_errors(twin, rows, name, unit, cancels=cancels)
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
    """Every row, in the output's layout; gradients only in a backward mode."""
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
    """Picked rows of o, lse and dq, one KV head's dk and dv; and where all these are."""
    problem, device = inputs.problem, inputs.q.device
    parts: dict[str, list[Tensor]] = {}
    places: dict[str, list[tuple[Tensor, ...]]] = {}

    def add(answer: Answer, names: tuple[str, ...], where: tuple[Tensor, ...]) -> None:
        for name in names:
            part = getattr(answer, name)
            if part is not None:
                parts.setdefault(name, []).append(part)
                places.setdefault(name, []).append(where)

    for picked in pick_rows(problem, rows, device):
        heads = picked.block.heads.start * problem.group_size + picked.heads
        where = _place(problem, picked.block, heads, picked.rows, "q")
        add(answer_rows(inputs, picked, kind), ROW_NAMES, where)
    if problem.mode != "fwd" and with_keys:
        block = _last_pair(problem)
        keys = torch.arange(block.group.request.kv_len, device=device)
        heads = torch.full_like(keys, block.heads.start)
        answer = answer_block(inputs, block, kind)
        flat = Answer(o=answer.o, lse=answer.lse, dk=_only(answer.dk), dv=_only(answer.dv))
        add(flat, KEY_NAMES, _place(problem, block, heads, keys, "k"))
    joined = {name: torch.cat(some) for name, some in parts.items()}
    where_all = {
        name: tuple(torch.cat(axis) for axis in zip(*some, strict=True))
        for name, some in places.items()
    }
    return joined, where_all


def _last_pair(problem: Problem) -> Block:
    """The last KV head of the last sequence."""
    *_, group = groups_of(problem)
    batch, heads = slice(group.count - 1, group.count), problem.n_kv_heads
    return Block(group=group, batch=batch, heads=slice(heads - 1, heads))


def _place(
    problem: Problem, block: Block, heads: Tensor, tokens: Tensor, side: str
) -> tuple[Tensor, ...]:
    """Index rows of a tensor that lies like q or like k."""
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
    """A tensor on no device with the shape and dtype that an output must have."""
    q = inputs.q
    if name == "o":
        return torch.empty(*q.shape[:-1], inputs.problem.v_dim, dtype=q.dtype, device="meta")
    if name == "lse":
        return torch.empty(q.shape[:-1], dtype=torch.float32, device="meta")
    source = {"dq": q, "dk": inputs.k, "dv": inputs.v}[name]
    assert source is not None
    return torch.empty(source.shape, dtype=source.dtype, device="meta")


def _unit(inputs: Inputs, name: str) -> float:
    """Length of a typical term of dq, scale · (do · v) · k, or of dk; these may cancel to 0."""
    if name not in ("dq", "dk"):
        return 0.0
    factors = (inputs.grad_out, inputs.v, inputs.k if name == "dq" else inputs.q)
    lengths = [rms_row_norm(_as_rows(one.detach(), name)) for one in factors if one is not None]
    return inputs.scale * math.prod(lengths)


def _as_rows(tensor: Tensor, name: str) -> Tensor:
    return tensor.reshape(-1, 1) if name == "lse" else tensor.reshape(-1, tensor.shape[-1])


def _plain_dtype(problem: Problem) -> torch.dtype:
    """What plain PyTorch computes in: the dtype, where it has products in it (fp8 has none)."""
    return torch.bfloat16 if problem.dtype.startswith("fp8") else TORCH_DTYPES[problem.dtype]


def _kept_dtype(problem: Problem) -> torch.dtype:
    """fp64, or where the dtype is much coarser fp32, to halve what is kept."""
    return torch.float64 if problem.dtype in ("fp32", "tf32") else torch.float32


GRADIENTS = ("dq", "dk", "dv")
# Of the rms row norm: below it a row counts as that large.
_SMALLEST_NORM, _SMALLEST_GRADIENT = 1e-3, 1.0
_AT_ONCE = 2**20  # elements compared at a time, in fp64


def row_errors(
    got: Tensor, exact: Tensor, name: str, unit: float = 0.0, *, cancels: bool = False
) -> Tensor:
    """Relative error of each row of ``[rows, dim]``; NaN or inf where ``got`` is not finite.

    ``unit`` stands for the rms length where every row should be 0. ``cancels`` says that rows are
    sums of terms of both signs, as a gradient's are: linear attention without a feature map.
    """
    errors = torch.empty(exact.shape[0], dtype=torch.float64, device=exact.device)
    step = max(1, _AT_ONCE // exact.shape[1])
    smallest = _SMALLEST_GRADIENT if name in GRADIENTS or cancels else _SMALLEST_NORM
    least = smallest * rms_row_norm(exact) or unit
    for start in range(0, exact.shape[0], step):
        part = slice(start, start + step)
        r = exact[part].double()
        difference = (got[part].double() - r).norm(dim=-1)
        if name == "lse":
            # Already a logarithm: an absolute error, relative above 1; rows without a key pass.
            size = r.abs().squeeze(-1)
            errors[part] = torch.where(size.isfinite(), difference / size.clamp(min=1), 0.0)
        else:
            size = r.norm(dim=-1).clamp(min=least)
            errors[part] = torch.where((size == 0) & (difference == 0), 0.0, difference / size)
    return errors


def rms_row_norm(rows: Tensor) -> float:
    """Root of the mean squared norm of all rows."""
    step = max(1, _AT_ONCE // rows.shape[1])
    total = sum(float(part.double().square().sum()) for part in torch.split(rows, step))
    return math.sqrt(total / max(1, rows.shape[0]))
