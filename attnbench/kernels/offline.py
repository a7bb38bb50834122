"""Compiles a launch for an architecture that need not be here.

The types and divisibilities are those that Triton would see at the launch itself: a tensor starts
at a multiple of 16 bytes, an integer that is a multiple of 16 is known to be one, and 1 is a
constant. Without them every load would be narrow, and the registers counted those of another
kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attnbench.kernels.launch import Launch

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
    """The machine code of one launch, and what only the compiler knows of it."""

    cubin: bytes
    dynamic_shared_bytes: int
    warps: int


def compile_launch(launch: Launch, arch: int) -> Compiled:
    """Compile for ``arch`` (90 for sm_90); takes one to a few seconds, needs no GPU."""
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
    """The type of a run-time argument in Triton's words."""
    if value is None or (type(value) is int and value == 1):
        return "constexpr"
    if isinstance(value, bool):
        return "u1"
    if isinstance(value, int):
        return "i32" if abs(value) <= _INT32_MAX else "i64"
    if isinstance(value, float):
        return "fp32"
    return _POINTERS[str(value.dtype).removeprefix("torch.")]
