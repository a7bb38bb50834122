"""What NVML says of a GPU, by UUID; everything optional, None where the board refuses."""

from __future__ import annotations

from typing import Any


def board_facts(uuid: str) -> dict[str, Any]:
    """Return driver, power limit (W) and MIG profile of a GPU; empty where NVML does not answer.

    Addressed by UUID, because NVML's indices ignore CUDA_VISIBLE_DEVICES.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # noqa: BLE001  no driver, no library, no permission: all mean "unknown"
        return {}
    try:
        prefix = "" if uuid.startswith(("GPU-", "MIG-")) else "GPU-"
        handle = pynvml.nvmlDeviceGetHandleByUUID(prefix + uuid)
        return {
            "driver": _ask(pynvml.nvmlSystemGetDriverVersion),
            "power_limit_w": _watts(_ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)),
            "mig": uuid if uuid.startswith("MIG-") else None,
        }
    except Exception:  # noqa: BLE001  a locked-down container may refuse the handle
        return {"driver": _ask(pynvml.nvmlSystemGetDriverVersion)}
    finally:
        pynvml.nvmlShutdown()


def other_processes(uuid: str | None) -> list[int] | None:
    """Return the ids of processes computing on a GPU; None where NVML does not say."""
    if uuid is None:
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
        return [one.pid for one in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except Exception:  # noqa: BLE001  no NVML, no right to ask
        return None


def _ask(question: Any, *words: Any) -> Any:
    try:
        return question(*words)
    except Exception:  # noqa: BLE001  "not supported" on this board
        return None


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000
