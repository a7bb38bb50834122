"""Tile sizes of each kernel: small declared tables, by what an SM's shared memory is and by width.

Chosen by what the compiler says offline (registers, spills, shared memory, programs that an SM
holds); no entry was tuned on a GPU yet. `attnbench inspect` shows what each compiles to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from attnbench.problem import DTYPE_BITS, Problem

Tile = TypeVar("Tile")
Table = dict[tuple[str, str], tuple[tuple[int, Tile], ...]]

# By the shared memory that a program may take: 163 KB, twice 227 KB, and elsewhere (sm_86, 89, 120)
# 99 KB. What has no rows for blackwell has hopper's.
_FAMILIES = {80: "ampere", 87: "ampere", 90: "hopper", 100: "blackwell", 103: "blackwell"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTile:
    """Keys a tile, the most query rows, and programs of one row's group that an SM then holds."""

    block_n: int
    warps: int
    stages: int
    resident: int
    max_m: int = 16

    @property
    def options(self) -> dict[str, int]:
        """The compiler's options."""
        return {"num_warps": self.warps, "num_stages": self.stages}


def _tile(block_n: int, warps: int, stages: int, resident: int, max_m: int = 16) -> DecodeTile:
    return DecodeTile(block_n=block_n, warps=warps, stages=stages, resident=resident, max_m=max_m)


# (kind, family): rows of (bytes of a token's K and V at most, tile). Kinds: values of 16 bit, of 32
# bit, a latent cache of 16 bit, codes for fp16 arithmetic, codes for fp32.
# An SM keeps 32 KB or more in flight; bandwidth times latency ask for 24 on the fastest parts.
_DECODE: Table[DecodeTile] = {
    ("narrow", "hopper"): (
        (256, _tile(128, 4, 3, 3, 64)),
        (512, _tile(64, 4, 3, 3, 64)),
        (768, _tile(64, 4, 3, 2, 32)),
        (1024, _tile(32, 4, 3, 3, 32)),
    ),
    ("narrow", "ampere"): (
        (256, _tile(128, 4, 3, 2, 32)),
        (512, _tile(64, 4, 3, 2, 32)),
        (768, _tile(64, 4, 3, 1, 32)),
        (1024, _tile(32, 4, 3, 2, 32)),
    ),
    ("narrow", "small"): (
        (256, _tile(64, 4, 3, 2, 32)),
        (512, _tile(64, 4, 2, 2, 32)),
        (768, _tile(32, 4, 3, 2, 32)),
        (1024, _tile(32, 4, 2, 2, 32)),
    ),
    ("latent", "hopper"): ((1152, _tile(64, 8, 2, 1, 64)),),
    ("latent", "blackwell"): ((1152, _tile(32, 8, 3, 1, 32)),),
    ("latent", "ampere"): ((1152, _tile(32, 8, 2, 1, 64)),),
    ("latent", "small"): ((1152, _tile(32, 8, 2, 1, 16)),),
    ("wide", "hopper"): ((1280, _tile(32, 8, 3, 2)), (2304, _tile(16, 4, 2, 2))),
    ("wide", "ampere"): ((1280, _tile(16, 4, 3, 3)), (2304, _tile(16, 4, 2, 2))),
    ("wide", "small"): ((1280, _tile(16, 4, 3, 2)), (2304, _tile(16, 4, 2, 1))),
    ("codes", "hopper"): (
        (64, _tile(64, 4, 3, 2)),
        (128, _tile(128, 4, 3, 3)),
        (256, _tile(64, 4, 3, 4)),
        (512, _tile(64, 4, 3, 2)),
    ),
    ("codes", "ampere"): (
        (64, _tile(64, 4, 3, 2)),
        (128, _tile(128, 4, 3, 3)),
        (256, _tile(64, 4, 3, 4)),
        (512, _tile(64, 4, 3, 2)),
    ),
    ("codes", "small"): (
        (64, _tile(64, 4, 2, 2)),
        (256, _tile(64, 4, 2, 4)),
        (512, _tile(64, 4, 2, 2)),
    ),
    ("codes wide", "hopper"): ((512, _tile(32, 4, 3, 2)),),
    ("codes wide", "ampere"): ((512, _tile(32, 4, 3, 2)),),
    ("codes wide", "small"): ((512, _tile(32, 4, 2, 2)),),
}


