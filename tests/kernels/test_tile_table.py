"""Tables of tiles: how a tile is written, the errors of a bad file, and what stays in place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.backends import triton_decode, triton_flash
from attnbench.environment import Device
from attnbench.errors import InputError
from attnbench.kernels.search_space import search_space
from attnbench.kernels.tile_table import (
    COUNTS,
    SHIPPED,
    DecodeTile,
    FlashTile,
    Slot,
    TileRow,
    decode_tile,
    flash_tiles,
    parse_tile,
    read_table,
    table_of,
)
from attnbench.problem import Problem

HOPPER = Device(kind="cuda", name="H200", arch="sm_90", memory_bytes=1, free_bytes=1)
PREFILL = Problem(q_len=64, q_heads=8, kv_heads=2, head_dim=128, dtype="bf16")
DECODE = Problem(q_len=1, kv_len=64, q_heads=8, kv_heads=2, head_dim=128, dtype="bf16")
powers = st.sampled_from([16, 32, 64, 128])
flash = st.builds(
    FlashTile,
    block_m=powers,
    block_n=powers,
    warps=st.sampled_from([1, 4, 8]),
    stages=st.integers(1, 5),
    max_registers=st.none() | st.integers(32, 255),
)
decode = st.builds(
    DecodeTile,
    block_n=powers,
    warps=st.sampled_from([4, 8]),
    stages=st.integers(1, 5),
    resident=st.integers(1, 8),
    max_m=powers,
)


@given(flash, decode)
def test_a_tile_is_read_as_it_is_written(one, other):
    assert parse_tile("flash_dq", str(one)) == one
    assert parse_tile("decode", str(other)) == other


@pytest.mark.parametrize(
    ("kernel", "text"),
    [
        ("flash_forward", "128x64"),
        ("flash_forward", "128-w8-s3"),
        ("flash_forward", "128x64-w8-s3-p2"),
        ("flash_forward", "128x64-w8-s3-w4"),
        ("flash_forward", "128x64w8s3"),
        ("decode", "64x64-w4-s3-p3"),
        ("decode", "64-w4-s3"),
        ("decode", "64-w4-s3-q3"),
    ],
)
def test_what_is_no_tile_is_reported_how_one_is_written(kernel, text):
    with pytest.raises(ValueError, match=f"tile '{text}' is not written like"):
        parse_tile(kernel, text)


def test_blocks_are_powers_of_two():
    with pytest.raises(ValueError, match="powers of two"):
        parse_tile("flash_forward", "96x64-w8-s3")


def test_the_shipped_table_is_written_as_it_would_be_written_again():
    assert table_of().text() == SHIPPED.read_text(encoding="utf-8")


def test_every_shipped_row_says_where_it_is_from():
    table = table_of()

    assert {one.source for one in table.rows} <= set(table.sources)
    assert "not measured" in table.sources[COUNTS]["how"]


def test_an_option_stands_instead_of_the_table():
    own = flash_tiles(90, PREFILL, tile="64x32-w4-s2", dq_tile="32x32-w4-s1")

    assert str(own.forward) == "64x32-w4-s2"
    assert str(own.dq) == "32x32-w4-s1"
    assert own.dkdv == flash_tiles(90, PREFILL).dkdv
    assert str(decode_tile(90, DECODE, tile="32-w4-s2-p4")) == "32-w4-s2-p4"


@pytest.mark.parametrize(
    ("backend", "problem", "options", "words"),
    [
        (triton_flash, PREFILL, {"tile": "96x64-w8-s3"}, "tile: tile '96x64-w8-s3': blocks"),
        (triton_flash, PREFILL, {"dq_tile": "64x64-w4-s2"}, "dq_tile is about the backward"),
        (triton_decode, DECODE, {"tile": "64-w4"}, "tile: tile '64-w4' is not written like"),
    ],
)
def test_a_wrong_tile_is_a_reason(backend, problem, options, words):
    assert words in backend.why_not(problem, HOPPER, **options)


@pytest.fixture
def table_file(tmp_path):
    def table_file(**changes):
        document = json.loads(SHIPPED.read_text(encoding="utf-8")) | changes
        path = tmp_path / "table.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        return path

    return table_file


ROW = {"kernel": "flash_dq", "kind": "narrow", "family": "hopper", "width": 128}
ROW |= {"tile": "64x64-w4-s2", "source": COUNTS}


def test_a_table_of_ones_own_is_used(table_file):
    path = table_file(tiles=[{**ROW, "kernel": one} for one in ("flash_forward", "flash_dkdv")] + [
        {**ROW, "kernel": "flash_fused"}, ROW])  # fmt: skip

    assert str(flash_tiles(90, PREFILL, table=str(path)).forward) == "64x64-w4-s2"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"made_by": "attnbench inspect"}, "is not a tile table"),
        ({"format": 2}, "has the format 2; this attnbench reads 1"),
        ({"tiles": None}, "is not a tile table"),
        ({"tiles": [{}]}, "it lacks 'kernel'"),
        ({"tiles": [ROW, {**ROW, "kernel": "flash"}]}, "tile 2: no kernel 'flash'"),
        ({"tiles": [{**ROW, "family": "volta"}]}, "tile 1: no family 'volta', there are ampere"),
        ({"tiles": [{**ROW, "source": "rumour"}]}, "tile 1: no source 'rumour' in the file"),
        ({"tiles": [{**ROW, "tile": "64"}]}, "tile 1: tile '64' is not written like"),
        ({"tiles": [{**ROW, "width": "wide"}]}, "tile 1: width is a whole number"),
    ],
)
def test_a_bad_table_is_reported_where_and_what(table_file, changes, words):
    path = table_file(**changes)

    with pytest.raises(InputError, match=words) as caught:
        read_table(path)
    assert str(path) in caught.value.message


def test_a_file_that_is_none_is_reported(tmp_path):
    (tmp_path / "text").write_text("tiles", encoding="utf-8")

    with pytest.raises(InputError, match="is not a tile table: Expecting value"):
        read_table(tmp_path / "text")
    with pytest.raises(InputError, match=r"cannot read .*: No such file"):
        triton_flash.why_not(PREFILL, HOPPER, tiles=str(tmp_path / "nowhere.json"))


def test_rows_that_were_chosen_stand_in_place_of_the_old():
    table = table_of()
    old = table.find("flash_dq", "narrow", 90, 256)
    new = TileRow(slot=old.slot, tile=parse_tile("flash_dq", "64x64-w4-s2"), source="lab")

    changed = table.with_rows([new], {"lab": {"device": "H200"}})

    assert changed.find("flash_dq", "narrow", 90, 256) == new
    assert len(changed.rows) == len(table.rows)
    assert json.loads(changed.text())["sources"]["lab"] == {"device": "H200"}
    assert [a for a, b in zip(changed.rows, table.rows, strict=True) if a != b] == [new]


def test_every_slot_has_a_small_space_without_its_own_tile():
    for tiling in table_of().rows:
        tiles = search_space(tiling)
        own = tiling.tile

        assert 3 <= len(tiles) <= 12
        assert len(set(tiles)) == len(tiles)
        assert own not in tiles
        if isinstance(own, DecodeTile):
            assert {one.max_m for one in tiles} == {own.max_m}


def test_a_slot_is_reported_by_what_it_holds_for():
    assert str(Slot(kernel="flash_dq", kind="tf32", family="small", width=256)) == (
        "flash_dq tf32 small 256"
    )
