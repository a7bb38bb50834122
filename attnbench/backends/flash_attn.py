"""FlashAttention-2, the flash-attn package: forward, backward, packed requests, paged caches.

Decode, extend, appends and paged caches go through ``flash_attn_with_kvcache``, which splits over
keys by itself. The library's tensors are token-major: they are passed as strided views, so nothing
is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attnbench.environment import Device
from attnbench.plugin import Capabilities, Inputs, Library
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

library = Library(
    module="flash_attn",
    distribution="flash-attn",
    install="pip install flash-attn --no-build-isolation",
    checked="2.8.3.post2",
    refusals=(
        "FlashAttention only supports",
        "FlashAttention forward only supports",
        "FlashAttention backward only supports",
        "This flash attention build does not support",
    ),
)
capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp16", "bf16"},
    masks={"none", "causal", "window"},
    wide_v=False,
    ragged=True,
    paged=True,
    softcap=True,
    alibi=True,
    rope=True,
    append=True,
    devices={"cuda"},
    min_arch="sm_80",
)
_MAX_HEAD_DIM, _DIM_UNIT, _PAGE_UNIT, _ROPE_UNIT = 256, 8, 256, 16


def why_not(problem: Problem, device: Device, *, deterministic: bool = False) -> str | None:
    """Report head dims that need padding, unsupported page sizes, and unsupported RoPE cases."""
    del device
    if deterministic and problem.mode == "fwd":
        return "deterministic is about the backward; mode fwd has none"
    return next(_reasons(problem), None)


def _reasons(problem: Problem) -> Iterator[str]:
    if problem.head_dim > _MAX_HEAD_DIM or problem.head_dim % _DIM_UNIT:
        yield f"head_dim {problem.head_dim} is not a multiple of {_DIM_UNIT} up to {_MAX_HEAD_DIM}"
    if problem.page_size is not None and problem.page_size % _PAGE_UNIT:
        yield f"page_size {problem.page_size} is not a multiple of {_PAGE_UNIT}"
    if problem.append and problem.is_ragged:
        yield "append to packed requests is not supported"
    if problem.rope == "none":
        return
    if problem.append != problem.request_groups[0][1].q_len:
        yield "rope needs append equal to q_len: only appended rows and as many queries are rotated"
    if problem.mask == "none" and problem.append > 1:
        yield "rope of several rows needs a causal mask: without one all get one position"
    if (problem.rope_dim or 0) % _ROPE_UNIT:
        yield f"rope_dim {problem.rope_dim} is not a multiple of {_ROPE_UNIT}"


def prepare(inputs: Inputs, *, deterministic: bool = False) -> Callable[[], Any]:
    """Return the call; cache lengths, and cos and sin in q's dtype, are made here, untimed.

    Args:
        inputs: fp16 or bf16 tensors, dense, packed or paged.
        deterministic: whether the backward must add in a fixed order.

    Returns:
        A call that gives o in q's layout, and lse (fp32, natural log).

    Raises:
        Unsupported: the library is missing or refuses the problem.

    """
    library.load()
    problem = inputs.problem
    if problem.is_ragged:
        return library.translate_errors(_packed(inputs, deterministic=deterministic))
    in_cache = inputs.page_table is not None or problem.append > 0
    if problem.mode == "fwd" and (in_cache or problem.phase in ("decode", "extend")):
        return library.translate_errors(_through_cache(inputs))
    return library.translate_errors(_dense(inputs, deterministic=deterministic))


def _scores(inputs: Inputs) -> dict[str, Any]:
    """Scale, mask and biases; our window counts the row's own key, the library's does not."""
    problem = inputs.problem
    return {
        "softmax_scale": inputs.scale,
        "causal": problem.mask != "none",
        "window_size": (-1, -1) if problem.window is None else (problem.window - 1, 0),
        "softcap": problem.softcap or 0.0,
        "alibi_slopes": inputs.alibi_slopes,
    }


def _dense(inputs: Inputs, *, deterministic: bool) -> Callable[[], tuple[Tensor, Tensor]]:
    from flash_attn import flash_attn_func

    q, k, v = inputs.q, inputs.k, inputs.v
    assert k is not None
    assert v is not None
    scores = _scores(inputs)

    def attend() -> tuple[Tensor, Tensor]:
        o, lse, _ = flash_attn_func(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            deterministic=deterministic,
            return_attn_probs=True,
            **scores,
        )
        return o.transpose(1, 2), lse

    return attend


def _packed(inputs: Inputs, *, deterministic: bool) -> Callable[[], tuple[Tensor, Tensor]]:
    """Packed requests, whose keys are packed too or in pages."""
    import torch
    from flash_attn import flash_attn_varlen_func

    k, v = (inputs.k, inputs.v) if inputs.k_pages is None else (inputs.k_pages, inputs.v_pages)
    ends = inputs.cu_seqlens_k
    if ends is None:
        assert inputs.kv_lens is not None
        lengths = torch.nn.functional.pad(inputs.kv_lens, (1, 0))
        ends = lengths.cumsum(0, dtype=torch.int32)
    scores = _scores(inputs)

    def attend() -> tuple[Tensor, Tensor]:
        o, lse, _ = flash_attn_varlen_func(
            inputs.q,
            k,
            v,
            cu_seqlens_q=inputs.cu_seqlens_q,
            cu_seqlens_k=ends,
            max_seqlen_q=inputs.max_q_len,
            max_seqlen_k=inputs.max_kv_len,
            deterministic=deterministic,
            return_attn_probs=True,
            block_table=inputs.page_table,
            **scores,
        )
        return o, lse.transpose(0, 1)

    return attend


def _through_cache(inputs: Inputs) -> Callable[[], tuple[Tensor, Tensor]]:
    """A dense or paged cache; the same kernel appends and rotates new rows."""
    from flash_attn import flash_attn_with_kvcache

    from attnbench.kv_cache import lengths_before, rope_tables_by_slot

    q = inputs.q.transpose(1, 2)
    k, v = _cache(inputs)
    k_new, v_new = (
        None if one is None else one.transpose(1, 2) for one in (inputs.k_new, inputs.v_new)
    )
    cos, sin = rope_tables_by_slot(inputs, k)
    lengths = lengths_before(inputs)
    scores = _scores(inputs)

    def attend() -> tuple[Tensor, Tensor]:
        o, lse = flash_attn_with_kvcache(
            q,
            k,
            v,
            k=k_new,
            v=v_new,
            rotary_cos=cos,
            rotary_sin=sin,
            cache_seqlens=lengths,
            block_table=inputs.page_table,
            rotary_interleaved=inputs.problem.rope == "gptj",
            return_softmax_lse=True,
            **scores,
        )
        return o.transpose(1, 2), lse

    return attend


def _cache(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """K and V as ``[batch or pages, tokens, kv_heads, dim]``."""
    if inputs.k_pages is not None:
        assert inputs.v_pages is not None
        return inputs.k_pages, inputs.v_pages
    assert inputs.k is not None
    assert inputs.v is not None
    return inputs.k.transpose(1, 2), inputs.v.transpose(1, 2)
