"""The inputs of a problem as tensors of a cuDNN graph: dense, packed or paged, by strides alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attnbench.backends.cudnn.graph import Drawing
from attnbench.plugin import Inputs

if TYPE_CHECKING:
    from torch import Tensor

Layout = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operands:
    """Q, K and V, and what tells their lengths and pages; ``o_layout`` is how o lies."""

    q: Any
    k: Any
    v: Any
    o_layout: Layout = field(default_factory=dict)
    q_lengths: Any = None
    kv_lengths: Any = None
    k_table: Any = None
    v_table: Any = None
    longest_kv: int | None = None

    @property
    def is_padded(self) -> bool:
        """Whether sequences have lengths of their own."""
        return self.q_lengths is not None


def operands(drawing: Drawing) -> Operands:
    """Declare q, k and v of a problem in its layout."""
    inputs = drawing.inputs
    if inputs.page_table is not None:
        return _paged(drawing)
    assert inputs.k is not None
    assert inputs.v is not None
    if inputs.problem.is_ragged:
        return _packed(drawing)
    q, k, v = (drawing.given(one.detach()) for one in (inputs.q, inputs.k, inputs.v))
    return Operands(q=q, k=k, v=v)


def _packed(drawing: Drawing) -> Operands:
    """Packed requests: each tensor with the offset, in elements, of every sequence."""
    inputs = drawing.inputs
    assert inputs.k is not None
    assert inputs.v is not None
    assert inputs.cu_seqlens_k is not None
    q, o_layout = _packed_rows(drawing)
    k, v = (
        drawing.given(
            one,
            ragged=_offsets(drawing, inputs.cu_seqlens_k, one),
            shape=_longest(inputs, one, inputs.max_kv_len),
        )
        for one in (inputs.k, inputs.v)
    )
    rows, keys = _lengths(drawing)
    return Operands(q=q, k=k, v=v, o_layout=o_layout, q_lengths=rows, kv_lengths=keys)


def _paged(drawing: Drawing) -> Operands:
    """Pages as ``[pages, kv_heads, page_size, dim]`` by their strides, and a table for each."""
    inputs = drawing.inputs
    assert inputs.k_pages is not None
    assert inputs.v_pages is not None
    assert inputs.page_table is not None
    is_nhd = inputs.problem.page_format == "nhd"
    k, v = (
        drawing.given(one.transpose(1, 2) if is_nhd else one)
        for one in (inputs.k_pages, inputs.v_pages)
    )
    table = inputs.page_table[:, None, :, None]
    q, o_layout = (
        _packed_rows(drawing) if inputs.problem.is_ragged else (drawing.given(inputs.q), {})
    )
    rows, keys = _lengths(drawing)
    return Operands(
        q=q,
        k=k,
        v=v,
        o_layout=o_layout,
        q_lengths=rows,
        kv_lengths=keys,
        k_table=drawing.given(table),
        v_table=drawing.given(table),
        longest_kv=inputs.max_kv_len,
    )


def _packed_rows(drawing: Drawing) -> tuple[Any, Layout]:
    """Packed q, and how an o like it is laid out."""
    inputs = drawing.inputs
    q, ends = inputs.q, inputs.cu_seqlens_q
    assert ends is not None
    wide = q.new_empty(*q.shape[:-1], inputs.problem.v_dim, device="meta")
    o_layout = {
        "ragged": _offsets(drawing, ends, wide),
        "shape": _longest(inputs, wide, inputs.max_q_len),
    }
    ragged = _offsets(drawing, ends, q)
    return drawing.given(q, ragged=ragged, shape=_longest(inputs, q, inputs.max_q_len)), o_layout


def _longest(inputs: Inputs, packed: Tensor, tokens: int) -> tuple[list[int], list[int]]:
    """Dims and strides of ``[requests, heads, longest, dim]`` over a packed tensor."""
    _, heads, width = packed.shape
    row = heads * width
    dims = [len(inputs.problem.request_list), heads, tokens, width]
    return dims, [tokens * row, width, row, 1]


def _offsets(drawing: Drawing, ends: Tensor, packed: Tensor) -> Any:
    import torch

    row = packed.shape[1] * packed.shape[2]
    return drawing.given((ends.to(torch.int64) * row).view(-1, 1, 1, 1))


def _lengths(drawing: Drawing) -> tuple[Any, Any]:
    """Rows and keys of each sequence, int32 ``[requests, 1, 1, 1]``."""
    import torch

    inputs = drawing.inputs
    requests = inputs.problem.request_list
    rows, keys = (
        drawing.given(
            torch.tensor(lengths, dtype=torch.int32, device=inputs.q.device).view(-1, 1, 1, 1)
        )
        for lengths in ([one.q_len for one in requests], [one.kv_len for one in requests])
    )
    return rows, keys
