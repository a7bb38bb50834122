"""PyTorch's own scaled_dot_product_attention, with the choice of its kernel.

``auto`` lets torch choose. For a named kernel all others are switched off, so that torch either
runs it or says why it cannot, which makes the case unsupported. A sliding window is passed as a
boolean mask, and so is a bottom-right causal mask with more rows than keys; torch's fused CUDA
kernels support neither.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from attnbench.environment import Device
from attnbench.plugin import Capabilities, Inputs, Unsupported
from attnbench.problem import Problem
from attnbench.problem.pairs import alignment_offset

if TYPE_CHECKING:
    from torch import Tensor

Kernel = Literal["auto", "math", "flash", "efficient", "cudnn"]

capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp32", "tf32", "fp16", "bf16"},
    masks={"none", "causal", "window"},
    mask_aligns={"bottom_right", "top_left"},
    sinks=True,
)
_ON_CPU = ("auto", "math", "flash")
# How torch's error begins when no enabled kernel supports the problem.
_NO_KERNEL = ("No available kernel", "No viable backend")
_FP32_BYTES = 4
_TRIGGERED = " (Triggered internally"


def why_not(
    problem: Problem,
    device: Device,
    *,
    kernel: Kernel = "auto",
) -> str | None:
    """Report a kernel that torch does not have on a CPU."""
    del problem
    if device.kind == "cpu" and kernel not in _ON_CPU:
        return f"torch has no {kernel} kernel for a CPU, only math and flash"
    return None


def prepare(
    inputs: Inputs,
    *,
    kernel: Kernel = "auto",
) -> Callable[[], Tensor]:
    """Return the call; a mask that torch needs as a tensor is made here, untimed.

    Args:
        inputs: fp32, tf32, fp16 or bf16, dense.
        kernel: ``auto`` for torch's choice, or the only kernel to allow.

    Returns:
        A call that gives o in q's layout. It raises Unsupported where torch refuses ``kernel``.

    """
    from torch.nn.functional import scaled_dot_product_attention

    q, k, v = inputs.q, inputs.k, inputs.v
    assert k is not None
    assert v is not None
    mask, is_causal = _mask_of(inputs)
    keywords = {
        "attn_mask": mask,
        "is_causal": is_causal,
        "scale": inputs.scale,
        "enable_gqa": inputs.problem.group_size > 1,
    }

    def attend() -> Tensor:
        return scaled_dot_product_attention(q, k, v, **keywords)

    call = attend if kernel == "auto" else _only(kernel, attend)
    if inputs.problem.mode != "fwd" and q.is_cuda and kernel != "math":
        # torch's fused backward kernels for CUDA add dq up with atomics.
        call.notes = ("NONDETERMINISTIC",)  # type: ignore[attr-defined]
    return call


def workspace_bytes(problem: Problem, *, kernel: Kernel = "auto") -> int:
    """Bytes that math needs: fp32 scores and weights, and K and V per query head; else 0."""
    if kernel != "math":
        return 0
    _, request = problem.request_groups[0]
    assert problem.batch is not None
    heads = problem.batch * problem.q_heads
    scores = heads * request.q_len * request.kv_len
    keys = heads * request.kv_len * (problem.head_dim + problem.v_dim)
    return (2 * scores + keys) * _FP32_BYTES * (1 if problem.mode == "fwd" else 2)


def _mask_of(inputs: Inputs) -> tuple[Any, bool]:
    """Return (attn_mask, is_causal): the cheapest form that torch accepts.

    torch's is_causal is aligned top-left; ``causal_lower_right`` is the bottom-right one.
    """
    import torch

    problem = inputs.problem
    if problem.mask == "none":
        return None, False
    _, request = problem.request_groups[0]
    q_len, kv_len = request.q_len, request.kv_len
    offset = alignment_offset(problem, request)
    window = problem.window if problem.window is not None else kv_len + q_len
    last = q_len - 1 + offset
    if offset >= kv_len - 1 and (last - window < 0 or problem.sinks >= last - window + 1):
        return None, False
    if problem.window is None and offset == 0:
        return None, True
    if problem.window is None and offset > 0:
        from torch.nn.attention.bias import causal_lower_right  # brings torch's compiler along

        return causal_lower_right(q_len, kv_len), False
    position = torch.arange(q_len, device=inputs.q.device).unsqueeze(1) + offset
    key = torch.arange(kv_len, device=inputs.q.device)
    near = (key > position - window) | (key < problem.sinks)
    return (key <= position) & near, False


def _only(kernel: str, attend: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Run ``attend`` with one kernel enabled; torch's refusal becomes Unsupported.

    Switches are set one by one, because torch's context manager takes three times as long as a
    small call.
    """
    from torch.backends import cuda

    switches = {
        "math": cuda.enable_math_sdp,
        "flash": cuda.enable_flash_sdp,
        "efficient": cuda.enable_mem_efficient_sdp,
        "cudnn": cuda.enable_cudnn_sdp,
    }
    others = [switch for name, switch in switches.items() if name != kernel]

    def attend_with_one_kernel() -> Tensor:
        for switch in others:
            switch(False)  # noqa: FBT003  torch's switches take nothing else
        try:
            return attend()
        except RuntimeError as error:
            if not str(error).startswith(_NO_KERNEL):
                raise
            raise Unsupported(_reason(kernel, attend)) from error
        finally:
            for switch in others:
                switch(True)  # noqa: FBT003

    return attend_with_one_kernel


def _reason(kernel: str, attend: Callable[[], Tensor]) -> str:
    """Call again and collect torch's warnings, which say why it refuses the kernel."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.suppress(RuntimeError):
            attend()
    messages = [str(one.message).partition(_TRIGGERED)[0].strip() for one in caught]
    # Each kernel has a heading, followed by the reasons why it was not used.
    reasons = [text for text in messages if not text.endswith("not used because:")]
    refusals = "; ".join(dict.fromkeys(text.rstrip(".") for text in reasons))
    return f"kernel {kernel}: {refusals or 'torch has none for this problem'}"
