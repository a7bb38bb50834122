"""cuDNN's fused attention through cudnn-frontend's graph API, beyond what SDPA exposes.

``prepare`` builds the graph and takes the first plan that cuDNN's heuristics suggest; the call
binds tensors to it. Dims and strides are part of the graph, so nothing is copied. For cuDNN as
torch calls it, see ``sdpa[kernel=cudnn]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.plugin import Capabilities, Inputs, Library
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

library = Library(
    module="cudnn",
    distribution="nvidia-cudnn-frontend",
    install="pip install nvidia-cudnn-frontend",
    checked="1.32.0",
    refusals=("cudnnGraphNotSupportedError", "not supported", "No valid execution plans"),
)
capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp16", "bf16"},
    masks={"none", "causal", "window"},
    mask_aligns={"bottom_right", "top_left"},
    ragged=True,
    paged=True,
    page_formats={"nhd", "hnd"},
    sink_logits=True,
    devices={"cuda"},
    min_arch="sm_80",
)
_DIM_UNIT = 8


def why_not(problem: Problem, device: Device, *, deterministic: bool = False) -> str | None:
    """Report what the graph's own checks refuse and what this adapter does not express."""
    del device
    if deterministic and problem.mode == "fwd":
        return "deterministic is about the backward; mode fwd has none"
    return next(_reasons(problem), None)


def _reasons(problem: Problem) -> Iterator[str]:
    for name, width in (("head_dim", problem.head_dim), ("v_head_dim", problem.v_dim)):
        if width % _DIM_UNIT:
            yield f"{name} {width} is not a multiple of {_DIM_UNIT}"
    if problem.is_ragged and problem.mode != "fwd":
        yield "the backward of ragged requests is not supported"
    longer = any(one.q_len > one.kv_len for _, one in problem.request_groups)
    if problem.mask != "none" and problem.mask_align == "bottom_right" and longer:
        yield "a bottom_right mask with more rows than keys is not supported"
    if problem.sink_logits and any(one.q_len == 1 for _, one in problem.request_groups):
        yield "sink_logits of a single row is not supported"


def prepare(inputs: Inputs, *, deterministic: bool = False) -> Callable[[], Any]:
    """Build the graphs, which takes most of the time, and return the call.

    Args:
        inputs: fp16 or bf16 tensors, dense, packed or paged.
        deterministic: whether the backward must use cuDNN's deterministic algorithm.

    Returns:
        A call that gives o in q's layout; in mode fwd also lse (fp32), or None where cuDNN's
        statistics are not the natural-log lse.

    Raises:
        Unsupported: the library is missing or refuses the problem.

    """
    library.load()
    if inputs.problem.mode == "fwd":
        forward: _Forward = library.translate_errors(lambda: _Forward(inputs))()
        return library.translate_errors(forward.attend)
    graphs: _ForwardBackward = library.translate_errors(
        lambda: _ForwardBackward(inputs, deterministic=deterministic)
    )()
    attention = _attention_function()
    return library.translate_errors(lambda: attention.apply(graphs, inputs.q, inputs.k, inputs.v))


