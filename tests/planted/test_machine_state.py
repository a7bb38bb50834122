"""Numbers 11, 12, 17, 18 and 19: a machine that is another one from moment to moment."""

from __future__ import annotations

import ast
import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

from attnbench.analysis.compare import compare
from attnbench.analysis.gate import gate
from attnbench.analysis.machine import machine_states
from attnbench.device.base import DeviceState
from attnbench.device.nvml import NoTelemetry, find_board
from attnbench.errors import NotComparable
from attnbench.stats.decision import confirm, screen
from attnbench.store.columns import COLUMNS

ROOT = Path(__file__).parents[2]


def loaded(place):
    spec = importlib.util.spec_from_file_location(place.stem, place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


made = loaded(ROOT / "tests" / "unit" / "analysis" / "made_runs.py")
nvml_tests = loaded(ROOT / "tests" / "unit" / "device" / "test_nvml.py")


def cooling(order, rounds, *, cases=40, seed=0):
    """Log latencies [side][case, round] of equal code on a GPU that gets faster as it cools."""
    rng = np.random.default_rng(seed)
    sides = {"A": np.empty((cases, rounds)), "B": np.empty((cases, rounds))}
    seen = {"A": 0, "B": 0}
    for slot, side in enumerate(order):
        level = 0.06 * np.exp(-slot / 8)  # 6 % slower while warm
        sides[side][:, seen[side]] = level + rng.normal(0, 0.004, cases)
        seen[side] += 1
    return sides


def accused(order, seed):
    """How many of the cases `ab`'s two stages call slower, and how many faster."""
    rounds = len(order) // 4
    sides = cooling(order, 2 * rounds, seed=seed)
    differences = sides["B"] - sides["A"]
    screened = screen(differences[:, :rounds], 0.02)
    _, words = confirm(screened, differences[screened.suspects, rounds:], 0.02)
    return words.count("slower"), words.count("faster")


def test_one_side_first_accuses_a_cooling_gpu_and_interleaved_turns_do_not():
    one_after_the_other = accused("A" * 16 + "B" * 16, seed=1)
    by_turns = [accused("ABBA" * 8, seed=seed) for seed in range(10)]

    assert one_after_the_other[1] == 40  # "faster", every one of them: the plant works
    assert by_turns == [(0, 0)] * 10


def made_run(tmp_path, name, **changes):
    rows = made.make_rows(cases=4, run_id=name, **changes)
    return made.write_run(tmp_path / f"{name}.parquet", rows, suite_text="suite: made\n")


def test_a_power_limit_that_was_lowered_is_another_device_and_no_regression(tmp_path):
    base = made_run(tmp_path, "base")
    # The same board: its identity holds the limit, as Device.id does.
    capped = made_run(
        tmp_path, "capped", power_limit_w=560.0, device_id="capped", slowdowns={0: 0.2, 1: 0.2}
    )

    with pytest.raises(NotComparable, match="power limit w 700 -> 560") as caught:
        gate(capped, [base], max_slowdown=0.05)
    assert caught.value.exit_code == 4
    (compared,) = compare(base, capped)
    assert all(one.verdict not in ("slower", "faster") for one in compared.comparisons)


def test_the_power_limit_is_part_of_a_device_s_identity():
    from dataclasses import replace

    from attnbench.device.rates import lookup

    device = lookup("h100").device
    full, capped = replace(device, power_limit_w=700.0), replace(device, power_limit_w=560.0)

    assert full.id != capped.id


def test_two_hosts_of_one_name_differ_in_canaries_and_throttle_reasons(tmp_path):
    def records(gemm):
        us = {"copy": 700.0, "gemm": gemm, "softmax": 30.0}
        return [{"record": "canaries", "process": 0, "when": "first", "at": 1.0, "us": us}]

    well = {"run_name": "a", "records": records(190.0)}
    hot = {"run_name": "b", "records": records(260.0)}
    first, second = machine_states({"merged": [well, hot]})

    assert first.processes[0].first["gemm"] < 0.8 * second.processes[0].first["gemm"]
    slow = made_run(tmp_path, "slow", throttle_reasons="sw_thermal_slowdown", device_uuid="GPU-2")
    (compared,) = compare(made_run(tmp_path, "base"), slow)
    assert {one.kind for one in compared.differing} >= {"chip"}


def test_visible_device_0_is_not_nvml_s_device_0(monkeypatch):
    """CUDA_VISIBLE_DEVICES=3, and NVML's device 0 is busy."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    scripted = nvml_tests.ScriptedNvml(
        DeviceGetComputeRunningProcesses=lambda handle: nvml_tests.running(
            *((os.getpid(),) if handle == "gpu" else (7, 8))
        )
    )
    scripted.handles["GPU-other"] = "busy"
    board = find_board(nvml_tests.UUID, index=0, nvml=scripted)

    assert board.read().foreign == ()
    assert not any("ByIndex" in name for name, _ in scripted.asked)


def test_no_tool_s_printed_text_says_that_clocks_are_locked():
    """``nvidia-smi -lgc`` without root prints a text and fails: nothing here runs or claims it."""
    names = {column.name for column in COLUMNS}
    calls = (
        ast.unparse(node)
        for path in sorted((ROOT / "attnbench").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    )
    started = [one for one in calls if one.startswith("subprocess.")]

    assert started, "processes are started somewhere"
    assert not [one for one in started if "nvidia-smi" in one]
    assert not {name for name in names if "locked" in name}
    # What is known of clocks is what they were, read from the driver.
    assert {"sm_clock_mhz", "mem_clock_mhz", "throttle_reasons"} <= names


@pytest.mark.parametrize("words", [nvml_tests.NOT_SUPPORTED, nvml_tests.NO_PERMISSION])
def test_a_board_that_refuses_leaves_empty_columns_with_a_reason(words):
    every = dict.fromkeys(
        (
            "DeviceGetPowerUsage",
            "DeviceGetTemperature",
            "DeviceGetClockInfo",
            "DeviceGetComputeRunningProcesses",
            "DeviceGetCurrentClocksEventReasons",
            "DeviceGetTotalEnergyConsumption",
        ),
        words,
    )
    board = find_board(nvml_tests.UUID, nvml=nvml_tests.ScriptedNvml(**every))

    assert board.read() == DeviceState()
    assert board.energy_j() is None
    assert board.refusals


@pytest.mark.torch
@pytest.mark.parametrize("telemetry", [None, "refuses"])
def test_a_machine_without_nvml_is_measured_and_says_so(measured, attend, telemetry):
    from attnbench.device.fake import Fake, Script

    device = Fake(Script(telemetry=telemetry is None))

    class Silent(Fake):
        def telemetry(self):
            return NoTelemetry(reason="no libnvidia-ml.so")

    if telemetry is None:
        device = Silent(Script())

    def prepare(inputs):
        def call():
            device.launch(1e-3)
            return attend(inputs)

        return call

    done = measured(device, prepare)

    assert done.status == "ok", done.reason
    assert "NO_TELEMETRY" in done.notes
    assert done.power_w is done.sm_clock_mhz is done.throttle_reasons is None
