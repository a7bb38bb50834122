"""cuDNN's fused attention through cudnn-frontend's graph API, for what SDPA does not hand through.

``prepare`` builds the graph and takes the first plan of cuDNN's heuristics; the call binds the
tensors to it. Dims and strides are part of the graph: nothing is copied. cuDNN without the graph
API is ``sdpa[kernel=cudnn]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from attnbench.backends.cudnn.graph import Drawing
from attnbench.backends.cudnn.operands import operands
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
    """What the graph's own checks refuse, and what is not put into a graph here."""
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
    """Build the graphs, which is most of what there is to do, and return the call."""
    library.load()
    if inputs.problem.mode == "fwd":
        forward: _Forward = library.heard(lambda: _Forward(inputs))()
        return library.heard(forward.attend)
    both: _Both = library.heard(lambda: _Both(inputs, deterministic=deterministic))()
    attention = _attention_function()
    return library.heard(lambda: attention.apply(both, inputs.q, inputs.k, inputs.v))


class _Forward:
    """The forward of one problem: dense, packed or paged."""

    def __init__(self, inputs: Inputs, *, keeps_stats: bool = False) -> None:
        import torch

        self._inputs = inputs
        problem = inputs.problem
        # With a sink cuDNN's statistics are the backward's own; packed ones would lie padded.
        self._has_lse = keeps_stats or not (problem.is_ragged or problem.sink_logits)
        drawing = Drawing(inputs)
        given = operands(drawing)
        o, stats = drawing.graph.sdpa(
            q=given.q,
            k=given.k,
            v=given.v,
            attn_scale=inputs.scale,
            generate_stats=self._has_lse,
            sink_token=drawing.sink(),
            use_padding_mask=given.is_padded,
            seq_len_q=given.q_lengths,
            seq_len_kv=given.kv_lengths,
            paged_attention_k_table=given.k_table,
            paged_attention_v_table=given.v_table,
            paged_attention_max_seq_len_kv=given.longest_kv,
            **drawing.mask(),
        )
        o_like, _ = self._outputs()
        self._o = drawing.made(o, o_like, **given.o_layout)
        self._stats = None
        if self._has_lse:
            lse = torch.empty(inputs.q.shape[:-1], dtype=torch.float32, device="meta")
            self._stats = drawing.made(stats, lse.unsqueeze(-1))
        self._built = drawing.built()

    def attend(self) -> tuple[Tensor, Tensor | None]:
        """Allocate o, and lse where there is one, and fill them."""
        o, lse = self._outputs()
        made = {self._o: o}
        if lse is not None:
            made[self._stats] = lse.unsqueeze(-1)
        self._built.run(made)
        return o, lse

    def _outputs(self) -> tuple[Tensor, Tensor | None]:
        import torch

        q = self._inputs.q
        o = torch.empty(*q.shape[:-1], self._inputs.problem.v_dim, dtype=q.dtype, device=q.device)
        if not self._has_lse:
            return o, None
        return o, torch.empty(q.shape[:-1], dtype=torch.float32, device=q.device)


class _Both:
    """Forward and backward of a dense problem."""

    def __init__(self, inputs: Inputs, *, deterministic: bool) -> None:
        import torch

        assert inputs.k is not None
        assert inputs.v is not None
        self.forward = _Forward(inputs, keeps_stats=True)
        self._like = tuple(one.detach() for one in (inputs.q, inputs.k, inputs.v))
        drawing = Drawing(inputs)
        q, k, v = map(drawing.given, self._like)
        lead, width = inputs.q.shape[:-1], inputs.problem.v_dim
        o = torch.empty(*lead, width, dtype=inputs.q.dtype, device="meta")
        lse = torch.empty(*lead, 1, dtype=torch.float32, device="meta")
        self._o, self._do, self._stats = map(drawing.declared, (o, o, lse))
        self._made = drawing.graph.sdpa_backward(
            q=q,
            k=k,
            v=v,
            o=self._o,
            dO=self._do,
            stats=self._stats,
            attn_scale=inputs.scale,
            use_deterministic_algorithm=deterministic,
            sink_token=drawing.sink(),
            **drawing.mask(),
        )
        for symbol, like in zip(self._made, self._like, strict=True):
            drawing.made(symbol, like)
        self._built = drawing.built()

    def gradients(self, o: Tensor, lse: Tensor, do: Tensor) -> tuple[Tensor, ...]:
        """Fill dq, dk and dv, which lie as q, k and v do."""
        import torch

        made = tuple(torch.empty_like(one) for one in self._like)
        given = {self._o: o, self._do: do, self._stats: lse.unsqueeze(-1)}
        self._built.run({**given, **dict(zip(self._made, made, strict=True))})
        return made


@lru_cache(maxsize=1)
def _attention_function() -> Any:
    """Tell autograd of cuDNN's backward; made on demand, because its base class is torch's."""
    import torch

    class Attention(torch.autograd.Function):
        """o of q, k and v."""

        @staticmethod
        def forward(ctx: Any, both: _Both, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            """q, k and v are arguments for their gradients; the graphs know them."""
            del q, k, v
            o, lse = both.forward.attend()
            ctx.both = both
            ctx.save_for_backward(o, lse)
            return o

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
            """Give dq, dk and dv."""
            o, lse = ctx.saved_tensors
            return None, *ctx.both.gradients(o, lse, grads[0].contiguous())

    return Attention
