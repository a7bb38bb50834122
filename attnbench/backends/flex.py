"""PyTorch's compiled FlexAttention, with a block mask for what the mask hides.

Made for CUDA. On a CPU it compiles for half a minute and has no backward, so it needs ``cpu=true``.
If torch does not compile it, an eager version runs that writes every score to memory; the call
then carries the note FALLBACK. Packed requests form one long sequence in which a row sees only the
keys of its own request. A sink logit scales the output by its share of the denominator in one more
pass over o, as gpt-oss does. Paged caches are not supported: blocks of keys are read whole, and
pages end inside them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem
from attnbench.problem.pairs import alignment_offset, kept_blocks

if TYPE_CHECKING:
    from torch import Tensor

capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp32", "tf32", "fp16", "bf16"},
    masks={"none", "causal", "window"},
    mask_aligns={"bottom_right", "top_left"},
    ragged=True,
    softcap=True,
    alibi=True,
    sinks=True,
    sink_logits=True,
    attentions={"softmax", "block_sparse"},
    devices={"cuda", "cpu"},
)


def why_not(
    problem: Problem, device: Device, *, cpu: bool = False, lse: bool = False
) -> str | None:
    """Report a CPU without ``cpu=true``, and combinations that flex does not have there."""
    if problem.attention == "block_sparse" and problem.is_ragged:
        return "block_sparse over ragged requests is not supported"
    if lse and problem.mode != "fwd":
        return "only the forward returns lse"
    if device.kind != "cpu":
        return None
    if not cpu:
        return "flex compiles half a minute on a CPU; flex[cpu=true] asks for it"
    if lse or problem.sink_logits:
        return "flex has no lse on a CPU, which sink_logits need too"
    return "flex has no backward on a CPU" if problem.mode != "fwd" else None


def prepare(inputs: Inputs, *, cpu: bool = False, lse: bool = False) -> Callable[[], Any]:
    """Return the call; the block mask is made here, the kernel is compiled in the first call.

    Args:
        inputs: fp32, tf32, fp16 or bf16, dense or packed.
        cpu: allow a CPU, where compiling takes half a minute.
        lse: also return lse, which torch then writes to memory.

    Returns:
        A call that gives o in q's layout, or (o, lse) with ``lse``.

    """
    import torch

    del cpu
    # torch stops compiling a function after a few shapes: reset for every case.
    torch.compiler.reset()
    return _Call(inputs, returns_lse=lse)


class _Call:
    """The prepared call; it records whether its first run compiled anything."""

    def __init__(self, inputs: Inputs, *, returns_lse: bool) -> None:
        import torch

        self._inputs = inputs
        self._returns_lse = returns_lse
        positions = _Positions(inputs)
        self._keywords: dict[str, Any] = {
            "score_mod": positions.score_mod(),
            "block_mask": positions.block_mask(),
            "scale": inputs.scale,
            "enable_gqa": inputs.problem.group_size > 1,
        }
        self._was_called = self._was_compiled = False
        has_sink = inputs.sink_logits is not None
        self._with_lse = returns_lse or has_sink
        if self._with_lse:
            self._keywords["sink"] = inputs.sink_logits
        attend = _function(with_lse=self._with_lse, has_sink=has_sink)
        self._attend = torch.compile(attend, dynamic=False, backend=self._compile)

    @property
    def notes(self) -> tuple[str, ...]:
        """FALLBACK if a call was made and nothing was compiled: the eager version ran."""
        return ("FALLBACK",) if self._was_called and not self._was_compiled else ()

    def __call__(self) -> Any:
        self._was_called = True
        inputs = self._inputs
        assert inputs.k is not None
        assert inputs.v is not None
        packed = inputs.problem.is_ragged
        tensors = [inputs.q, inputs.k, inputs.v]
        if packed:
            # [tokens, heads, dim] is one sequence [1, heads, tokens, dim], as a view.
            tensors = [one.transpose(0, 1).unsqueeze(0) for one in tensors]
        found = self._attend(*tensors, **self._keywords)
        o, lse = found if self._with_lse else (found, None)
        if packed:
            o, lse = o[0].transpose(0, 1), None if lse is None else lse[0].transpose(0, 1)
        return (o, lse) if self._returns_lse else o

    def _compile(self, graph: Any, examples: Any) -> Any:
        """Compile as torch would, and record it: torch reports a fallback only once per process."""
        from torch._inductor.compile_fx import compile_fx

        self._was_compiled = True
        return compile_fx(graph, examples)


def _kept(problem: Problem, device: Any) -> Tensor:
    """Which blocks are kept, bool ``[block rows, block columns]``."""
    import torch

    _, request = problem.request_groups[0]
    assert problem.block is not None
    shape = (-(-request.q_len // problem.block), -(-request.kv_len // problem.block))
    kept = torch.zeros(shape, dtype=torch.bool)
    for row, columns in kept_blocks(problem, request):
        kept[row, list(columns)] = True
    return kept.to(device)


def _function(*, with_lse: bool, has_sink: bool) -> Callable[..., Any]:
    """Return what is compiled: flex by itself, with lse, or with a sink in both outputs."""
    import torch
    from torch.nn.attention.flex_attention import AuxRequest, flex_attention

    if not with_lse:
        return flex_attention

    def attend_with_lse(
        q: Tensor, k: Tensor, v: Tensor, *, sink: Tensor | None, **keywords: Any
    ) -> Any:
        o, aux = flex_attention(q, k, v, **keywords, return_aux=AuxRequest(lse=True))
        if not has_sink or sink is None:
            return o, aux.lse
        logit = sink.view(1, -1, 1)
        share = torch.sigmoid(aux.lse - logit).unsqueeze(-1)
        return (o * share).to(o.dtype), torch.logaddexp(aux.lse, logit)

    return attend_with_lse


class _Positions:
    """Positions of rows and keys: in a packed batch they restart in every request."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._problem = inputs.problem
        requests = self._problem.request_list
        self._first_offset = alignment_offset(self._problem, requests[0])
        if not self._problem.is_ragged:
            return
        import torch

        device = inputs.q.device
        numbers = torch.arange(len(requests), device=device)
        q_lens, kv_lens, offsets = (
            torch.tensor(one, device=device)
            for one in (
                [one.q_len for one in requests],
                [one.kv_len for one in requests],
                [alignment_offset(self._problem, one) for one in requests],
            )
        )
        self._request_of_row = numbers.repeat_interleave(q_lens)
        self._request_of_key = numbers.repeat_interleave(kv_lens)
        # Position of a packed row minus that of a packed key, within one request.
        q_starts, kv_starts = q_lens.cumsum(0) - q_lens, kv_lens.cumsum(0) - kv_lens
        self._offset_of_row = (offsets + kv_starts - q_starts).repeat_interleave(q_lens)

    def _offset(self, row: Tensor) -> Any:
        """What to add to a row's index for the index of the key at its position."""
        return self._offset_of_row[row] if self._problem.is_ragged else self._first_offset

    def score_mod(self) -> Callable[..., Tensor] | None:
        """Softcap, then ALiBi; None where scores are unchanged."""
        softcap, slopes = self._problem.softcap, self._inputs.alibi_slopes
        if softcap is None and slopes is None:
            return None
        offset = self._offset

        def score_mod(score: Tensor, _batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Any:
            if softcap is not None:
                score = (score / softcap).tanh() * softcap
            if slopes is not None:
                score = score - slopes[head] * (row + offset(row) - key).abs()
            return score

        return score_mod

    def block_mask(self) -> Any:
        """The blocks with any visible key; None where every row sees every key."""
        from torch.nn.attention.flex_attention import create_block_mask

        problem = self._problem
        if problem.mask == "none" and problem.block is None and not problem.is_ragged:
            return None
        if problem.is_ragged:
            lengths = len(self._request_of_row), len(self._request_of_key)
        else:
            assert problem.q_len is not None
            assert problem.kv_len is not None
            lengths = problem.q_len, problem.kv_len
        device = str(self._inputs.q.device)
        return create_block_mask(self._mask_mod(), None, None, *lengths, device=device)

    def _mask_mod(self) -> Callable[..., Any]:
        problem, offset = self._problem, self._offset
        window, sinks, block = problem.window, problem.sinks, problem.block
        kept = None if block is None else _kept(problem, self._inputs.q.device)
        if not problem.is_ragged:
            starts = None
        else:
            of_row, of_key = self._request_of_row, self._request_of_key
            starts = self._inputs.cu_seqlens_k

        def mask_mod(_batch: Tensor, _head: Tensor, row: Tensor, key: Tensor) -> Any:
            valid = (row >= 0) & (key >= 0)
            if kept is not None and block is not None:
                valid = kept[row // block, key // block]
            if problem.mask != "none":
                position = row + offset(row)
                valid = valid & (key <= position)
                if window is not None:
                    first = 0 if starts is None else starts[of_row[row]]
                    valid = valid & ((key > position - window) | (key - first < sinks))
            if starts is not None:
                valid = valid & (of_row[row] == of_key[key])
            return valid

        return mask_mod
