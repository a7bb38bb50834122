"""Our kernels, compiled for GPUs that are not here: nothing spills, everything fits.

After a change that is meant: ``attnbench inspect triton_decode --arch sm_80,sm_86,sm_90,sm_100
--json > tests/kernels/baselines/triton_decode.json``, and read the diff.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnbench.backends import triton_decode
from attnbench.environment import arch_number
from attnbench.kernels.tile_table import decode_tile
from attnbench.profile.inspect import faults_against, inspect, missing_from, read_baseline

pytestmark = pytest.mark.torch
BASELINES = Path(__file__).with_name("baselines")
MOST_SHARED = {"sm_80": 166_912, "sm_86": 101_376, "sm_90": 232_448, "sm_100": 232_448}
ARCHS = ["sm_90", *(pytest.param(one, marks=pytest.mark.slow) for one in ("sm_80", "sm_86"))]
ARCHS += [pytest.param("sm_100", marks=pytest.mark.slow)]


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize(
    "backend",
    ["triton_decode", "triton_flash", pytest.param("triton_block_sparse", marks=pytest.mark.slow)],
)
def test_no_shipped_configuration_spills_or_got_worse(backend, arch):
    module = importlib.util.find_spec(f"attnbench.backends.{backend}")
    baseline = read_baseline(BASELINES / f"{backend}.json")

    rows = inspect(module.origin, [arch])

    assert faults_against(baseline, rows) == []
    assert missing_from(rows, baseline) == []
    assert {one.key for one in rows if spills(one) or overflows(one)} == set()


def spills(row) -> bool:
    return row.resources.stack_bytes > 0 or row.resources.spill_instructions > 0


def overflows(row) -> bool:
    found = row.resources
    return found.static_shared_bytes + found.dynamic_shared_bytes > MOST_SHARED[row.arch]


def test_an_sm_holds_as_many_decode_programs_as_the_choice_of_splits_assumes():
    one_row = {p.label: p for p, _ in triton_decode.inspected() if p.q_len == 1}
    compiled = read_baseline(BASELINES / "triton_decode.json")
    rows = [one for one in compiled if one.kernel.startswith("decode") and one.problem in one_row]

    assert len(rows) > 2 * len(one_row)
    assert {
        row.key: row.resources.resident
        for row in rows
        if decode_tile(arch_number(row.arch), one_row[row.problem]).resident
        > row.resources.resident
    } == {}
