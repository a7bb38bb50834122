"""Which tile each kernel gets for a problem: what an option says, or a table's row.

The shipped table is ``tiles.json``; every row of it says where it is from. `attnbench inspect`
shows what each compiles to, `attnbench tune` measures others on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from attnbench.kernels.tilings import DecodeTile, FlashTile, Tiling, parse_tile, table_of
from attnbench.problem import DTYPE_BITS, Problem

__all__ = ["DecodeTile", "FlashTile", "FlashTiles", "decode_tile", "flash_tiles"]


def turns_keys(problem: Problem) -> bool:
    """Whether a kernel turns keys as it reads them.

    An append turned them when they came, and a backward reads copies that are turned.
    """
    return problem.rope != "none" and not problem.append and problem.mode == "fwd"


def decode_tiling(arch: int, problem: Problem, table: str | None = None) -> Tiling:
    """The row for the bytes that one token's K and V take in shared memory."""
    is_wide = problem.dtype in ("fp32", "tf32")
    if problem.is_quantized:
        kind = "codes wide" if is_wide else "codes"
    elif problem.latent and not is_wide:
        kind = "latent"
    else:
        kind = "wide" if is_wide else "narrow"
        kind = f"rope {kind}" if turns_keys(problem) else kind
    width = problem.head_dim + (0 if problem.latent else problem.v_dim)
    token_bytes = width * DTYPE_BITS[problem.stored_dtype] // 8
    return table_of(table).find("decode", kind, arch, token_bytes)


def decode_tile(
    arch: int, problem: Problem, *, tile: str | None = None, table: str | None = None
) -> DecodeTile:
    """Choose a tile: the one that is written out, or the table's.

    Raises:
        ValueError: ``tile`` is no tile.
        InputError: ``table`` is no table.

    """
    found = decode_tiling(arch, problem, table).tile if tile is None else parse_tile("decode", tile)
    assert isinstance(found, DecodeTile)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashTiles:
    """The tiles of the kernels for one problem; ``fused`` is dkdv with the atomic dq."""

    forward: FlashTile
    dkdv: FlashTile
    fused: FlashTile
    dq: FlashTile


def flash_tiling(arch: int, problem: Problem, kernel: str, table: str | None = None) -> Tiling:
    """The row for the width of a token's K and V together.

    tf32 has tensor cores and 4 byte tiles; fp32 in IEEE arithmetic has none and is register-bound.
    """
    kind = problem.dtype if problem.dtype in ("fp32", "tf32") else "narrow"
    if kernel == "flash_forward" and turns_keys(problem):
        kind = f"rope {kind}"
    # The slope of a softcap lives as long as a tile of scores: one more, as dq's part is.
    if kernel == "flash_dkdv" and problem.softcap is not None:
        kernel = "flash_fused"
    return table_of(table).find(kernel, kind, arch, problem.head_dim + problem.v_dim)


def flash_tiles(
    arch: int,
    problem: Problem,
    *,
    tile: str | None = None,
    dkdv_tile: str | None = None,
    dq_tile: str | None = None,
    table: str | None = None,
) -> FlashTiles:
    """Choose the tiles: those that are written out, or the table's.

    Raises:
        ValueError: one is no tile.
        InputError: ``table`` is no table.

    """
    written = {
        "flash_forward": tile,
        "flash_dkdv": dkdv_tile,
        "flash_fused": dkdv_tile,
        "flash_dq": dq_tile,
    }
    found: list[FlashTile] = []
    for kernel, text in written.items():
        chosen = (
            flash_tiling(arch, problem, kernel, table).tile
            if text is None
            else parse_tile(kernel, text)
        )
        assert isinstance(chosen, FlashTile)
        found.append(chosen)
    forward, dkdv, fused, dq = found
    return FlashTiles(forward=forward, dkdv=dkdv, fused=fused, dq=dq)


def tile_faults(table: str | None, **tiles: tuple[str, str | None]) -> Iterator[str]:
    """Say what is wrong with tiles that were written out: {option: (kernel, tile)}.

    Raises:
        InputError: ``table`` is no table.

    """
    table_of(table)
    for option, (kernel, text) in tiles.items():
        if text is None:
            continue
        try:
            parse_tile(kernel, text)
        except ValueError as error:
            yield f"{option}: {error}"


SMALLEST_BLOCK = 16  # of keys, rows or columns: what a product of tiles takes


def block_sparse_tile(arch: int, problem: Problem) -> FlashTile:
    """The forward's tile, cut so that none crosses a block."""
    assert problem.block is not None
    dense = flash_tiles(arch, problem).forward
    whole = problem.block & -problem.block  # the largest power of two that divides it
    block_m, block_n = min(dense.block_m, whole), min(dense.block_n, whole)
    # A warp has 16 rows of a product; the lists take registers that a limit would have spilled.
    warps = dense.warps if block_m == dense.block_m else max(1, block_m // SMALLEST_BLOCK)
    return FlashTile(
        block_m=block_m, block_n=block_n, warps=min(dense.warps, warps), stages=dense.stages
    )
