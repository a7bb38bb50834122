from __future__ import annotations

from dataclasses import replace

import pytest

from attnbench.api import load_suite
from attnbench.case import Case
from attnbench.environment import Device
from attnbench.errors import EnvironmentProblem, InputError, NothingSelected, OptionError
from attnbench.execute import tune
from attnbench.problem import Problem
from attnbench.profile.inspect import Inspected
from attnbench.profile.resources import Resources

CPU = Device(kind="cpu", name="any", arch="x86_64", memory_bytes=1, free_bytes=1)
GPU = tune.device_like("sm_90")
HEADS = {"q_heads": 8, "kv_heads": 2, "head_dim": 128, "dtype": "bf16"}
RESOURCES = Resources(
    registers=100,
    stack_bytes=0,
    spill_instructions=0,
    static_shared_bytes=0,
    dynamic_shared_bytes=65536,
    warps=4,
    resident=3,
    tensor_core_instructions=1,
    wide_loads=1,
    narrow_loads=0,
    instructions=500,
)


def case(backend="triton_flash", options=(), **fields):
    return Case(problem=Problem(**{**HEADS, **fields}), backend=backend, options=options)


@pytest.fixture
def compiler(monkeypatch):
    """Stand in for compiling: ``compiler`` maps a tile to what it takes; others take the same."""
    known, asked = {}, []

    def inspect_cases(backend, arch, cases):
        rows = []
        for problem, options in cases:
            asked.append((backend, arch, problem, options))
            found = known.get(options.get("tile"), RESOURCES)
            names = ("decode",) if backend == "triton_decode" else ("flash_forward", "flash_dkdv")
            rows.append(
                [
                    Inspected(
                        arch=arch,
                        problem=problem.label,
                        kernel=name,
                        options=options,
                        tile={},
                        resources=found,
                        fault=None if found else "out of shared memory",
                    )
                    for name in names
                ]
            )
        return rows

    monkeypatch.setattr(tune, "inspect_cases", inspect_cases)
    known["asked"] = asked
    return known


def test_problems_of_one_slot_share_their_candidates():
    cases = [case(q_len=4096), case(q_len=512, mask="causal"), case(q_len=512, head_dim=64)]

    found = tune.candidates_of("triton_flash", cases, GPU)

    shipped = [one for one in found if one.is_shipped]
    assert [(str(one.slot), len(one.cases)) for one in shipped] == [
        ("flash_forward narrow hopper 256", 2),
        ("flash_forward narrow hopper 128", 1),
    ]
    assert {one.option for one in found} == {"tile"}
    assert all(str(one.tile) != str(shipped[0].tile) for one in found[1:9])


def test_trials_are_cases_with_the_tile_as_an_option():
    one, other, *_ = tune.candidates_of("triton_flash", [case(q_len=64)], GPU)

    assert one.trials == (case(q_len=64),)
    assert other.trials == (case(q_len=64, options=(("tile", str(other.tile)),)),)


def test_a_backward_tunes_its_two_kernels_one_at_a_time():
    found = tune.candidates_of("triton_flash", [case(q_len=64, mode="bwd")], GPU)

    assert {one.option for one in found} == {"dkdv_tile", "dq_tile"}
    for one in found:
        assert all(len(trial.options) == (not one.is_shipped) for trial in one.trials)


def test_cases_that_are_not_ours_or_chose_a_tile_are_left_out():
    chosen = case(q_len=64, options=(("tile", "64x64-w4-s2"),))
    other = case("sdpa", q_len=64)

    with pytest.raises(NothingSelected, match="no case for triton_flash with a tile to choose"):
        tune.candidates_of("triton_flash", [chosen, other, case(q_len=64, head_dim=80)], GPU)


def test_what_spills_does_not_fit_or_does_not_compile_is_dropped(compiler):
    found = tune.candidates_of("triton_flash", [case(q_len=64)], GPU)
    shipped, *others = found
    compiler[str(others[0].tile)] = replace(RESOURCES, spill_instructions=4)
    compiler[str(others[1].tile)] = replace(RESOURCES, stack_bytes=8)
    compiler[str(others[2].tile)] = replace(RESOURCES, resident=0)
    compiler[str(others[3].tile)] = None

    judged = tune.compiled("triton_flash", found, "sm_90")

    words = ["spills", "spills", "does not fit an SM", "does not compile"]
    assert [one.dropped for one in judged] == [None, *words, *[None] * (len(others) - 4)]
    assert judged[0].tile == shipped.tile
    kept = tune.suite_of(load_suite("tune"), judged).cases
    assert len(kept) == len(found) - 4


def test_the_shipped_tile_is_never_dropped(compiler):
    compiler[None] = replace(RESOURCES, spill_instructions=4)
    found = tune.candidates_of("triton_flash", [case(q_len=64)], GPU)

    assert tune.compiled("triton_flash", found, "sm_90")[0].dropped is None


def test_decode_learns_from_the_compiler_how_many_programs_fit(compiler):
    compiler[None] = replace(RESOURCES, resident=7)
    found = tune.candidates_of("triton_decode", [case("triton_decode", q_len=1, kv_len=64)], GPU)

    shipped, other, *_ = tune.compiled("triton_decode", found, "sm_90")

    assert shipped.tile == found[0].tile
    assert str(other.tile).split("-")[3] == "p3"
    assert dict(other.trials[0].options)["tile"] == str(other.tile)


def test_a_backend_without_tiles_is_refused():
    with pytest.raises(InputError, match="naive has no tiles to tune"):
        tune.tunable_module("naive")
    with pytest.raises(InputError, match="nothing has no tiles"):
        tune.tunable_module("nothing")


def test_a_cpu_cannot_tune_a_gpus_kernels():
    with pytest.raises(EnvironmentProblem, match="by measuring on a GPU, and this is a CPU") as no:
        tune.check_device("triton_flash", CPU, None)

    assert no.value.exit_code == 4
    assert no.value.hint.endswith("attnbench tune triton_flash --list --arch sm_90")


def test_the_device_that_measures_is_the_one_that_is_tuned():
    tune.check_device("triton_flash", GPU, "sm_90")
    with pytest.raises(OptionError, match="this device is sm_90, not sm_80"):
        tune.check_device("triton_flash", GPU, "sm_80")
    with pytest.raises(OptionError, match="no architecture 'sm_70'"):
        tune.device_like("sm_70")
