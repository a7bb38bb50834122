"""Nsight Compute: DRAM bytes, and each kernel's percentage of the device's limits.

ncu replays every kernel several times and saves and restores memory in between, so its durations
are never a latency, and its bytes come from a separate execution. Options and metric names are from
the Nsight Compute CLI manual.
"""

from __future__ import annotations

import csv
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from attnbench.errors import InputError
from attnbench.profile.profiled import READ_BYTES, WRITTEN_BYTES, Kernel, slowest_first

DURATION = "gpu__time_duration.sum"
BYTES = {READ_BYTES: "dram__bytes_read.sum", WRITTEN_BYTES: "dram__bytes_write.sum"}
# The speed-of-light section: percentages of what the device can sustain.
SHARES = {
    "memory_pct": "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed",
    "dram_pct": "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
    "l2_pct": "lts__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm_pct": "sm__throughput.avg.pct_of_peak_sustained_elapsed",
}
_METRICS = (DURATION, *BYTES.values(), *SHARES.values())
_NAME = "Kernel Name"
_FOUND_IN = ("/usr/local/cuda/bin/ncu", "/opt/nvidia/nsight-compute/*/ncu")
# Base units are requested; a version that scales anyway must still be read correctly.
_PREFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_BYTES_UNIT = re.compile(r"([kmgt]?)byte", re.IGNORECASE)
_SECONDS = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("ms", "msecond"), 1e-3),
    **dict.fromkeys(("us", "usecond"), 1e-6),
    **dict.fromkeys(("ns", "nsecond"), 1e-9),
}
_NO_PERMISSION = (
    "the driver keeps the performance counters from this user (ERR_NVGPUCTRPERM)",
    (
        "run as root, or let all users read them: put `options nvidia "
        "NVreg_RestrictProfilingToAdminUsers=0` into /etc/modprobe.d/nvidia-profiling.conf and "
        "reboot; in a container add --cap-add=SYS_ADMIN"
    ),
)
_NO_KERNEL = (
    "ncu saw no kernel: the call launched none on this device",
    "see what runs with --tool torch",
)


class Ncu:
    """Wraps the process, and profiles what it marks with cudaProfilerStart."""

    name = "ncu"
    about = "DRAM bytes and speed-of-light table through Nsight Compute, CUDA only"
    suffix = ".ncu.csv"
    slowdown = 40.0

    def lacks(self) -> tuple[str, str] | None:
        """Look on the PATH and where installers put it."""
        if program() is not None:
            return None
        return (
            "ncu (Nsight Compute) is not installed, or not on the PATH",
            (
                "apt-get install nsight-compute (Ubuntu multiverse, Debian non-free), or take it "
                "from https://developer.nvidia.com/nsight-compute"
            ),
        )

    def command(self, target: Sequence[str], out: Path, *, cold: bool) -> list[str]:
        """Request the raw page as CSV, in base units, of what runs between start and stop."""
        return [
            program() or "ncu",
            *("--csv", "--page", "raw", "--print-units", "base"),
            *("--profile-from-start", "off", "--target-processes", "all"),
            *("--cache-control", "all" if cold else "none"),
            *("--clock-control", "none"),  # the clocks belong to the machine's owner
            *("--metrics", ",".join(_METRICS)),
            *("--log-file", str(out)),
            *target,
        ]

    def refusal(self, out: Path, said: str) -> tuple[str, str | None] | None:
        """Translate ncu's errors into what to do about them."""
        text = said
        if out.exists():
            text += out.read_text(encoding="utf-8", errors="replace")
        if "ERR_NVGPUCTRPERM" in text:
            return _NO_PERMISSION
        if "No kernels were profiled" in text:
            return _NO_KERNEL
        errors = [line for line in text.splitlines() if line.startswith("==ERROR==")]
        if errors:
            return f"ncu failed: {errors[0].removeprefix('==ERROR==').strip()}", None
        return None

    def read(self, out: Path, answer: Mapping[str, Any]) -> tuple[Kernel, ...]:
        """Sum the launches of each kernel.

        Raises:
            InputError: no table, or a missing metric or unit.

        """
        del answer
        with out.open(encoding="utf-8", newline="") as lines:
            return kernels_of(lines, str(out))


def program() -> str | None:
    """Return the path of ncu, or None."""
    found = (str(path) for place in _FOUND_IN for path in sorted(Path("/").glob(place[1:])))
    return next(chain(filter(None, [shutil.which("ncu")]), found), None)


def kernels_of(lines: Iterator[str], place: str) -> tuple[Kernel, ...]:
    """Read the raw page: a header, a line of units, then one line per launch."""
    table = csv.reader(line for line in lines if not line.startswith("=="))
    header = next((row for row in table if _NAME in row), None)
    units = None if header is None else next(table, None)
    if header is None or units is None:
        raise InputError(f"{place} holds no table of ncu's raw page")
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    calls: dict[str, int] = defaultdict(int)
    for row in table:
        if len(row) != len(header):
            continue
        name = row[header.index(_NAME)]
        calls[name] += 1
        for metric, value in _launch(header, units, row, place).items():
            sums[name][metric] += value
    if not calls:
        raise InputError(f"{place} holds no kernel", hint=_NO_KERNEL[1])
    return slowest_first([_kernel(name, calls[name], sums[name]) for name in calls])


def _launch(header: list[str], units: list[str], row: list[str], place: str) -> dict[str, float]:
    """Return the metrics of one launch: seconds, bytes, and percentages times seconds."""

    def cell(metric: str) -> tuple[float, str]:
        try:
            column = header.index(metric)
            return float(row[column].replace(",", "")), units[column]
        except ValueError as error:
            raise InputError(
                f"{place} has no figure for {metric}", hint="this GPU may not count it"
            ) from error

    time, unit = cell(DURATION)
    if unit not in _SECONDS:
        raise InputError(f"{place} gives {DURATION} in {unit!r}, which is no time")
    seconds = time * _SECONDS[unit]
    found = {DURATION: seconds}
    for word, metric in BYTES.items():
        count, unit = cell(metric)
        scale = _BYTES_UNIT.fullmatch(unit)
        if scale is None:
            raise InputError(f"{place} gives {metric} in {unit!r}, not in bytes")
        found[word] = count * _PREFIXES[scale[1].lower()]
    for word, metric in SHARES.items():
        found[word] = cell(metric)[0] * seconds
    return found


def _kernel(name: str, calls: int, sums: Mapping[str, float]) -> Kernel:
    total_s = sums[DURATION]
    shares = {word: sums[word] / total_s if total_s else 0.0 for word in SHARES}
    counted = {word: sums[word] for word in BYTES}
    return Kernel(name=name, calls=calls, total_s=total_s, counters={**counted, **shares})
