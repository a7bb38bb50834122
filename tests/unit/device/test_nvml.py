"""NVML's answers and refusals, scripted: what is known, what stays unknown, and why."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pynvml
import pytest

from attnbench.device import nvml
from attnbench.device.base import DeviceState
from attnbench.device.nvml import Board, NoTelemetry, find_board, others

UUID = "1f0c5a6e-0000-4000-8000-000000000003"


def refusal(code):
    return pynvml.NVMLError(code)


NOT_SUPPORTED = refusal(pynvml.NVML_ERROR_NOT_SUPPORTED)
NO_PERMISSION = refusal(pynvml.NVML_ERROR_NO_PERMISSION)
NOT_FOUND = refusal(pynvml.NVML_ERROR_NOT_FOUND)


class ScriptedNvml:
    """Answers questions by name; what is an exception is raised, what is missing is refused."""

    NVMLError = pynvml.NVMLError

    def __init__(self, **answers):
        self.asked = []
        self.answers = {
            "SystemGetDriverVersion": "580.95.05",
            "DeviceGetEnforcedPowerLimit": 700_000,
            "DeviceGetClockInfo": lambda _, kind: {1: 1980, 2: 3201}[kind],
            "DeviceGetPowerUsage": 612_345,
            "DeviceGetTemperature": 61,
            "DeviceGetTotalEnergyConsumption": 5_000_000,
            "DeviceGetCurrentClocksEventReasons": 0,
            "DeviceGetComputeRunningProcesses": [],
            "DeviceIsMigDeviceHandle": 0,
            "DeviceGetMigMode": NOT_SUPPORTED,
            "DeviceGetHandleByUUID": lambda name: self.handles[name],
        } | answers
        self.handles = Names({f"GPU-{UUID}": "gpu"})

    def __getattr__(self, name):
        if not name.startswith("nvml"):
            raise AttributeError(name)

        def answer(*words):
            self.asked.append((name, words))
            found = self.answers.get(name.removeprefix("nvml"), NOT_SUPPORTED)
            if isinstance(found, Exception):
                raise found
            return found(*words) if callable(found) else found

        return answer


class Names(dict):
    def __missing__(self, name):
        raise NOT_FOUND


def running(*pids):
    return [SimpleNamespace(pid=pid) for pid in pids]


@pytest.fixture(autouse=True)
def nothing_hidden(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_board_that_answers_tells_everything():
    board = find_board(UUID, nvml=ScriptedNvml())

    assert board.read() == DeviceState(
        sm_clock_mhz=1980,
        mem_clock_mhz=3201,
        power_w=pytest.approx(612.345),
        temperature_c=61,
        throttled=(),
        foreign=(),
    )
    assert board.energy_j() == pytest.approx(5000)
    assert board.to_dict() == {
        "uuid": f"GPU-{UUID}",
        "driver": "580.95.05",
        "power_limit_w": pytest.approx(700),
        "mig": None,
    }
    assert board.refusals == {}


@pytest.mark.parametrize("visible", ["3", f"GPU-{UUID}", "GPU-1f0c5a6e", None])
def test_the_gpu_is_found_by_uuid_however_it_was_made_visible(monkeypatch, visible):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    scripted = ScriptedNvml()

    assert isinstance(find_board(UUID, index=0, nvml=scripted), Board)
    assert find_board(f"GPU-{UUID}", nvml=scripted).uuid == f"GPU-{UUID}"
    assert not any("ByIndex" in name for name, _ in scripted.asked)


def test_a_busy_gpu_at_another_index_is_not_this_one():
    """CUDA_VISIBLE_DEVICES=3 makes torch's device 0 of NVML's device 3."""
    scripted = ScriptedNvml(
        DeviceGetComputeRunningProcesses=lambda handle: running(
            *((os.getpid(),) if handle == "gpu" else (7, 8))
        )
    )
    scripted.handles["GPU-other"] = "busy"

    assert find_board(UUID, nvml=scripted).read().foreign == ()
    assert find_board("GPU-other", nvml=scripted).read().foreign == (8,)


@pytest.mark.parametrize("words", [NOT_SUPPORTED, NO_PERMISSION])
def test_each_refusal_leaves_one_answer_unknown_and_is_kept(words):
    questions = {
        "DeviceGetPowerUsage": ("power_w", "power"),
        "DeviceGetTemperature": ("temperature_c", "temperature"),
        "DeviceGetComputeRunningProcesses": ("foreign", "processes"),
        "DeviceGetCurrentClocksEventReasons": ("throttled", "throttle reasons"),
    }
    for question, (name, what) in questions.items():
        board = find_board(UUID, nvml=ScriptedNvml(**{question: words}))
        reading = board.read()
        unknown = {one for one in DeviceState.__slots__ if getattr(reading, one) is None}
        assert unknown == {name}
        assert set(board.refusals) == {what}


def test_refusals_keep_nvmls_words():
    board = find_board(UUID, nvml=ScriptedNvml(DeviceGetPowerUsage=NO_PERMISSION))
    board.read()

    assert board.refusals == {"power": "Insufficient Permissions"}


def test_a_driver_before_535_names_the_reasons_as_it_used_to():
    scripted = ScriptedNvml(
        DeviceGetCurrentClocksEventReasons=refusal(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND),
        DeviceGetCurrentClocksThrottleReasons=0x8,
    )
    board = find_board(UUID, nvml=scripted)

    assert board.read().throttled == ("hw_slowdown",)
    assert board.refusals == {}


def test_bindings_that_lack_the_newer_name_are_asked_by_the_older():
    class Older(ScriptedNvml):
        def __getattr__(self, name):
            if "ClocksEvent" in name:
                raise AttributeError(name)
            return super().__getattr__(name)

    older = Older(DeviceGetCurrentClocksThrottleReasons=0x8)

    assert find_board(UUID, nvml=older).read().throttled == ("hw_slowdown",)


@pytest.mark.parametrize(
    ("bits", "words"),
    [
        (0x000, ()),
        (0x001, ()),  # idle
        (0x002 | 0x100, ()),  # clocks that somebody set
        (0x004, ("sw_power_cap",)),
        (0x001 | 0x020 | 0x040, ("sw_thermal_slowdown", "hw_thermal_slowdown")),
        (0x080 | 0x008, ("hw_slowdown", "hw_power_brake_slowdown")),
    ],
)
def test_only_what_slows_the_device_down_is_throttling(bits, words):
    scripted = ScriptedNvml(DeviceGetCurrentClocksEventReasons=bits)

    assert find_board(UUID, nvml=scripted).read().throttled == words


def test_the_bits_are_those_of_nvmls_header():
    header = {
        "sw_power_cap": pynvml.nvmlClocksEventReasonSwPowerCap,
        "hw_slowdown": pynvml.nvmlClocksEventReasonHwSlowdown,
        "sync_boost": pynvml.nvmlClocksEventReasonSyncBoost,
        "sw_thermal_slowdown": pynvml.nvmlClocksEventReasonSwThermalSlowdown,
        "hw_thermal_slowdown": pynvml.nvmlClocksEventReasonHwThermalSlowdown,
        "hw_power_brake_slowdown": pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown,
    }

    assert {word: bit for bit, word in nvml.THROTTLES.items()} == header
    assert (nvml._CLOCK_SM, nvml._CLOCK_MEM) == (pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM)
    assert nvml._TEMPERATURE_GPU == pynvml.NVML_TEMPERATURE_GPU
    assert nvml._MIG_ENABLED == pynvml.NVML_DEVICE_MIG_ENABLE


def sliced(**answers):
    scripted = ScriptedNvml(
        DeviceIsMigDeviceHandle=lambda handle: handle == "slice",
        DeviceGetDeviceHandleFromMigDeviceHandle="gpu",
        DeviceGetName="NVIDIA H200 MIG 1g.18gb",
        DeviceGetMigMode=(1, 1),
        **answers,
    )
    scripted.handles["MIG-abc"] = "slice"
    return scripted


def test_a_slice_has_its_boards_clocks_and_no_power_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-abc")
    scripted = sliced()
    board = find_board(UUID, nvml=scripted)
    reading = board.read()

    assert board.to_dict()["mig"] == "1g.18gb"
    assert board.uuid == "MIG-abc"
    assert reading.sm_clock_mhz == 1980
    assert reading.power_w is None
    assert board.energy_j() is None
    assert ("nvmlDeviceGetClockInfo", ("gpu", 1)) in scripted.asked
    assert ("nvmlDeviceGetComputeRunningProcesses", ("slice",)) in scripted.asked


def test_a_sliced_gpu_under_its_own_uuid_is_a_slice_all_the_same():
    board = find_board(UUID, nvml=sliced())

    assert board.to_dict()["mig"] == "unknown"
    assert board.read().power_w is None


def test_cudas_own_uuid_may_be_a_slices():
    assert find_board("abc", nvml=sliced()).to_dict()["mig"] == "1g.18gb"


def test_a_gpu_that_nvml_does_not_know_leaves_everything_unknown_with_the_reason():
    blind = find_board("feed", nvml=ScriptedNvml())

    assert isinstance(blind, NoTelemetry)
    assert blind.reason == "GPU-feed: Not Found; MIG-feed: Not Found"
    assert blind.read() == DeviceState()
    assert blind.energy_j() is None
    assert blind.to_dict() == {}


def test_a_torch_without_uuids_asks_nothing_of_a_gpu_that_may_be_another():
    scripted = ScriptedNvml()

    assert find_board(None, nvml=scripted).reason == "torch does not report this GPU's UUID"
    assert scripted.asked == []


def test_a_machine_without_the_drivers_library_says_so(monkeypatch):
    def missing():
        raise refusal(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    nvml._library.cache_clear()

    assert find_board(UUID).reason == "NVML Shared Library Not Found"
    nvml._library.cache_clear()


def test_a_python_without_the_package_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pynvml", None)
    nvml._library.cache_clear()

    assert find_board(UUID).reason.startswith("nvidia-ml-py cannot be imported")
    nvml._library.cache_clear()


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        ((), ()),
        ((42,), ()),
        ((42, 7), (7,)),
        ((7, 42), (7,)),
        ((9001,), ()),  # a container: this process under the host's number
        ((9001, 9002), (9002,)),
    ],
)
def test_this_process_is_not_foreign(listed, left):
    assert others(listed, 42) == left
