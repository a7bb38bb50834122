"""The CPU and host of this machine, described with only the standard library and /sys."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib import metadata
from pathlib import Path

from attnbench.environment import Device, Environment

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_GROUP = Path("/sys/fs/cgroup")
_GROUP_FILES = ("memory.max", "memory.current")
_KIB = 1024


def describe_cpu() -> Device:
    """Describe this machine's CPU; ``free_bytes`` is half of the memory available now."""
    memory = _meminfo()
    return Device(
        kind="cpu",
        name=_cpu_name(),
        arch=platform.machine(),
        memory_bytes=memory.get("MemTotal", 0),
        free_bytes=(available_bytes() or memory.get("MemTotal", 0)) // 2,
        cores=usable_cores(),
        llc_bytes=_last_level_cache(),
    )


def usable_cores() -> int:
    """Count the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_bytes() -> int | None:
    """Return the memory available without swapping; None where the system does not report it.

    A container's limit counts if it is lower than what the host has.
    """
    known = [one for one in (_meminfo().get("MemAvailable"), _left_in_group()) if one is not None]
    return min(known, default=None)


def environment_of(device: Device, *, threads: int | None, cuda: str | None) -> Environment:
    """Describe a device with its host and software, without importing torch."""
    commit, dirty = git_state(Path.cwd())
    return Environment(
        device=device,
        host=socket.gethostname(),
        python=platform.python_version(),
        threads=threads,
        torch_version=version_of("torch"),
        triton_version=version_of("triton"),
        cuda=cuda,
        git_commit=commit,
        git_dirty=dirty,
    )


def version_of(distribution: str) -> str | None:
    """Return an installed distribution's version without importing it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """Return the commit of a folder's repository and whether its tracked files have changed."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(  # noqa: S603  fixed words, no shell
        ["git", "-C", str(folder), *words],  # noqa: S607  the user's own git
        capture_output=True,
        check=True,
        text=True,
        timeout=10,
    )
    return done.stdout.strip()


def _meminfo() -> dict[str, int]:
    """Read /proc/meminfo in bytes, or ask the C library where it is missing."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _sysconf()
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name: int(rest.split()[0]) * _KIB for name, rest in pairs}


def _sysconf() -> dict[str, int]:
    """Ask sysconf, which also works in a container without /proc."""
    names = {"MemTotal": "SC_PHYS_PAGES", "MemAvailable": "SC_AVPHYS_PAGES"}
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return {name: os.sysconf(asked) * page for name, asked in names.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _left_in_group() -> int | None:
    """Return what a container's memory limit (cgroup 2) leaves; None without a limit."""
    try:
        limit, used = ((_GROUP / name).read_text("ascii") for name in _GROUP_FILES)
        return max(0, int(limit) - int(used))
    except (OSError, ValueError):  # the limit reads "max" where there is none
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _last_level_cache() -> int | None:
    """Return the size of the largest cache that /sys lists for the first core."""
    sizes = []
    for size in _CACHES.glob("index*/size"):
        try:
            text = size.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.endswith("K") and text[:-1].isdigit():
            sizes.append(int(text[:-1]) * _KIB)
    return max(sizes, default=None)
