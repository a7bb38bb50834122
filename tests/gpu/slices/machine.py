"""Writes down which machine this is: ``python machine.py FILE``; nothing here may fail the slice.

A program of its own, so that neither torch nor a CUDA context stays in the process that runs the
slice.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

_ASKED = {
    "nvidia_smi": ("nvidia-smi", "-q"),
    "processes": ("nvidia-smi", "pmon", "-c", "1"),
    "nvcc": ("nvcc", "--version"),
    "ncu": ("ncu", "--version"),
    "kernel": ("uname", "-a"),
}
_TIMEOUT_S = 20


def asked(command: tuple[str, ...]) -> str:
    """Return what a command prints, or why it does not."""
    if shutil.which(command[0]) is None:
        return "not here"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}"
    return (done.stdout + done.stderr).strip()


def device() -> dict[str, object]:
    """Describe CUDA device 0 as torch and NVML see it, or say why there is none."""
    try:
        import torch
    except ImportError as error:
        return {"reason": str(error)}
    if not torch.cuda.is_available():
        return {"reason": f"torch {torch.__version__} sees no CUDA device"}
    description = torch.cuda.get_device_properties(0)
    found: dict[str, object] = {
        "name": description.name,
        "arch": f"sm_{description.major}{description.minor}",
        "memory_bytes": description.total_memory,
        "l2_bytes": description.L2_cache_size,
        "sms": description.multi_processor_count,
        "uuid": str(getattr(description, "uuid", "")),
        "cuda": torch.version.cuda,
    }
    try:
        import pynvml

        pynvml.nvmlInit()
        found["driver"] = str(pynvml.nvmlSystemGetDriverVersion())
    except Exception as error:  # noqa: BLE001  a driver that does not say is no reason to stop
        found["driver_reason"] = f"{type(error).__name__}: {error}"
    return found


def main() -> None:
    description = {
        "device": device(),
        "python": sys.version,
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "path": sys.path,
        "packages": sorted(
            {f"{one.metadata['Name']} {one.version}" for one in metadata.distributions()}
        ),
        **{name: asked(command) for name, command in _ASKED.items()},
    }
    Path(sys.argv[1]).write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(description["device"], indent=1))  # noqa: T201  what a reader of the log looks for


if __name__ == "__main__":
    main()
