"""Tile sizes as data: the shipped ``tiles.json``, or a table that `attnbench tune` wrote.

A row applies to a kernel, a kind of arithmetic, a family of architectures, and widths up to its
own; its source says how it was chosen: from the compiler's counts, or measured on a device.
`attnbench inspect` shows what each tile compiles to, `attnbench tune` measures others on a GPU.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from attnbench.errors import InputError
from attnbench.problem import DTYPE_BITS, Problem

FORMAT = 1
MADE_BY = "attnbench tune"
SHIPPED = Path(__file__).with_name("tiles.json")
COUNTS = "counts"
# Families by the shared memory of a program: 163 KB, twice 227 KB, and 99 KB elsewhere (sm_86, 89,
# 120). Kernels without rows for blackwell use hopper's.
FAMILIES = {80: "ampere", 87: "ampere", 90: "hopper", 100: "blackwell", 103: "blackwell"}
ELSEWHERE = "small"
_HINT = "a table is what attnbench tune --out FILE writes"
_TILE = re.compile(r"(?:(\d+)x)?(\d+)((?:-[a-z]\d+)*)")
_LETTERS = {"w": "warps", "s": "stages", "r": "max_registers", "p": "resident", "m": "max_m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashTile:
    """Query rows and keys per tile; ``max_registers`` per thread lets two programs share an SM.

    Written ``128x64-w8-s3`` (rows, keys, warps, stages), with a limit as ``-r128`` at the end.
    """

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

    def __str__(self) -> str:
        """Write the tile as a table and an option do."""
        limit = "" if self.max_registers is None else f"-r{self.max_registers}"
        return f"{self.block_m}x{self.block_n}-w{self.warps}-s{self.stages}{limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTile:
    """Keys per tile, the most query rows, and resident programs per SM for one query row.

    Written ``64-w4-s3-p3`` (keys, warps, stages, programs), more than 16 rows as ``-m64``.
    """

    block_n: int
    warps: int
    stages: int
    resident: int
    max_m: int = 16

    @property
    def options(self) -> dict[str, int]:
        """The compiler's options."""
        return {"num_warps": self.warps, "num_stages": self.stages}

    def __str__(self) -> str:
        """Write the tile as a table and an option do."""
        rows = (
            ""
            if self.max_m == type(self).__dataclass_fields__["max_m"].default
            else (f"-m{self.max_m}")
        )
        return f"{self.block_n}-w{self.warps}-s{self.stages}-p{self.resident}{rows}"


Tile = FlashTile | DecodeTile
KERNELS: dict[str, type[FlashTile | DecodeTile]] = {
    "decode": DecodeTile,
    "flash_forward": FlashTile,
    "flash_dkdv": FlashTile,
    "flash_fused": FlashTile,
    "flash_dq": FlashTile,
}


