"""From ``plugin.Inputs`` to what the kernels take: strides, numbers and compile-time constants.

Names of strides: q, k, v for the tensors, s for a cache's scales, r for rows of the output; then b
for batch (or page), h for head, t for token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attnbench.kernels.configurations import SMALLEST_BLOCK, turns_keys
from attnbench.plugin import Inputs, Unsupported
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor

_LOG2_E = 1.4426950408889634

Strides = tuple[int, int, int]


def cache_of(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """K and V wherever they are, after a look at what the kernels rely on.

    Raises:
        Unsupported: a tensor whose last axis is not contiguous.

    """
    k, v = (inputs.k_pages, inputs.v_pages) if inputs.problem.page_size else (inputs.k, inputs.v)
    assert k is not None
    assert v is not None
    for name, tensor in (("q", inputs.q), ("k", k), ("v", v)):
        if tensor.stride(-1) != 1:
            raise Unsupported(f"the last axis of {name} is not contiguous")
    return k, v


def strides_of(inputs: Inputs, k: Tensor, v: Tensor) -> dict[str, int]:
    """Strides of q, k, v and of the output's rows, in elements."""
    problem, q = inputs.problem, inputs.q
    if problem.is_ragged:
        rows = (0, 1, problem.q_heads)
    else:
        rows = (problem.q_heads * inputs.max_q_len, inputs.max_q_len, 1)
    return {
        **named("q", row_strides(q, problem)),
        **named("k", _of_cache(k, problem)),
        **named("v", _of_cache(v, problem)),
        **named("r", rows),
    }


def named(letter: str, strides: Strides) -> dict[str, int]:
    """Give each stride the name of its argument."""
    return {f"stride_{letter}{axis}": one for axis, one in zip("bht", strides, strict=True)}


def row_strides(tensor: Tensor, problem: Problem) -> Strides:
    """Strides of a tensor that is dense ``[batch, heads, tokens, ...]`` or packed."""
    if problem.is_ragged:
        return 0, tensor.stride(1), tensor.stride(0)
    return tensor.stride(0), tensor.stride(1), tensor.stride(2)


def _of_cache(tensor: Tensor, problem: Problem) -> Strides:
    if not problem.page_size:
        return row_strides(tensor, problem)
    if problem.page_format == "nhd":
        return tensor.stride(0), tensor.stride(2), tensor.stride(1)
    return tensor.stride(0), tensor.stride(1), tensor.stride(2)


def scales_of(inputs: Inputs) -> dict[str, Any]:
    """Scales and zero points of a quantised cache, with their strides; None where it has none."""
    problem, scale = inputs.problem, inputs.k_scale
    strides = (0, 0, 0)
    if scale is not None:
        packed = problem.is_ragged and not problem.page_size
        lead = 0 if packed else scale.stride(0)
        strides = (lead, scale.stride(1), scale.stride(0 if packed else 2))
    return {
        "k_scale": scale,
        "v_scale": inputs.v_scale,
        "k_zero": inputs.k_zero,
        "v_zero": inputs.v_zero,
        **named("s", strides),
    }


def new_strides_of(inputs: Inputs) -> dict[str, int]:
    """Strides of k_new (i) and v_new (j)."""
    problem = inputs.problem
    found: dict[str, int] = {}
    for letter, new in (("i", inputs.k_new), ("j", inputs.v_new)):
        assert new is not None
        if problem.is_ragged:
            strides = (problem.append * new.stride(0), new.stride(1), new.stride(0))
        else:
            strides = (new.stride(0), new.stride(1), new.stride(2))
        found |= named(letter, strides)
    return found


def rope_of(problem: Problem) -> dict[str, int]:
    """How rows are turned, and how many pairs of a row."""
    from attnbench.kernels.rope import ROPES

    return {"ROPE": ROPES[problem.rope], "HALF": (problem.rope_dim or 0) // 2}


def turned_parts_of(problem: Problem) -> dict[str, int]:
    """In which parts rows are turned while they are multiplied; all 0 where keys are not."""
    turned = behind = (0, 0)
    if turns_keys(problem):
        assert problem.rope_dim is not None
        turned = _padded_parts(problem.rope_dim // 2)
        behind = _padded_parts(problem.head_dim - problem.rope_dim)
    return {
        "PAIRS": turned[0],
        "PAIRS_REST": turned[1],
        "FLAT": behind[0],
        "FLAT_REST": behind[1],
    }


def numbers_of(inputs: Inputs) -> dict[str, float | int]:
    """Arguments that a compiled kernel takes as they come; scores are in log2 units."""
    problem = inputs.problem
    softcap = problem.softcap or 0.0
    return {
        "scale": inputs.scale / softcap if softcap else inputs.scale * _LOG2_E,
        "softcap": float(softcap),
        "q_len": inputs.max_q_len,
        "kv_len": inputs.max_kv_len,
        "window": problem.window or 0,
        "sinks": problem.sinks,
    }


def features_of(problem: Problem) -> dict[str, Any]:
    """What every softmax kernel is compiled for: the mask, the biases and the arithmetic."""
    is_one_row = all(one.q_len == 1 for _, one in problem.request_groups)
    top_left = problem.mask_align == "top_left"
    # One row at the end of its sequence sees every key, unless a window hides some.
    sees_all = is_one_row and not top_left and problem.window is None
    return {
        "GROUP": problem.group_size,
        "RAGGED": problem.is_ragged,
        "CAUSAL": problem.mask != "none" and not sees_all,
        "TOP_LEFT": top_left,
        "WINDOW": problem.window is not None,
        "SOFTCAP": problem.softcap is not None,
        "ALIBI": problem.bias == "alibi",
        "PRECISION": "ieee" if problem.dtype == "fp32" else "tf32",
    }


def widths_of(problem: Problem) -> dict[str, int]:
    """Head dims as the kernels take them, in two parts."""
    dim, dim_rest = two_parts(problem.head_dim)
    v_dim, v_rest = two_parts(problem.v_dim)
    return {"DIM": dim, "DIM_REST": dim_rest, "V_DIM": v_dim, "V_REST": v_rest}


def next_power_of_2(number: int) -> int:
    """Return the smallest power of two that is not below ``number``."""
    return 1 << max(0, number - 1).bit_length()


def _padded_parts(width: int) -> tuple[int, int]:
    """Cut a width as ``two_parts`` does, but into what a product of tiles takes.

    A part is a power of two from 16 on and may reach past the end, where zeros stand.
    """
    if width == 0:
        return 0, 0
    main, rest = (
        max(SMALLEST_BLOCK, next_power_of_2(one)) if one else 0 for one in two_parts(width)
    )
    whole = max(SMALLEST_BLOCK, next_power_of_2(width))
    return (whole, 0) if main + rest >= whole else (main, rest)


def two_parts(width: int) -> tuple[int, int]:
    """Cut a head dim into a power of two and a rest, itself a power of two or 0.

    96 is 64 + 32, 192 is 128 + 64, 576 is 512 + 64: tiles of Triton are powers of two, and padding
    192 to 256 would multiply and load a third more than there is.
    """
    main = next_power_of_2(width)
    if main != width:
        main //= 2
    return main, width - main