def decode_tile(arch: int, problem: Problem) -> DecodeTile:
    """Choose by the bytes that one token's K and V take in shared memory."""
    is_wide = problem.dtype in ("fp32", "tf32")
    if problem.is_quantized:
        kind = "codes wide" if is_wide else "codes"
    elif problem.latent and not is_wide:
        kind = "latent"
    else:
        kind = "wide" if is_wide else "narrow"
    width = problem.head_dim + (0 if problem.latent else problem.v_dim)
    token_bytes = width * DTYPE_BITS[problem.stored_dtype] // 8
    return _row(_DECODE, kind, arch, token_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashTile:
    """Query rows and keys a tile; ``max_registers`` limits a thread's so that two programs fit."""

    block_m: int
    block_n: int
    warps: int
    stages: int
    max_registers: int | None = None

    @property
    def options(self) -> dict[str, int]:
        """The compiler's options."""
        found = {"num_warps": self.warps, "num_stages": self.stages}
        return found if self.max_registers is None else {**found, "maxnreg": self.max_registers}


def _flash(
    block_m: int, block_n: int, warps: int, stages: int, registers: int | None = None
) -> FlashTile:
    return FlashTile(
        block_m=block_m, block_n=block_n, warps=warps, stages=stages, max_registers=registers
    )


# (kind, family): rows of (head_dim + v_head_dim at most, tile). tf32 has tensor
# cores and 4 byte tiles; fp32 in IEEE arithmetic has no tensor cores and is register-bound.
_FORWARD: Table[FlashTile] = {
    ("narrow", "hopper"): (
        (128, _flash(128, 64, 8, 3)),
        (192, _flash(128, 64, 8, 2, 128)),
        (256, _flash(128, 64, 8, 3)),
        (512, _flash(128, 64, 8, 2)),
    ),
    ("narrow", "blackwell"): ((320, _flash(128, 64, 8, 3)), (512, _flash(128, 32, 8, 2))),
    ("narrow", "ampere"): ((320, _flash(128, 64, 8, 3)), (512, _flash(64, 64, 8, 2))),
    ("narrow", "small"): ((256, _flash(128, 64, 8, 2)), (512, _flash(64, 32, 8, 2))),
    ("tf32", "hopper"): ((256, _flash(128, 32, 8, 2)), (512, _flash(64, 32, 8, 2))),
    ("tf32", "ampere"): ((256, _flash(64, 32, 8, 2)), (512, _flash(64, 16, 8, 2))),
    ("tf32", "small"): ((256, _flash(64, 32, 8, 2)), (512, _flash(32, 16, 8, 2))),
    ("fp32", "hopper"): ((128, _flash(32, 32, 8, 2)), (512, _flash(32, 16, 8, 2))),
    ("fp32", "ampere"): ((128, _flash(32, 32, 8, 2)), (512, _flash(32, 16, 8, 2))),
    ("fp32", "small"): ((128, _flash(32, 32, 8, 2)), (512, _flash(32, 16, 8, 2))),
}
_DKDV: Table[FlashTile] = {
    ("narrow", "hopper"): (
        (128, _flash(64, 128, 8, 3)),
        (256, _flash(64, 128, 8, 2)),
        (320, _flash(32, 128, 8, 2)),
        (512, _flash(32, 64, 8, 2)),
    ),
    ("narrow", "ampere"): (
        (128, _flash(64, 128, 8, 2)),
        (256, _flash(32, 64, 8, 2)),
        (320, _flash(32, 32, 8, 2)),
        (512, _flash(32, 64, 8, 2)),
    ),
    ("narrow", "small"): ((256, _flash(32, 64, 8, 2)), (512, _flash(16, 64, 8, 2))),
    ("tf32", "hopper"): ((256, _flash(32, 32, 8, 2)), (512, _flash(16, 32, 8, 2))),
    ("tf32", "ampere"): ((256, _flash(32, 32, 8, 2)), (512, _flash(16, 32, 8, 2))),
    ("tf32", "small"): ((256, _flash(16, 32, 8, 2)), (512, _flash(16, 16, 8, 1))),
    ("fp32", "hopper"): ((512, _flash(16, 16, 4, 2)),),
    ("fp32", "ampere"): ((512, _flash(16, 16, 4, 2)),),
    ("fp32", "small"): ((512, _flash(16, 16, 4, 1)),),
}
# dK, dV and the atomic dQ in one kernel: a product and an operand more than dK and dV alone.
_FUSED: Table[FlashTile] = {
    ("narrow", "hopper"): (
        (128, _flash(64, 128, 8, 2)),
        (192, _flash(32, 64, 8, 2)),
        (256, _flash(32, 128, 8, 2)),
        (320, _flash(32, 64, 8, 2)),
        (512, _flash(16, 64, 8, 2)),
    ),
    ("narrow", "ampere"): ((256, _flash(32, 64, 8, 2)), (512, _flash(16, 64, 8, 2))),
    ("narrow", "small"): ((128, _flash(32, 64, 8, 2)), (512, _flash(16, 64, 8, 2))),
    ("tf32", "hopper"): ((256, _flash(16, 32, 8, 2)), (512, _flash(16, 32, 8, 2))),
    ("tf32", "ampere"): ((256, _flash(16, 32, 8, 2)), (512, _flash(16, 32, 8, 2))),
    ("tf32", "small"): ((256, _flash(16, 32, 8, 2)), (512, _flash(16, 16, 8, 1))),
    ("fp32", "hopper"): ((512, _flash(16, 16, 4, 2)),),
    ("fp32", "ampere"): ((512, _flash(16, 16, 4, 2)),),
    ("fp32", "small"): ((512, _flash(16, 16, 4, 1)),),
}
_DQ: Table[FlashTile] = {
    ("narrow", "hopper"): ((256, _flash(128, 64, 8, 2)), (512, _flash(128, 32, 8, 2))),
    ("narrow", "ampere"): (
        (256, _flash(128, 32, 8, 2)),
        (320, _flash(64, 16, 8, 2)),
        (512, _flash(64, 32, 8, 2)),
    ),
    ("narrow", "small"): ((256, _flash(128, 32, 8, 2)), (512, _flash(64, 16, 8, 2))),
    ("tf32", "hopper"): ((256, _flash(64, 32, 8, 2)), (512, _flash(32, 16, 8, 2))),
    ("tf32", "ampere"): ((256, _flash(64, 16, 8, 2)), (512, _flash(32, 16, 8, 2))),
    ("tf32", "small"): ((256, _flash(32, 16, 8, 2)), (512, _flash(16, 16, 8, 1))),
    ("fp32", "hopper"): ((512, _flash(16, 16, 4, 2)),),
    ("fp32", "ampere"): ((512, _flash(16, 16, 4, 2)),),
    ("fp32", "small"): ((512, _flash(16, 16, 4, 1)),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashTiles:
    """The tiles of the kernels for one problem; ``fused`` is dkdv with the atomic dq."""

    forward: FlashTile
    dkdv: FlashTile
    fused: FlashTile
    dq: FlashTile


def flash_tiles(arch: int, problem: Problem) -> FlashTiles:
    """Choose by the width of a token's K and V together."""
    kind = problem.dtype if problem.dtype in ("fp32", "tf32") else "narrow"
    width = problem.head_dim + problem.v_dim

    return FlashTiles(
        forward=_row(_FORWARD, kind, arch, width),
        # The slope of a softcap lives as long as a tile of scores: one more, as dq's part is.
        dkdv=_row(_DKDV if problem.softcap is None else _FUSED, kind, arch, width),
        fused=_row(_FUSED, kind, arch, width),
        dq=_row(_DQ, kind, arch, width),
    )


def _row(table: Table[Tile], kind: str, arch: int, size: int) -> Tile:
    """The first row that is not too small, or else the last."""
    family = _FAMILIES.get(arch, "small")
    if (kind, family) not in table:
        family = "hopper"
    rows = table[kind, family]
    return next((tile for most, tile in rows if size <= most), rows[-1][1])
