"""torch.nn.MultiheadAttention: a layer, its four projections included, not attention alone.

It answers problems of ``attention: layer`` and no others, so that its rows stand in no table beside
attention alone. ``fast_path`` is torch's fused encoder kernel, which is taken for self-attention in
inference; where torch goes another way after all, the call carries the note FALLBACK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attnbench.plugin import Capabilities, Inputs
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

capabilities = Capabilities(
    dtypes={"fp32", "tf32", "fp16", "bf16"},
    masks={"none", "causal"},
    grouped=False,
    wide_v=False,
    attentions={"layer"},
)
_FUSED = "_native_multi_head_attention"
_FP32_BYTES = 4


def why_not(problem: Problem, device: Any, *, fast_path: bool = True) -> str | None:
    """The module scales by 1 / sqrt(head_dim) and by nothing else."""
    del device, fast_path
    usual = problem.head_dim**-0.5
    if problem.scale is not None and abs(problem.scale - usual) > 1e-9 * usual:
        return f"scale {problem.scale:g} is not 1 / sqrt(head_dim)"
    return None


def prepare(inputs: Inputs, *, fast_path: bool = True) -> Callable[[], Tensor]:
    """Return the call; the module and its mask are made here, untimed."""
    import torch

    problem = inputs.problem
    module = _module(inputs)
    mask = None
    if problem.mask == "causal":
        square = (inputs.max_q_len, inputs.max_q_len)
        mask = torch.ones(square, dtype=torch.bool, device=inputs.q.device).triu(1)
    x = inputs.q.transpose(1, 2).flatten(2)
    if x.data_ptr() != inputs.q.data_ptr():
        # Views with gaps have to be joined first; that is then part of the call.
        join = inputs.q.transpose
        return _Layer(module, lambda: join(1, 2).flatten(2), mask, fast_path=fast_path)
    return _Layer(module, lambda: x, mask, fast_path=fast_path)


def workspace_bytes(problem: Problem, *, fast_path: bool = True) -> int:
    """q, k, v and o of every head; the fused path and a masked call also write the scores."""
    assert problem.batch is not None
    assert problem.q_len is not None
    rows = problem.batch * problem.q_heads * problem.q_len
    scores = 2 * rows * problem.q_len if fast_path or problem.mask != "none" else 0
    return (5 * rows * problem.head_dim + scores) * _FP32_BYTES


def _module(inputs: Inputs) -> Any:
    """The module in inference, with the problem's weights and no biases but zeros."""
    import torch

    problem = inputs.problem
    weights = (inputs.w_q, inputs.w_k, inputs.w_v)
    hidden = problem.q_heads * problem.head_dim
    # The fused kernel wants biases; as zeros they change nothing but a little of the time.
    module = torch.nn.MultiheadAttention(
        hidden,
        problem.q_heads,
        bias=True,
        batch_first=True,
        device=inputs.q.device,
        dtype=inputs.q.dtype,
    ).eval()
    with torch.no_grad():
        module.in_proj_weight.copy_(torch.cat([one for one in weights if one is not None]))
        module.in_proj_bias.zero_()
        assert inputs.w_o is not None
        module.out_proj.weight.copy_(inputs.w_o)
        module.out_proj.bias.zero_()
    return module.requires_grad_(requires_grad=False)


class _Layer:
    """The prepared call, which knows whether its first run took the fused path."""

    def __init__(
        self, module: Any, x: Callable[[], Tensor], mask: Tensor | None, *, fast_path: bool
    ) -> None:
        self._module, self._x, self._mask = module, x, mask
        self._wants_fast = fast_path
        self._heads = module.num_heads
        self._took_fast: bool | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """FALLBACK where the fused path was wanted and not taken."""
        return ("FALLBACK",) if self._wants_fast and self._took_fast is False else ()

    def __call__(self) -> Tensor:
        if self._took_fast is None:
            return self._first()
        return self._call()

    def _call(self) -> Tensor:
        import torch
        from torch.backends import mha

        x = self._x()
        was_enabled = mha.get_fastpath_enabled()
        mha.set_fastpath_enabled(self._wants_fast)
        try:
            with torch.inference_mode():
                o, _ = self._module(x, x, x, attn_mask=self._mask, need_weights=False)
        finally:
            mha.set_fastpath_enabled(was_enabled)
        heads: Tensor = o.unflatten(2, (self._heads, -1)).transpose(1, 2)
        return heads

    def _first(self) -> Tensor:
        """Call while listening to torch: the fused path is one operator."""
        from torch.utils._python_dispatch import TorchDispatchMode

        heard: list[str] = []

        class Listener(TorchDispatchMode):
            """Writes down every operator's name."""

            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                """Let the operator run."""
                del types
                heard.append(str(func))
                return func(*args, **(kwargs or {}))

        with Listener():  # type: ignore[no-untyped-call]
            o = self._call()
        self._took_fast = any(_FUSED in name for name in heard)
        return o
