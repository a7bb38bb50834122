"""FlashAttention-3, built from the hopper folder of flash-attention: Hopper's kernels.

Decode, extend, appends and paged caches go through ``flash_attn_with_kvcache``. An absorbed MLA
cache of 576 columns is passed as 64 rotated columns and 512 that serve as K and V. All tensors are
strided views, so nothing is copied. ``flash_attn_func`` returns no lse.
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
    module="flash_attn_interface",
    distribution="flash_attn_3",
    install="build it: python setup.py install in the hopper folder of the flash-attn sources",
    checked="2.8.3.post2",
    refusals=(
        "FlashAttention only supports",
        "FlashAttention forward only supports",
        "This flash attention build does not support",
        "Deterministic backward not supported",
        "q_v is only supported",
        "Only Hopper supports",
        "V headdim",
    ),
)
capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp16", "bf16"},
    masks={"none", "causal", "window"},
    ragged=True,
    paged=True,
    softcap=True,
    rope=True,
    append=True,
    devices={"cuda"},
    min_arch="sm_90",
)
_MAX_HEAD_DIM, _DIM_UNIT, _ROPE_UNIT = 256, 8, 16
_LATENT = (576, 512)
_HOPPER = 90


def why_not(
    problem: Problem,
    device: Device,
    *,
    deterministic: bool = False,
    splits: int | None = None,
    pack_gqa: bool | None = None,
) -> str | None:
    """Report GPUs other than Hopper, head dims that need padding, and unsupported RoPE cases."""
    del pack_gqa
    if (device.compute_capability or _HOPPER) != _HOPPER:
        return f"needs sm_90, this is {device.arch}"
    if deterministic and problem.mode == "fwd":
        return "deterministic is about the backward; mode fwd has none"
    if splits is not None and problem.mode != "fwd":
        return "splits applies only to the forward"
    return next(_reasons(problem), None)


def _reasons(problem: Problem) -> Iterator[str]:
    if problem.latent:
        yield from _latent_reasons(problem)
    else:
        for name, width in (("head_dim", problem.head_dim), ("v_head_dim", problem.v_dim)):
            if width > _MAX_HEAD_DIM or width % _DIM_UNIT:
                yield f"{name} {width} is not a multiple of {_DIM_UNIT} up to {_MAX_HEAD_DIM}"
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


def _latent_reasons(problem: Problem) -> Iterator[str]:
    if (problem.head_dim, problem.v_dim) != _LATENT:
        yield f"a latent cache is 576 wide with V of 512, not {problem.head_dim}/{problem.v_dim}"
    if problem.mode != "fwd":
        yield "a latent cache has no backward here"
    if problem.append or problem.rope != "none":
        yield "append to a latent cache is not supported"
    if problem.is_ragged and problem.kv_layout != "paged":
        yield "packed requests against a packed latent cache are not supported"


def prepare(
    inputs: Inputs,
    *,
    deterministic: bool = False,
    splits: int | None = None,
    pack_gqa: bool | None = None,
) -> Callable[[], Any]:
    """Return the call; cache lengths, and cos and sin in q's dtype, are made here, untimed.

    Args:
        inputs: fp16 or bf16 tensors, dense, packed or paged.
        deterministic: whether the backward must add in a fixed order.
        splits: the library's num_splits, 0 for its own choice; None for each function's default.
        pack_gqa: the library's own option of this name.

    Returns:
        A call that gives o in q's layout; decode, extend and caches also return lse (fp32).

    Raises:
        Unsupported: the library is missing or refuses the problem.

    """
    library.load()
    problem = inputs.problem
    in_cache = inputs.page_table is not None or problem.append > 0 or problem.latent
    is_cached = in_cache or (problem.phase in ("decode", "extend") and not problem.is_ragged)
    tuning = {"num_splits": splits, "pack_gqa": pack_gqa}
    if problem.mode == "fwd" and is_cached:
        tuning["num_splits"] = 0 if splits is None else splits
        return library.translate_errors(_through_cache(inputs, tuning))
    tuning["num_splits"] = 1 if splits is None else splits
    if problem.is_ragged:
        return library.translate_errors(_packed(inputs, tuning, deterministic=deterministic))
    return library.translate_errors(_dense(inputs, tuning, deterministic=deterministic))


def _scores(inputs: Inputs) -> dict[str, Any]:
    """Scale, mask and cap; our window counts the row's own key, the library's does not."""
    problem = inputs.problem
    return {
        "softmax_scale": inputs.scale,
        "causal": problem.mask != "none",
        "window_size": (-1, -1) if problem.window is None else (problem.window - 1, 0),
        "softcap": problem.softcap or 0.0,
    }


def _dense(inputs: Inputs, tuning: dict[str, Any], *, deterministic: bool) -> Callable[[], Tensor]:
    from flash_attn_interface import flash_attn_func

    q, k, v = inputs.q, inputs.k, inputs.v
    assert k is not None
    assert v is not None
    scores = _scores(inputs)

    def attend() -> Tensor:
        o = flash_attn_func(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            num_splits=tuning["num_splits"],
            pack_gqa=tuning["pack_gqa"],
            deterministic=deterministic,
            **scores,
        )
        return _output(o).transpose(1, 2)

    return attend


def _packed(inputs: Inputs, tuning: dict[str, Any], *, deterministic: bool) -> Callable[[], Tensor]:
    from flash_attn_interface import flash_attn_varlen_func

    scores = _scores(inputs)

    def attend() -> Tensor:
        o = flash_attn_varlen_func(
            inputs.q,
            inputs.k,
            inputs.v,
            cu_seqlens_q=inputs.cu_seqlens_q,
            cu_seqlens_k=inputs.cu_seqlens_k,
            max_seqlen_q=inputs.max_q_len,
            max_seqlen_k=inputs.max_kv_len,
            num_splits=tuning["num_splits"],
            pack_gqa=tuning["pack_gqa"],
            deterministic=deterministic,
            **scores,
        )
        return _output(o)

    return attend


def _output(returned: Any) -> Tensor:
    """Return o; the library's first versions returned (o, lse)."""
    o: Tensor = returned[0] if isinstance(returned, tuple) else returned
    return o


