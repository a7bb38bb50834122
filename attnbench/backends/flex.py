"""PyTorch's compiled FlexAttention, with a block mask for what the mask hides.

Made for CUDA. On a CPU it compiles for half a minute and has no backward: only with ``cpu=true``.
Where torch does not compile it after all, it runs an eager stand-in that writes every score to
memory; the call then carries the note FALLBACK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.pairs import alignment_offset
from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp32", "tf32", "fp16", "bf16"},
    masks={"none", "causal", "window"},
    mask_aligns={"bottom_right", "top_left"},
    softcap=True,
    alibi=True,
    sinks=True,
    devices={"cuda", "cpu"},
)


def why_not(problem: Problem, device: Device, *, cpu: bool = False) -> str | None:
    """A CPU only on request, and forward only."""
    if device.kind != "cpu":
        return None
    if not cpu:
        return "flex compiles half a minute on a CPU; flex[cpu=true] asks for it"
    return "flex has no backward on a CPU" if problem.mode != "fwd" else None


def prepare(inputs: Inputs, *, cpu: bool = False) -> Callable[[], Tensor]:
    """Return the call; the block mask is made here, the kernel is compiled in the first call."""
    import torch

    del cpu
    # Past a few shapes of one function torch stops compiling it: every case starts afresh.
    torch.compiler.reset()
    return _Call(
        (inputs.q, inputs.k, inputs.v),
        {
            "score_mod": _score_mod(inputs),
            "block_mask": _block_mask(inputs),
            "scale": inputs.scale,
            "enable_gqa": inputs.problem.group_size > 1,
        },
    )


class _Call:
    """The prepared call, which knows whether its first run compiled anything."""

    def __init__(self, tensors: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        import torch
        from torch.nn.attention.flex_attention import flex_attention

        self._tensors, self._keywords = tensors, keywords
        self._was_called = self._was_compiled = False
        self._attend = torch.compile(flex_attention, dynamic=False, backend=self._compile)

    @property
    def notes(self) -> tuple[str, ...]:
        """FALLBACK where a call was made and nothing was compiled: the eager stand-in ran."""
        return ("FALLBACK",) if self._was_called and not self._was_compiled else ()

    def __call__(self) -> Tensor:
        self._was_called = True
        o: Tensor = self._attend(*self._tensors, **self._keywords)
        return o

    def _compile(self, graph: Any, examples: Any) -> Any:
        """Compile as torch would, and remember it: torch itself tells once a process at most."""
        from torch._inductor.compile_fx import compile_fx

        self._was_compiled = True
        return compile_fx(graph, examples)


def _score_mod(inputs: Inputs) -> Callable[..., Tensor] | None:
    """Softcap, then ALiBi; None where scores stay as they are."""
    problem = inputs.problem
    softcap, slopes = problem.softcap, inputs.alibi_slopes
    if softcap is None and slopes is None:
        return None
    offset = alignment_offset(problem, problem.request_groups[0][1])

    def score_mod(score: Tensor, _batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        if softcap is not None:
            score = (score / softcap).tanh() * softcap
        if slopes is not None:
            score = score - slopes[head] * (row + offset - key).abs()
        return score

    return score_mod


def _block_mask(inputs: Inputs) -> Any:
    """The blocks that the mask shows at all; None where every row sees every key."""
    from torch.nn.attention.flex_attention import create_block_mask

    problem = inputs.problem
    if problem.mask == "none":
        return None
    _, request = problem.request_groups[0]
    offset = alignment_offset(problem, request)
    window, sinks = problem.window, problem.sinks

    def mask_mod(_batch: Tensor, _head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        seen = key <= row + offset
        if window is not None:
            seen = seen & ((key > row + offset - window) | (key < sinks))
        return seen

    device = str(inputs.q.device)
    return create_block_mask(mask_mod, None, None, request.q_len, request.kv_len, device=device)