class _Forward:
    """The forward of one problem: dense, packed or paged."""

    def __init__(self, inputs: Inputs, *, keeps_stats: bool = False) -> None:
        import torch

        self._inputs = inputs
        problem = inputs.problem
        # With a sink, cuDNN's statistics are meant for its backward only; packed ones are padded.
        self._has_lse = keeps_stats or not (problem.is_ragged or problem.sink_logits)
        builder = _GraphBuilder(inputs)
        operands = _operands(builder)
        o, stats = builder.graph.sdpa(
            q=operands.q,
            k=operands.k,
            v=operands.v,
            attn_scale=inputs.scale,
            generate_stats=self._has_lse,
            sink_token=builder.sink_token(),
            use_padding_mask=operands.is_padded,
            seq_len_q=operands.q_lengths,
            seq_len_kv=operands.kv_lengths,
            paged_attention_k_table=operands.k_table,
            paged_attention_v_table=operands.v_table,
            paged_attention_max_seq_len_kv=operands.longest_kv,
            **builder.mask_options(),
        )
        o_like, _ = self._outputs()
        self._o = builder.declare_output(o, o_like, **operands.o_layout)
        self._stats = None
        if self._has_lse:
            lse = torch.empty(inputs.q.shape[:-1], dtype=torch.float32, device="meta")
            self._stats = builder.declare_output(stats, lse.unsqueeze(-1))
        self._plan = builder.build()

    def attend(self) -> tuple[Tensor, Tensor | None]:
        """Allocate and fill o, and lse if cuDNN returns it."""
        o, lse = self._outputs()
        made = {self._o: o}
        if lse is not None:
            made[self._stats] = lse.unsqueeze(-1)
        self._plan.run(made)
        return o, lse

    def _outputs(self) -> tuple[Tensor, Tensor | None]:
        import torch

        q = self._inputs.q
        o = torch.empty(*q.shape[:-1], self._inputs.problem.v_dim, dtype=q.dtype, device=q.device)
        if not self._has_lse:
            return o, None
        return o, torch.empty(q.shape[:-1], dtype=torch.float32, device=q.device)


class _ForwardBackward:
    """Forward and backward of a dense problem."""

    def __init__(self, inputs: Inputs, *, deterministic: bool) -> None:
        import torch

        assert inputs.k is not None
        assert inputs.v is not None
        self.forward = _Forward(inputs, keeps_stats=True)
        self._like = tuple(one.detach() for one in (inputs.q, inputs.k, inputs.v))
        builder = _GraphBuilder(inputs)
        q, k, v = map(builder.bind_input, self._like)
        lead, width = inputs.q.shape[:-1], inputs.problem.v_dim
        o = torch.empty(*lead, width, dtype=inputs.q.dtype, device="meta")
        lse = torch.empty(*lead, 1, dtype=torch.float32, device="meta")
        self._o, self._do, self._stats = map(builder.declare_input, (o, o, lse))
        self._made = builder.graph.sdpa_backward(
            q=q,
            k=k,
            v=v,
            o=self._o,
            dO=self._do,
            stats=self._stats,
            attn_scale=inputs.scale,
            use_deterministic_algorithm=deterministic,
            sink_token=builder.sink_token(),
            **builder.mask_options(),
        )
        for symbol, like in zip(self._made, self._like, strict=True):
            builder.declare_output(symbol, like)
        self._plan = builder.build()

    def gradients(self, o: Tensor, lse: Tensor, do: Tensor) -> tuple[Tensor, ...]:
        """Return dq, dk and dv, with the strides of q, k and v."""
        import torch

        made = tuple(torch.empty_like(one) for one in self._like)
        given = {self._o: o, self._do: do, self._stats: lse.unsqueeze(-1)}
        self._plan.run({**given, **dict(zip(self._made, made, strict=True))})
        return made


