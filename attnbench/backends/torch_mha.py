"""torch.nn.MultiheadAttention: a layer with its four projections, not only attention.

It only accepts problems of ``attention: layer``, so that no table compares its rows with attention
by itself. ``fast_path`` asks for torch's fused encoder kernel for self-attention in inference; if
torch takes another path, the call carries the note FALLBACK.
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
    """Report a scale other than 1 / sqrt(head_dim), which the module always uses."""
    del device, fast_path
    usual = problem.head_dim**-0.5
    if problem.scale is not None and abs(problem.scale - usual) > 1e-9 * usual:
        return f"scale {problem.scale:g} is not 1 / sqrt(head_dim)"
    return None


def prepare(inputs: Inputs, *, fast_path: bool = True) -> Callable[[], Tensor]:
    """Return the call; the module and its mask are made here, untimed.

    Args:
        inputs: fp32, tf32, fp16 or bf16, dense, with w_q, w_k, w_v and w_o.
        fast_path: whether torch may take its fused encoder kernel.

    Returns:
        A call that gives the layer's output in q's layout.

    """
    import torch

    problem = inputs.problem
    module = _module(inputs)
    mask = None
    if problem.mask == "causal":
        square = (inputs.max_q_len, inputs.max_q_len)
        mask = torch.ones(square, dtype=torch.bool, device=inputs.q.device).triu(1)
    x = inputs.q.transpose(1, 2).flatten(2)
    if x.data_ptr() != inputs.q.data_ptr():
        # Views with gaps must be made contiguous first, which is part of the call.
        join = inputs.q.transpose
        return _Layer(module, lambda: join(1, 2).flatten(2), mask, fast_path=fast_path)
    return _Layer(module, lambda: x, mask, fast_path=fast_path)


def workspace_bytes(problem: Problem, *, fast_path: bool = True) -> int:
    """Bytes of q, k, v and o of every head, and of scores on the fused path or with a mask."""
    assert problem.batch is not None
    assert problem.q_len is not None
    rows = problem.batch * problem.q_heads * problem.q_len
    scores = 2 * rows * problem.q_len if fast_path or problem.mask != "none" else 0
    return (5 * rows * problem.head_dim + scores) * _FP32_BYTES


def _module(inputs: Inputs) -> Any:
    """The module in inference mode, with the problem's weights and zero biases."""
    import torch

    problem = inputs.problem
    weights = (inputs.w_q, inputs.w_k, inputs.w_v)
    hidden = problem.q_heads * problem.head_dim
    # The fused kernel needs biases; as zeros they only cost a little time.
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
    """The prepared call; it records whether its first run took the fused path."""

    def __init__(
        self, module: Any, x: Callable[[], Tensor], mask: Tensor | None, *, fast_path: bool
    ) -> None:
        self._module, self._x, self._mask = module, x, mask
        self._wants_fast = fast_path
        self._heads = module.num_heads
        self._took_fast: bool | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """FALLBACK if the fused path was requested and not taken."""
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
        """Call and record torch's operators: the fused path is one of them."""
        from torch.utils._python_dispatch import TorchDispatchMode

        operators: list[str] = []

        class Recorder(TorchDispatchMode):
            """Records every operator's name."""

            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                """Record the operator and run it."""
                del types
                operators.append(str(func))
                return func(*args, **(kwargs or {}))

        with Recorder():  # type: ignore[no-untyped-call]
            o = self._call()
        self._took_fast = any(_FUSED in name for name in operators)
        return o