def _through_cache(inputs: Inputs, tuning: dict[str, Any]) -> Callable[[], tuple[Tensor, Tensor]]:
    """A dense, paged or latent cache; the same call appends and rotates new rows."""
    from flash_attn_interface import flash_attn_with_kvcache

    from attnbench.kv_cache import lengths_before, rope_tables_by_slot

    is_packed = inputs.problem.is_ragged
    q, k, v, qv = _cached(inputs)
    k_new, v_new = (
        None if one is None else one.transpose(1, 2) for one in (inputs.k_new, inputs.v_new)
    )
    cos, sin = rope_tables_by_slot(inputs, k)
    lengths = lengths_before(inputs)
    scores = _scores(inputs)

    def attend() -> tuple[Tensor, Tensor]:
        o, lse, *_ = flash_attn_with_kvcache(
            q,
            k,
            v,
            k=k_new,
            v=v_new,
            qv=qv,
            rotary_cos=cos,
            rotary_sin=sin,
            cache_seqlens=lengths,
            page_table=inputs.page_table,
            cu_seqlens_q=inputs.cu_seqlens_q,
            max_seqlen_q=inputs.max_q_len if is_packed else None,
            rotary_interleaved=inputs.problem.rope == "gptj",
            num_splits=tuning["num_splits"],
            pack_gqa=tuning["pack_gqa"],
            return_softmax_lse=True,
            **scores,
        )
        return (o, lse.transpose(0, 1)) if is_packed else (o.transpose(1, 2), lse)

    return attend


def _cached(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Q, K and V token-major; of a latent cache its turned columns, and q's others apart."""
    q = inputs.q if inputs.problem.is_ragged else inputs.q.transpose(1, 2)
    if inputs.k_pages is not None:
        k, v = inputs.k_pages, inputs.v_pages
    else:
        assert inputs.k is not None
        assert inputs.v is not None
        k, v = inputs.k.transpose(1, 2), inputs.v.transpose(1, 2)
    assert v is not None
    if not inputs.problem.latent:
        return q, k, v, None
    width = inputs.problem.v_dim
    return q[..., width:], k[..., width:], v, q[..., :width]