@lru_cache(maxsize=1)
def _attention_function() -> Any:
    """Return the autograd function around cuDNN's backward; made on demand, as it needs torch."""
    import torch

    class Attention(torch.autograd.Function):
        """Attention output o of q, k and v."""

        @staticmethod
        def forward(ctx: Any, graphs: _ForwardBackward, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            """Take q, k and v only so that autograd sees them; the graphs are bound to them."""
            del q, k, v
            o, lse = graphs.forward.attend()
            ctx.graphs = graphs
            ctx.save_for_backward(o, lse)
            return o

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            """Return dq, dk and dv."""
            o, lse = ctx.saved_tensors
            return None, *ctx.graphs.gradients(o, lse, grads[0].contiguous())

    return Attention


_Layout = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operands:
    """Graph tensors for q, k and v, their lengths and pages; ``o_layout`` describes o."""

    q: Any
    k: Any
    v: Any
    o_layout: _Layout = field(default_factory=dict)
    q_lengths: Any = None
    kv_lengths: Any = None
    k_table: Any = None
    v_table: Any = None
    longest_kv: int | None = None

    @property
    def is_padded(self) -> bool:
        """Whether each sequence has its own length."""
        return self.q_lengths is not None


def _operands(builder: _GraphBuilder) -> _Operands:
    """Declare q, k and v in the layout of the problem."""
    inputs = builder.inputs
    if inputs.page_table is not None:
        return _paged(builder)
    assert inputs.k is not None
    assert inputs.v is not None
    if inputs.problem.is_ragged:
        return _packed(builder)
    q, k, v = (builder.bind_input(one.detach()) for one in (inputs.q, inputs.k, inputs.v))
    return _Operands(q=q, k=k, v=v)


def _packed(builder: _GraphBuilder) -> _Operands:
    """Packed requests: each tensor carries the offset of every sequence, in elements."""
    inputs = builder.inputs
    assert inputs.k is not None
    assert inputs.v is not None
    assert inputs.cu_seqlens_k is not None
    q, o_layout = _packed_rows(builder)
    k, v = (
        builder.bind_input(
            one,
            ragged=_offsets(builder, inputs.cu_seqlens_k, one),
            shape=_longest(inputs, one, inputs.max_kv_len),
        )
        for one in (inputs.k, inputs.v)
    )
    rows, keys = _lengths(builder)
    return _Operands(q=q, k=k, v=v, o_layout=o_layout, q_lengths=rows, kv_lengths=keys)


def _paged(builder: _GraphBuilder) -> _Operands:
    """Pages as strided views ``[pages, kv_heads, page_size, dim]``, with a table for each."""
    inputs = builder.inputs
    assert inputs.k_pages is not None
    assert inputs.v_pages is not None
    assert inputs.page_table is not None
    is_nhd = inputs.problem.page_format == "nhd"
    k, v = (
        builder.bind_input(one.transpose(1, 2) if is_nhd else one)
        for one in (inputs.k_pages, inputs.v_pages)
    )
    table = inputs.page_table[:, None, :, None]
    q, o_layout = (
        _packed_rows(builder) if inputs.problem.is_ragged else (builder.bind_input(inputs.q), {})
    )
    rows, keys = _lengths(builder)
    return _Operands(
        q=q,
        k=k,
        v=v,
        o_layout=o_layout,
        q_lengths=rows,
        kv_lengths=keys,
        k_table=builder.bind_input(table),
        v_table=builder.bind_input(table),
        longest_kv=inputs.max_kv_len,
    )


def _packed_rows(builder: _GraphBuilder) -> tuple[Any, _Layout]:
    """Packed q, and the layout of a packed o."""
    inputs = builder.inputs
    q, ends = inputs.q, inputs.cu_seqlens_q
    assert ends is not None
    wide = q.new_empty(*q.shape[:-1], inputs.problem.v_dim, device="meta")
    o_layout = {
        "ragged": _offsets(builder, ends, wide),
        "shape": _longest(inputs, wide, inputs.max_q_len),
    }
    ragged = _offsets(builder, ends, q)
    return builder.bind_input(
        q, ragged=ragged, shape=_longest(inputs, q, inputs.max_q_len)
    ), o_layout


def _longest(inputs: Inputs, packed: Tensor, tokens: int) -> tuple[list[int], list[int]]:
    """Dims and strides of ``[requests, heads, longest, dim]`` over a packed tensor."""
    _, heads, width = packed.shape
    row = heads * width
    dims = [len(inputs.problem.request_list), heads, tokens, width]
    return dims, [tokens * row, width, row, 1]


def _offsets(builder: _GraphBuilder, ends: Tensor, packed: Tensor) -> Any:
    import torch

    row = packed.shape[1] * packed.shape[2]
    return builder.bind_input((ends.to(torch.int64) * row).view(-1, 1, 1, 1))


def _lengths(builder: _GraphBuilder) -> tuple[Any, Any]:
    """Query and key lengths of each sequence, int32 ``[requests, 1, 1, 1]``."""
    import torch

    inputs = builder.inputs
    requests = inputs.problem.request_list
    rows, keys = (
        builder.bind_input(
            torch.tensor(lengths, dtype=torch.int32, device=inputs.q.device).view(-1, 1, 1, 1)
        )
        for lengths in ([one.q_len for one in requests], [one.kv_len for one in requests])
    )
    return rows, keys


@dataclass(frozen=True, slots=True)
class _Plan:
    """A built graph with the tensors that every call binds besides its outputs."""

    graph: Any
    handle: Any
    bound: dict[Any, Tensor]
    workspace: Tensor

    def run(self, more: dict[Any, Tensor]) -> None:
        """Queue the plan on the current stream."""
        import cudnn
        import torch

        stream = torch.cuda.current_stream(self.workspace.device).cuda_stream
        cudnn.set_stream(self.handle, stream)
        self.graph.execute({**self.bound, **more}, self.workspace, handle=self.handle)


class _GraphBuilder:
    """Declares the tensors of a graph, then builds it."""

    def __init__(self, inputs: Inputs) -> None:
        import cudnn
        import torch

        self._dtypes = {
            torch.float16: cudnn.data_type.HALF,
            torch.bfloat16: cudnn.data_type.BFLOAT16,
            torch.float32: cudnn.data_type.FLOAT,
            torch.int32: cudnn.data_type.INT32,
            torch.int64: cudnn.data_type.INT64,
        }
        self.inputs = inputs
        self.handle = cudnn.create_handle()
        self.graph = cudnn.pygraph(
            io_data_type=self._dtypes[inputs.q.dtype],
            intermediate_data_type=cudnn.data_type.FLOAT,
            compute_data_type=cudnn.data_type.FLOAT,
            handle=self.handle,
        )
        self.bound: dict[Any, Tensor] = {}

    def declare_input(self, tensor: Tensor, *, ragged: Any = None, shape: Any = None) -> Any:
        """Declare an input with the dims, strides and dtype of ``tensor``.

        A ragged input has ``shape`` (dims and strides of its longest sequences) and the graph
        tensor of their offsets, ``ragged``.
        """
        dims, strides = (list(tensor.shape), list(tensor.stride())) if shape is None else shape
        return self.graph.tensor(
            dim=dims,
            stride=strides,
            data_type=self._dtypes[tensor.dtype],
            ragged_offset=ragged,
        )

    def bind_input(self, tensor: Tensor, *, ragged: Any = None, shape: Any = None) -> Any:
        """Declare an input and bind it for every call."""
        found = self.declare_input(tensor, ragged=ragged, shape=shape)
        self.bound[found] = tensor
        return found

    def declare_output(
        self, symbol: Any, tensor: Tensor, *, ragged: Any = None, shape: Any = None
    ) -> Any:
        """Declare an output with the dims, strides and dtype of ``tensor``."""
        dims, strides = (list(tensor.shape), list(tensor.stride())) if shape is None else shape
        symbol.set_output(True).set_dim(dims).set_stride(strides)
        symbol.set_data_type(self._dtypes[tensor.dtype])
        if ragged is not None:
            symbol.set_ragged_offset(ragged)
        return symbol

    def mask_options(self) -> dict[str, Any]:
        """Diagonal alignment and bounds; cuDNN counts a row's own key in its window, as we do."""
        import cudnn

        problem = self.inputs.problem
        aligned = cudnn.diagonal_alignment
        is_bottom = problem.mask_align == "bottom_right"
        return {
            "diagonal_alignment": aligned.BOTTOM_RIGHT if is_bottom else aligned.TOP_LEFT,
            "diagonal_band_right_bound": None if problem.mask == "none" else 0,
            "diagonal_band_left_bound": problem.window,
        }

    def sink_token(self) -> Any:
        """One logit per query head, ``[1, q_heads, 1, 1]``; None without sink logits."""
        logits = self.inputs.sink_logits
        return None if logits is None else self.bind_input(logits.view(1, -1, 1, 1))

    def build(self) -> _Plan:
        """Check the graph, choose and compile a plan, and reserve its workspace."""
        import cudnn
        import torch

        self.graph.build([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        size = max(1, self.graph.get_workspace_size())
        workspace = torch.empty(size, dtype=torch.uint8, device=self.inputs.q.device)
        return _Plan(self.graph, self.handle, self.bound, workspace)
