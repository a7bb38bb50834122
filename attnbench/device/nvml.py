"""Telemetry from NVML. GPUs are found by UUID, because NVML's indices ignore CUDA_VISIBLE_DEVICES.

Everything is optional. A board, a container or an account may refuse any query; the answer is then
None, and NVML's own error message is kept. A MIG slice reports the clocks and temperature of its
board; power and energy cannot be attributed to a slice and stay unknown.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from attnbench.device.base import DeviceState

# Bits of the clocks event reasons, by their names in NVML's header. Idling and clocks that a user
# set (application clocks, a display, locked clocks) are left out: they are as requested.
THROTTLES = {
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
}
_CLOCK_SM, _CLOCK_MEM, _TEMPERATURE_GPU = 1, 2, 0  # NVML's enumerations
_MIG_ENABLED = 1
_UNKNOWN_SLICE = "unknown"
_MILLI = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class NoTelemetry:
    """A GPU that NVML does not know; ``reason`` says why."""

    reason: str

    def read(self) -> DeviceState:
        """Return a state in which everything is unknown."""
        return DeviceState()

    def energy_j(self) -> float | None:
        """Return None: unknown."""
        return None

    def to_dict(self) -> dict[str, Any]:
        """Return nothing to add to the Device."""
        return {}


@dataclass(slots=True, kw_only=True)
class Board:
    """A GPU, or a MIG slice of one, that NVML knows.

    ``uuid`` is NVML's name for it; ``handle`` is what computes and ``board`` the whole GPU, the
    same unless ``slice_name`` (``1g.10gb``) is set. ``refusals`` maps each refused query to NVML's
    error message.
    """

    nvml: Any
    uuid: str
    handle: Any
    board: Any
    slice_name: str | None = None
    refusals: dict[str, str] = field(default_factory=dict)

    def read(self) -> DeviceState:
        """Query clocks, power, temperature, throttling and other processes."""
        nvml = self.nvml
        power = None if self.slice_name else self._ask("power", nvml.nvmlDeviceGetPowerUsage)
        return DeviceState(
            sm_clock_mhz=self._ask("SM clock", nvml.nvmlDeviceGetClockInfo, _CLOCK_SM),
            mem_clock_mhz=self._ask("memory clock", nvml.nvmlDeviceGetClockInfo, _CLOCK_MEM),
            power_w=_scaled(power),
            temperature_c=self._ask("temperature", nvml.nvmlDeviceGetTemperature, _TEMPERATURE_GPU),
            throttled=self._throttled(),
            foreign=self.foreign(os.getpid()),
        )

    def energy_j(self) -> float | None:
        """Return the board's energy counter in joules; a slice has none."""
        if self.slice_name:
            return None
        return _scaled(self._ask("energy", self.nvml.nvmlDeviceGetTotalEnergyConsumption))

    def to_dict(self) -> dict[str, Any]:
        """Return UUID, driver, power limit (W) and MIG profile, as a Device stores them."""
        limit = self._ask("power limit", self.nvml.nvmlDeviceGetEnforcedPowerLimit)
        return {
            "uuid": self.uuid,
            "driver": self._asked("driver", self.nvml.nvmlSystemGetDriverVersion),
            "power_limit_w": _scaled(limit),
            "mig": self.slice_name,
        }

    def foreign(self, own: int) -> tuple[int, ...] | None:
        """Return the ids of the GPU's compute processes other than ``own``."""
        listed = self._asked(
            "processes", self.nvml.nvmlDeviceGetComputeRunningProcesses, self.handle
        )
        if listed is None:
            return None
        return others(tuple(one.pid for one in listed), own)

    def _throttled(self) -> tuple[str, ...] | None:
        # Drivers before 535 know only the older name (Throttle), and older bindings lack the newer.
        for name in ("Event", "Throttle"):
            question = getattr(self.nvml, f"nvmlDeviceGetCurrentClocks{name}Reasons", None)
            bits = None if question is None else self._ask("throttle reasons", question)
            if bits is not None:
                self.refusals.pop("throttle reasons", None)
                return tuple(word for bit, word in THROTTLES.items() if bits & bit)
        return None

    def _ask(self, what: str, question: Callable[..., Any], *words: Any) -> Any:
        return self._asked(what, question, self.board, *words)

    def _asked(self, what: str, question: Callable[..., Any], *words: Any) -> Any:
        try:
            return question(*words)
        except self.nvml.NVMLError as error:
            self.refusals[what] = str(error)
            return None


def find_board(uuid: str | None, *, index: int = 0, nvml: Any = None) -> Board | NoTelemetry:
    """Find a GPU by its CUDA UUID.

    Args:
        uuid: with or without the prefix ``GPU-``.
        index: torch's index, which is the position in CUDA_VISIBLE_DEVICES; a MIG slice is named
            only there.
        nvml: the bindings; pynvml if None.

    """
    if nvml is None:
        nvml = _library()
        if isinstance(nvml, str):
            return NoTelemetry(reason=nvml)
    refused = []
    for name in _names(uuid, index):
        try:
            return _board_of(nvml, name)
        except nvml.NVMLError as error:
            refused.append(f"{name}: {error}")
    return NoTelemetry(reason="; ".join(refused) or "torch does not report this GPU's UUID")


def others(listed: tuple[int, ...], own: int) -> tuple[int, ...]:
    """Return the processes that NVML lists, without this one, which computes as well.

    In a container, NVML may list the host's process ids. This process then has an unknown id in the
    list, and any one of the ids is left out for it.
    """
    rest = tuple(pid for pid in listed if pid != own)
    return rest if len(rest) < len(listed) else rest[1:]


@cache
def _library() -> Any:
    """Return NVML, initialised once per process, or the reason why it is missing."""
    try:
        import pynvml
    except ImportError as error:
        return f"nvidia-ml-py cannot be imported: {error}"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return str(error)
    return pynvml


def _names(uuid: str | None, index: int) -> Iterator[str]:
    """Yield the names that NVML may have for this device, the most specific first."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    word = visible[index].strip() if index < len(visible) else ""
    if word.startswith("MIG-"):
        yield word
    if uuid is None:
        return
    if uuid.startswith(("GPU-", "MIG-")):
        yield uuid
    else:
        yield f"GPU-{uuid}"
        yield f"MIG-{uuid}"


def _board_of(nvml: Any, uuid: str) -> Board:
    """Find a GPU or a MIG slice by a name that NVML knows."""
    handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
    board, slice_name = handle, None
    if _is_slice(nvml, handle):
        board = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
        slice_name = _profile(nvml, handle)
    elif _is_sliced(nvml, handle):
        slice_name = _UNKNOWN_SLICE
    return Board(nvml=nvml, uuid=uuid, handle=handle, board=board, slice_name=slice_name)


def _is_sliced(nvml: Any, handle: Any) -> bool:
    """Return whether MIG is on: CUDA may compute on a slice yet report the GPU's UUID."""
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:  # a GPU that cannot be sliced
        return False
    return bool(current == _MIG_ENABLED)


def _is_slice(nvml: Any, handle: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceIsMigDeviceHandle(handle))
    except nvml.NVMLError:  # a driver older than MIG
        return False


def _profile(nvml: Any, handle: Any) -> str:
    """Return ``1g.18gb`` from ``NVIDIA H200 MIG 1g.18gb``."""
    try:
        _, _, profile = str(nvml.nvmlDeviceGetName(handle)).partition("MIG ")
    except nvml.NVMLError:
        profile = ""
    return profile or _UNKNOWN_SLICE


def _scaled(thousandths: float | None) -> float | None:
    return None if thousandths is None else thousandths * _MILLI
