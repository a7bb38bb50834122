"""A kernel launch: its arguments, and how it is run, interpreted or compiled without a GPU.

Backends make ``Launch`` values and everything else takes them, so `attnbench inspect` compiles
exactly what runs on a GPU. Names of strides: q, k, v for the tensors, s for a cache's scales, r for
rows of the output; then b for batch (or page), h for head, t for token.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attnbench.kernels.tile_table import SMALLEST_BLOCK, rotates_keys
from attnbench.plugin import Inputs, Unsupported
from attnbench.problem import Problem

if TYPE_CHECKING:
    from torch import Tensor


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a plan needs to know about a GPU: ``arch`` is 90 for sm_90; bandwidth in bytes/s."""

    arch: int
    sms: int
    bandwidth: float


# SMs and datasheet bandwidth of the part each architecture is best known by; a plan made without a
# device (interpreted, offline) is made for it. The bandwidth only weighs splits against each other.
_KNOWN = {
    80: Target(arch=80, sms=108, bandwidth=2.0e12),
    86: Target(arch=86, sms=84, bandwidth=0.9e12),
    89: Target(arch=89, sms=142, bandwidth=0.86e12),
    90: Target(arch=90, sms=132, bandwidth=4.0e12),
    100: Target(arch=100, sms=148, bandwidth=7.0e12),
    120: Target(arch=120, sms=170, bandwidth=1.7e12),
}


def assumed_target(arch: int = 90) -> Target:
    """Return a well-known part of this architecture, or of the nearest older one."""
    older = [one for one in _KNOWN if one <= arch]
    like = _KNOWN[max(older, default=min(_KNOWN))]
    return Target(arch=arch, sms=like.sms, bandwidth=like.bandwidth)


def target_of(tensor: Tensor) -> Target:
    """Return the target of a tensor's device; for a tensor on the CPU, sm_90 is assumed."""
    if tensor.device.type != "cuda":
        return assumed_target()
    return _cuda_target(tensor.device.index or 0)


@lru_cache(maxsize=16)
def _cuda_target(index: int) -> Target:
    import torch

    properties = torch.cuda.get_device_properties(index)
    arch = 10 * properties.major + properties.minor
    like = assumed_target(arch)
    return Target(arch=arch, sms=properties.multi_processor_count, bandwidth=like.bandwidth)


def is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, which does not support inline assembly."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One kernel with its grid, arguments and compiler options.

    ``arguments`` maps every parameter's name to a tensor, a number, or None where the problem lacks
    it; ``options`` are the compiler's (num_warps, num_stages, maxnreg).
    """

    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Any]
    options: Mapping[str, int]

    @property
    def name(self) -> str:
        """The kernel's name, as a profiler shows it."""
        return str(self.kernel.__name__)

    def run(self) -> None:
        """Queue the kernel on the current stream."""
        options = {} if is_interpreted() else self.options
        self.kernel[self.grid](**self.arguments, **options)


@dataclass(frozen=True, slots=True)
class Planned(Generic[Result]):
    """A prepared call: ``make`` allocates outputs and returns the launches that fill them."""

    make: Callable[[], tuple[list[Launch], Result]]

    def __call__(self) -> Result:
        """Queue every kernel and return the outputs."""
        launches, result = self.make()
        for launch in launches:
            launch.run()
        return result