def parse_tile(kernel: str, text: str) -> Tile:
    """Parse a tile of a kernel.

    Raises:
        ValueError: the text is not a tile; the message shows the expected form.

    """
    kind = KERNELS[kernel]
    match = _TILE.fullmatch(text)
    form = "128x64-w8-s3 or 128x64-w8-s3-r128" if kind is FlashTile else "64-w4-s3-p3 (-m64)"
    wrong = ValueError(f"tile {text!r} is not written like {form}")
    if match is None or (match[1] is None) == (kind is FlashTile):
        raise wrong
    values = {"block_n": int(match[2])} | ({"block_m": int(match[1])} if match[1] else {})
    for piece in filter(None, match[3].split("-")):
        name = _LETTERS.get(piece[0], "")
        if name in values:
            raise wrong
        values[name] = int(piece[1:])
    known = {one.name for one in fields(kind)}
    try:
        tile = kind(**values)
    except TypeError:
        raise wrong from None
    blocks = [value for name, value in values.items() if name.startswith(("block", "warps"))]
    if not set(values) <= known or any(one < 1 or one & (one - 1) for one in blocks):
        raise ValueError(f"tile {text!r}: blocks and warps are powers of two")
    return tile


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What a row of the table applies to; ``width`` is in elements, for decode in bytes."""

    kernel: str
    kind: str
    family: str
    width: int

    def __str__(self) -> str:
        """``flash_forward narrow hopper 256``."""
        return f"{self.kernel} {self.kind} {self.family} {self.width}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TileRow:
    """A row: the tile of a slot, where it is from, and what was measured, in µs."""

    slot: Slot
    tile: Tile
    source: str = COUNTS
    before_us: float | None = None
    after_us: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found = {**asdict(self.slot), "tile": str(self.tile), "source": self.source}
        measured = {"before_us": self.before_us, "after_us": self.after_us}
        return found | {name: one for name, one in measured.items() if one is not None}


@dataclass(frozen=True)
class Table:
    """All rows of a table, widths ascending, and its sources by name."""

    rows: tuple[TileRow, ...]
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def find(self, kernel: str, kind: str, arch: int, width: int) -> TileRow:
        """Return the first row that is wide enough, or else the last.

        Raises:
            InputError: the table has no row of this kernel and kind.

        """
        family = FAMILIES.get(arch, ELSEWHERE)
        rows = self._rows(kernel, kind, family) or self._rows(kernel, kind, "hopper")
        if not rows:
            raise InputError(f"the table has no tile of {kernel} {kind}", hint=_HINT)
        return next((one for one in rows if width <= one.slot.width), rows[-1])

    def _rows(self, kernel: str, kind: str, family: str) -> list[TileRow]:
        wanted = (kernel, kind, family)
        found = [
            one for one in self.rows if (one.slot.kernel, one.slot.kind, one.slot.family) == wanted
        ]
        return sorted(found, key=lambda one: one.slot.width)

    def with_rows(self, rows: Iterable[TileRow], sources: Mapping[str, Mapping[str, Any]]) -> Table:
        """Return a table in which these rows replace those of the same slots."""
        new = {one.slot: one for one in rows}
        kept = [new.pop(one.slot, one) for one in self.rows]
        return Table((*kept, *new.values()), {**self.sources, **sources})

    def text(self) -> str:
        """Write the table, one line per row, so that diffs are readable."""
        used = {one.source for one in self.rows}
        sources = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(one)}"
            for name, one in self.sources.items()
            if name in used
        )
        rows = ",\n".join(f"  {json.dumps(one.to_dict())}" for one in self.rows)
        head = f' "format": {FORMAT},\n "made_by": {json.dumps(MADE_BY)},'
        return f'{{\n{head}\n "sources": {{\n{sources}\n }},\n "tiles": [\n{rows}\n ]\n}}\n'


@lru_cache(maxsize=8)
def read_table(path: Path) -> Table:
    """Read a table of tiles.

    Raises:
        InputError: the file is missing, is not a table, is from a newer attnbench or has a bad row.

    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint=_HINT) from error
    except ValueError as error:
        raise InputError(f"{path} is not a tile table: {error}", hint=_HINT) from error
    if not isinstance(document, dict) or document.get("made_by") != MADE_BY:
        raise InputError(f"{path} is not a tile table", hint=_HINT)
    if document.get("format") != FORMAT:
        raise InputError(
            f"{path} has the format {document.get('format')}; this attnbench reads {FORMAT}",
            hint="tune again, or use the attnbench that wrote it",
        )
    try:
        sources = dict(document["sources"])
        rows = tuple(
            _tile_row(row, sources, f"{path}: tile {number}")
            for number, row in enumerate(document["tiles"], 1)
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is not a tile table: it lacks {error}", hint=_HINT) from error
    return Table(rows, sources)


def _tile_row(row: Mapping[str, Any], sources: Mapping[str, Any], location: str) -> TileRow:
    slot = Slot(**{one.name: row[one.name] for one in fields(Slot)})
    if slot.kernel not in KERNELS:
        raise InputError(f"{location}: no kernel {slot.kernel!r}, there are {', '.join(KERNELS)}")
    families = {*FAMILIES.values(), ELSEWHERE}
    if slot.family not in families:
        listed = ", ".join(sorted(families))
        raise InputError(f"{location}: no family {slot.family!r}, there are {listed}")
    if not isinstance(slot.width, int):
        raise InputError(f"{location}: width is a whole number, not {slot.width!r}")
    if row["source"] not in sources:
        raise InputError(f"{location}: no source {row['source']!r} in the file")
    try:
        tile = parse_tile(slot.kernel, str(row["tile"]))
    except ValueError as error:
        raise InputError(f"{location}: {error}") from error
    return TileRow(
        slot=slot,
        tile=tile,
        source=row["source"],
        before_us=row.get("before_us"),
        after_us=row.get("after_us"),
    )


def table_of(path: str | None = None) -> Table:
    """Return the table of a file, or the shipped one.

    Raises:
        InputError: see ``read_table``.

    """
    return read_table(SHIPPED if path is None else Path(path).expanduser().absolute())


def rotates_keys(problem: Problem) -> bool:
    """Whether kernels rotate keys as they load them.

    An append stores rotated keys, and a backward reads rotated copies.
    """
    return problem.rope != "none" and not problem.append and problem.mode == "fwd"


def decode_row(arch: int, problem: Problem, table: str | None = None) -> TileRow:
    """Return the row for the bytes of one token's K and V in shared memory."""
    is_wide = problem.dtype in ("fp32", "tf32")
    if problem.is_quantized:
        kind = "codes wide" if is_wide else "codes"
    elif problem.latent and not is_wide:
        kind = "latent"
    else:
        kind = "wide" if is_wide else "narrow"
        kind = f"rope {kind}" if rotates_keys(problem) else kind
    width = problem.head_dim + (0 if problem.latent else problem.v_dim)
    token_bytes = width * DTYPE_BITS[problem.stored_dtype] // 8
    return table_of(table).find("decode", kind, arch, token_bytes)


def decode_tile(
    arch: int, problem: Problem, *, tile: str | None = None, table: str | None = None
) -> DecodeTile:
    """Return ``tile`` parsed, or the table's.

    Raises:
        ValueError: ``tile`` is not a tile.
        InputError: ``table`` is not a tile table.

    """
    found = decode_row(arch, problem, table).tile if tile is None else parse_tile("decode", tile)
    assert isinstance(found, DecodeTile)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashTiles:
    """The tiles of the kernels for one problem; ``fused`` is dkdv with the atomic dq."""

    forward: FlashTile
    dkdv: FlashTile
    fused: FlashTile
    dq: FlashTile


def flash_row(arch: int, problem: Problem, kernel: str, table: str | None = None) -> TileRow:
    """Return the row for the width of a token's K and V together, in elements.

    tf32 has tensor cores and 4 byte tiles; fp32 in IEEE arithmetic has none and is register-bound.
    """
    kind = problem.dtype if problem.dtype in ("fp32", "tf32") else "narrow"
    if kernel == "flash_forward" and rotates_keys(problem):
        kind = f"rope {kind}"
    # A softcap's slope needs registers like one more tile of scores, as the fused dq does.
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
    """Return the given tiles parsed, and the table's for the others.

    Raises:
        ValueError: one is not a tile.
        InputError: ``table`` is not a tile table.

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
            flash_row(arch, problem, kernel, table).tile
            if text is None
            else parse_tile(kernel, text)
        )
        assert isinstance(chosen, FlashTile)
        found.append(chosen)
    forward, dkdv, fused, dq = found
    return FlashTiles(forward=forward, dkdv=dkdv, fused=fused, dq=dq)


def tile_faults(table: str | None, **tiles: tuple[str, str | None]) -> Iterator[str]:
    """Yield what is wrong with tiles given as options: {option: (kernel, tile)}.

    Raises:
        InputError: ``table`` is not a tile table.

    """
    table_of(table)
    for option, (kernel, text) in tiles.items():
        if text is None:
            continue
        try:
            parse_tile(kernel, text)
        except ValueError as error:
            yield f"{option}: {error}"


SMALLEST_BLOCK = 16  # keys, rows or columns: the least that tl.dot accepts


def block_sparse_tile(arch: int, problem: Problem) -> FlashTile:
    """Return the forward's tile, reduced so that none crosses a block."""
    assert problem.block is not None
    dense = flash_tiles(arch, problem).forward
    whole = problem.block & -problem.block  # the largest power of two that divides it
    block_m, block_n = min(dense.block_m, whole), min(dense.block_n, whole)
    # A warp needs 16 rows; no register limit, because the block lists would spill.
    warps = dense.warps if block_m == dense.block_m else max(1, block_m // SMALLEST_BLOCK)
    return FlashTile(
        block_m=block_m, block_n=block_n, warps=min(dense.warps, warps), stages=dense.stages
    )
