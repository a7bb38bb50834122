"""FlashAttention-4, the flash-attn-4 package: CuTe DSL kernels for Hopper and Blackwell.

Kernels are compiled in the first call. The library's tensors are token-major: they are passed as
strided views, so nothing is copied. An absorbed MLA cache of 576 columns is passed as 64 rotated
columns and 512 that serve as K and V; only Blackwell supports that.
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
    module="flash_attn.cute",
    distribution="flash-attn-4",
    install="pip install --pre flash-attn-4",
    checked="4.0.0b36",
    # The library reports unsupported problems through asserts.
    refusals=("AssertionError", "not supported", "Unsupported"),
)
capabilities = Capabilities(
    modes={"fwd", "bwd", "fwd_bwd"},
    dtypes={"fp16", "bf16"},
    masks={"none", "causal", "window"},
    ragged=True,
    paged=True,
    softcap=True,
    sink_logits=True,
    devices={"cuda"},
    min_arch="sm_80",
)
_LATENT = (576, 512)
_HOPPER, _BLACKWELL = (90,), (100, 103, 110)
_DIM_UNIT, _MAX_HEAD_DIM, _MAX_BLACKWELL_DIM = 8, 256, 128
_WIDE_ON_BLACKWELL = ((192, 128), (256, 256))
_TILE = 64  # from this page size on, the library loads whole pages


def why_not(
    problem: Problem,
    device: Device,
    *,
    deterministic: bool = False,
    splits: int = 1,
    pack_gqa: bool | None = None,
) -> str | None:
    """Report head dims that the architecture lacks, and pages read past a sequence's end."""
    del pack_gqa
    if deterministic and problem.mode == "fwd":
        return "deterministic is about the backward; mode fwd has none"
    if splits != 1 and problem.mode != "fwd":
        return "splits applies only to the forward"
    return next(_reasons(problem, device), None)


def _reasons(problem: Problem, device: Device) -> Iterator[str]:
    arch = device.compute_capability
    if problem.mode != "fwd" and arch is not None and arch < min(_HOPPER):
        yield f"the backward needs sm_90, this is {device.arch}"
    if problem.latent:
        yield from _latent_reasons(problem, device)
    else:
        yield from _width_reasons(problem, arch)
    size = problem.page_size
    if size is not None and size >= _TILE:
        cut = [one.kv_len for _, one in problem.request_groups if one.kv_len % size]
        if cut:
            yield f"a page of {size} that ends at kv_len {cut[0]} is read to its end"


def _width_reasons(problem: Problem, arch: int | None) -> Iterator[str]:
    widths = (problem.head_dim, problem.v_dim)
    most = _MAX_BLACKWELL_DIM if arch in _BLACKWELL else _MAX_HEAD_DIM
    if arch in _BLACKWELL and widths in _WIDE_ON_BLACKWELL:
        return
    for name, width in zip(("head_dim", "v_head_dim"), widths, strict=True):
        if width > most or width % _DIM_UNIT:
            yield f"{name} {width} is not a multiple of {_DIM_UNIT} up to {most}"


def _latent_reasons(problem: Problem, device: Device) -> Iterator[str]:
    if device.compute_capability not in (*_BLACKWELL, None):
        yield f"a latent cache needs sm_100, this is {device.arch}"
    if (problem.head_dim, problem.v_dim) != _LATENT:
        yield f"a latent cache is 576 wide with V of 512, not {problem.head_dim}/{problem.v_dim}"
    if problem.mode != "fwd":
        yield "a latent cache has no backward here"


def prepare(
    inputs: Inputs,
    *,
    deterministic: bool = False,
    splits: int = 1,
    pack_gqa: bool | None = None,
) -> Callable[[], Any]:
    """Return the call.

    Args:
        inputs: fp16 or bf16 tensors, dense, packed or paged.
        deterministic: whether the backward must add in a fixed order.
        splits: the library's num_splits, 0 for its own choice.
        pack_gqa: the library's own option of this name.

    Returns:
        A call that gives o in q's layout, and lse (fp32, natural log).

    Raises:
        Unsupported: the library is missing or refuses the problem.

    """
    library.load()
    tuning = {"num_splits": splits, "pack_gqa": pack_gqa, "deterministic": deterministic}
    if inputs.problem.is_ragged or inputs.page_table is not None:
        return library.translate_errors(_packed_or_paged(inputs, tuning))
    return library.translate_errors(_dense(inputs, tuning))


def _scores(inputs: Inputs) -> dict[str, Any]:
    """Scale, mask, cap and sink; our window counts a row's own key, the library's does not."""
    problem = inputs.problem
    return {
        "softmax_scale": inputs.scale,
        "causal": problem.mask != "none",
        "window_size": (None, None) if problem.window is None else (problem.window - 1, 0),
        "learnable_sink": inputs.sink_logits,
        "softcap": problem.softcap or 0.0,
        "return_lse": True,
    }


def _dense(inputs: Inputs, tuning: dict[str, Any]) -> Callable[[], tuple[Tensor, Tensor]]:
    from flash_attn.cute import flash_attn_func

    problem = inputs.problem
    scores = _scores(inputs)

    def attend() -> tuple[Tensor, Tensor]:
        assert inputs.k is not None
        assert inputs.v is not None
        q, k, v = (one.transpose(1, 2) for one in (inputs.q, inputs.k, inputs.v))
        q, k, qv = _split_latent(q, k, problem)
        o, lse = flash_attn_func(
            q,
            k,
            v,
            qv=qv,
            num_splits=tuning["num_splits"],
            pack_gqa=tuning["pack_gqa"],
            deterministic=tuning["deterministic"],
            **scores,
        )
        return o.transpose(1, 2), lse.transpose(1, 2) if problem.latent else lse

    return attend


def _packed_or_paged(inputs: Inputs, tuning: dict[str, Any]) -> Callable[[], tuple[Tensor, Tensor]]:
    """Packed or dense queries over packed keys or pages."""
    from flash_attn.cute import flash_attn_varlen_func

    problem = inputs.problem
    k, v = (inputs.k, inputs.v) if inputs.k_pages is None else (inputs.k_pages, inputs.v_pages)
    assert k is not None
    scores = _scores(inputs)

    def attend() -> tuple[Tensor, Tensor]:
        packed = inputs.q if problem.is_ragged else inputs.q.transpose(1, 2)
        q, k_part, qv = _split_latent(packed, k, problem)
        o, lse = flash_attn_varlen_func(
            q,
            k_part,
            v,
            qv=qv,
            cu_seqlens_q=inputs.cu_seqlens_q,
            cu_seqlens_k=inputs.cu_seqlens_k,
            max_seqlen_q=inputs.max_q_len,
            max_seqlen_k=inputs.max_kv_len,
            seqused_k=inputs.kv_lens,
            page_table=inputs.page_table,
            num_splits=tuning["num_splits"],
            pack_gqa=tuning["pack_gqa"],
            deterministic=tuning["deterministic"],
            **scores,
        )
        if problem.is_ragged:
            return o, lse if problem.latent else lse.transpose(0, 1)
        return o.transpose(1, 2), lse.transpose(1, 2) if problem.latent else lse

    return attend


def _split_latent(q: Tensor, k: Tensor, problem: Problem) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return (q, k, None), or for a latent cache (rotated q, rotated k, the rest of q)."""
    if not problem.latent:
        return q, k, None
    width = problem.v_dim
    return q[..., width:], k[..., width:], q[..., :width]