_ALIGNED = 16
_INT32_MAX = 2**31 - 1
_POINTERS = {
    "float32": "*fp32",
    "float16": "*fp16",
    "bfloat16": "*bf16",
    "int32": "*i32",
    "int8": "*i8",
    "uint8": "*u8",
    "uint16": "*u16",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The machine code of one launch, with its shared memory and warps as compiled."""

    cubin: bytes
    dynamic_shared_bytes: int
    warps: int


def compile_launch(launch: Launch, arch: int) -> Compiled:
    """Compile a launch for an architecture that this machine need not have; takes seconds.

    Types and divisibilities are those that Triton would see at the launch itself: a tensor starts
    at a multiple of 16 bytes, an integer that is a multiple of 16 is known to be one, and 1 is a
    constant. Otherwise loads would be narrow and registers those of another kernel.

    Args:
        launch: the kernel with its arguments and options.
        arch: the architecture, 90 for sm_90.

    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    signature: dict[str, str] = {}
    constants: dict[tuple[int], Any] = {}
    attributes: dict[tuple[int], list[list[Any]]] = {}
    for index, parameter in enumerate(launch.kernel.params):
        value = launch.arguments[parameter.name]
        kind = "constexpr" if parameter.is_constexpr else _type_of(value)
        signature[parameter.name] = kind
        if kind == "constexpr":
            constants[(index,)] = value
        elif kind.startswith("*") or (isinstance(value, int) and value % _ALIGNED == 0):
            attributes[(index,)] = [["tt.divisibility", _ALIGNED]]
    source = ASTSource(
        fn=launch.kernel, signature=signature, constexprs=constants, attrs=attributes
    )
    warp_size = 32
    made = triton.compile(
        source, target=GPUTarget("cuda", arch, warp_size), options=dict(launch.options)
    )
    return Compiled(
        cubin=made.asm["cubin"],
        dynamic_shared_bytes=int(made.metadata.shared),
        warps=int(made.metadata.num_warps),
    )


def _type_of(value: Any) -> str:
    """The type of a run-time argument in Triton's notation."""
    if value is None or (type(value) is int and value == 1):
        return "constexpr"
    if isinstance(value, bool):
        return "u1"
    if isinstance(value, int):
        return "i32" if abs(value) <= _INT32_MAX else "i64"
    if isinstance(value, float):
        return "fp32"
    return _POINTERS[str(value.dtype).removeprefix("torch.")]


_LOG2_E = 1.4426950408889634

Strides = tuple[int, int, int]


def cache_of(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Return K and V, dense, packed or paged, after checking that rows are contiguous.

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
    """Return strides of q, k, v in elements, and of the output in rows."""
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
    """Map the kernel's argument names (``stride_qb`` …) to strides."""
    return {f"stride_{letter}{axis}": one for axis, one in zip("bht", strides, strict=True)}


def row_strides(tensor: Tensor, problem: Problem) -> Strides:
    """Return (batch, head, token) strides of ``[batch, heads, tokens, ...]`` or a packed tensor."""
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
    """Return scales and zero points (or None) of a quantized cache, with their strides."""
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
    """Return strides of k_new (letter i) and v_new (letter j), in elements."""
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
    """Return the kind of rotation and the number of pairs in a row."""
    from attnbench.kernels.rope import ROPES

    return {"ROPE": ROPES[problem.rope], "HALF": (problem.rope_dim or 0) // 2}


def rope_parts_of(problem: Problem) -> dict[str, int]:
    """Return the parts in which kernels rotate and multiply rows; 0 if they do not rotate keys."""
    rotated = behind = (0, 0)
    if rotates_keys(problem):
        assert problem.rope_dim is not None
        rotated = _padded_parts(problem.rope_dim // 2)
        behind = _padded_parts(problem.head_dim - problem.rope_dim)
    return {
        "PAIRS": rotated[0],
        "PAIRS_REST": rotated[1],
        "FLAT": behind[0],
        "FLAT_REST": behind[1],
    }


def numbers_of(inputs: Inputs) -> dict[str, float | int]:
    """Return run-time numbers: lengths, window, and the scale times log2 e for log2 scores."""
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
    """Return the constants of every softmax kernel: mask, biases and arithmetic."""
    is_one_row = all(one.q_len == 1 for _, one in problem.request_groups)
    top_left = problem.mask_align == "top_left"
    # A single row at the end of its sequence sees every key, unless a window hides some.
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
    """Return head dims in two parts, as the kernels take them."""
    dim, dim_rest = two_parts(problem.head_dim)
    v_dim, v_rest = two_parts(problem.v_dim)
    return {"DIM": dim, "DIM_REST": dim_rest, "V_DIM": v_dim, "V_REST": v_rest}


def next_power_of_2(number: int) -> int:
    """Return the smallest power of two that is not below ``number``."""
    return 1 << max(0, number - 1).bit_length()


def _padded_parts(width: int) -> tuple[int, int]:
    """Split a width as ``two_parts`` does, but into parts that ``tl.dot`` accepts.

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
    """Split a head dim into a power of two and a rest, itself a power of two or 0.

    96 is 64 + 32, 192 is 128 + 64, 576 is 512 + 64: tiles of Triton are powers of two, and padding
    192 to 256 would multiply and load a third more than there is.
    """
    main = next_power_of_2(width)
    if main != width:
        main //= 2
    return main, width - main
