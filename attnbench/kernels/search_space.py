"""What `attnbench tune` tries: a few declared tiles for each kernel and kind of arithmetic.

Small on purpose: each is measured over every problem of its slot, in several processes. A tile that
does not fit an architecture or spills there is dropped after compiling, so that the lists need not
depend on widths and families.
"""

from __future__ import annotations

from dataclasses import replace

from attnbench.kernels.tile_table import DecodeTile, Tile, TileRow, parse_tile

_NARROW_FORWARD = (
    *("64x64-w4-s2", "64x64-w4-s3", "128x32-w4-s3", "128x64-w4-s2", "128x64-w8-s2"),
    *("128x64-w8-s3", "128x64-w8-s2-r128", "128x128-w8-s2", "128x128-w8-s3"),
)
_WIDE_FORWARD = (
    *("32x16-w4-s2", "32x32-w4-s2", "32x32-w8-s2", "64x16-w8-s2", "64x32-w4-s2"),
    *("64x32-w8-s2", "128x32-w8-s2"),
)
# The angles of a tile of keys need as much memory again as its K and V.
_ROPE_FORWARD = (
    *("32x32-w8-s2", "64x32-w4-s2", "64x32-w8-s2", "64x64-w4-s2", "64x64-w8-s2"),
    *("128x32-w8-s2", "128x64-w8-s2", "128x64-w8-s3"),
)
_NARROW_BACKWARD = (
    *("16x64-w8-s2", "32x64-w4-s2", "32x64-w8-s2", "32x128-w8-s2", "64x64-w8-s2"),
    *("64x64-w4-s2", "64x128-w8-s2", "64x128-w8-s3"),
)
_WIDE_BACKWARD = ("16x16-w4-s1", "16x16-w4-s2", "16x32-w8-s2", "32x32-w8-s2", "32x32-w4-s1")
_NARROW_DQ = (
    *("64x32-w4-s2", "64x32-w8-s2", "64x64-w4-s2", "64x64-w8-s2", "128x32-w8-s2"),
    *("128x64-w8-s2", "128x64-w8-s3"),
)
# Resident programs per SM are counted when a tile is compiled; 1 is a placeholder.
_DECODE = (
    *("32-w4-s3-p1", "32-w4-s4-p1", "64-w4-s2-p1", "64-w4-s3-p1", "64-w4-s4-p1"),
    *("128-w4-s2-p1", "128-w4-s3-p1", "128-w8-s3-p1"),
)
_ROPE_DECODE = (
    *("16-w4-s2-p1", "16-w4-s3-p1", "32-w4-s2-p1", "32-w4-s3-p1", "64-w4-s2-p1"),
    *("64-w4-s3-p1", "64-w8-s3-p1"),
)
_WIDE_DECODE = ("16-w4-s2-p1", "16-w4-s3-p1", "32-w4-s2-p1", "32-w8-s2-p1", "32-w8-s3-p1")

_SPACES: dict[str, dict[str, tuple[str, ...]]] = {
    "decode": {
        "narrow": _DECODE,
        "latent": ("32-w8-s2-p1", "32-w8-s3-p1", "64-w8-s2-p1", "32-w4-s2-p1"),
        "wide": _WIDE_DECODE,
        "rope narrow": _ROPE_DECODE,
        "rope wide": _WIDE_DECODE,
        "codes": _DECODE,
        "codes wide": _WIDE_DECODE,
    },
    "flash_forward": {
        "narrow": _NARROW_FORWARD,
        "tf32": _WIDE_FORWARD,
        "fp32": _WIDE_FORWARD,
        "rope narrow": _ROPE_FORWARD,
        "rope tf32": _WIDE_FORWARD,
        "rope fp32": _WIDE_FORWARD,
    },
    "flash_dkdv": {"narrow": _NARROW_BACKWARD, "tf32": _WIDE_BACKWARD, "fp32": _WIDE_BACKWARD},
    "flash_fused": {"narrow": _NARROW_BACKWARD, "tf32": _WIDE_BACKWARD, "fp32": _WIDE_BACKWARD},
    "flash_dq": {"narrow": _NARROW_DQ, "tf32": _WIDE_FORWARD, "fp32": _WIDE_FORWARD},
}


def search_space(tiling: TileRow) -> tuple[Tile, ...]:
    """Return the tiles to try besides the row's own, in the order of the lists above."""
    own, slot = tiling.tile, tiling.slot
    found = []
    for text in _SPACES[slot.kernel][slot.kind]:
        tile = parse_tile(slot.kernel, text)
        if isinstance(tile, DecodeTile) and isinstance(own, DecodeTile):
            # max_m is a limit of the kernel's registers, not a matter of speed.
            tile = replace(tile, max_m=own.max_m)
            if replace(tile, resident=own.resident) == own:
                continue
        if tile != own:
            found.append(tile)
    return tuple(found)
