"""The resources of an SM that a compiled kernel uses, read from its machine code.

Registers, stack and static shared memory come from ``cuobjdump -res-usage``, instructions from
``cuobjdump -sass``; Triton ships the tool. Dynamic shared memory and the number of warps come from
the compiler.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from attnbench.errors import EnvironmentProblem

_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)")
_INSTRUCTION = re.compile(
    r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", re.MULTILINE
)
_TENSOR_CORES = ("HMMA", "IMMA", "QMMA", "HGMMA", "IGMMA", "QGMMA", "DMMA", "UTCHMMA", "UTCQMMA")
_SPILLS = ("STL", "LDL")
# Limits of one SM (CUDA programming guide, compute capabilities). Each resident program also takes
# 1 KB of shared memory for the system.
_REGISTERS, _WARP, _REGISTER_UNIT, _SYSTEM_BYTES = 65536, 32, 8, 1024
_SM_SHARED = {80: 167936, 86: 102400, 87: 167936, 89: 102400, 90: 233472, 100: 233472, 103: 233472}
_SM_SHARED_ELSEWHERE = 102400
_SM_WARPS = {80: 64, 86: 48, 87: 48, 89: 48, 90: 64, 100: 64, 103: 64}
_SM_WARPS_ELSEWHERE = 48
_SM_PROGRAMS = {86: 16, 89: 24}
_SM_PROGRAMS_ELSEWHERE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """One kernel on one architecture; ``spill_instructions`` counts STL and LDL.

    ``stack_bytes`` is per thread, ``resident`` is how many programs an SM can hold at once, and
    ``wide_loads`` are loads of 16 bytes per thread, including asynchronous ones and TMA.
    """

    registers: int
    stack_bytes: int
    spill_instructions: int
    static_shared_bytes: int
    dynamic_shared_bytes: int
    warps: int
    resident: int
    tensor_core_instructions: int
    wide_loads: int
    narrow_loads: int
    instructions: int


def read_resources(cubin: bytes, *, arch: int, dynamic_shared: int, warps: int) -> Resources:
    """Read the resources of a cubin.

    Raises:
        EnvironmentProblem: cuobjdump is missing or cannot read the file.

    """
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _cuobjdump("-res-usage", file.name)
        names = _INSTRUCTION.findall(_cuobjdump("-sass", file.name))
    match = _USAGE.search(usage)
    if match is None:
        raise EnvironmentProblem(f"cuobjdump says nothing of registers: {usage[:200]!r}")
    registers, stack, static_shared = map(int, match.groups())
    wide, narrow = count_loads(names)
    return Resources(
        registers=registers,
        stack_bytes=stack,
        spill_instructions=_count(names, _SPILLS),
        static_shared_bytes=static_shared,
        dynamic_shared_bytes=dynamic_shared,
        warps=warps,
        resident=resident_programs(
            arch, registers=registers, warps=warps, shared=static_shared + dynamic_shared
        ),
        tensor_core_instructions=_count(names, _TENSOR_CORES),
        wide_loads=wide,
        narrow_loads=narrow,
        instructions=len(names),
    )


def resident_programs(arch: int, *, registers: int, warps: int, shared: int) -> int:
    """Return how many programs (thread blocks) an SM holds; the scarcest resource decides."""
    a_warp = -(-registers // _REGISTER_UNIT) * _REGISTER_UNIT * _WARP
    return min(
        _REGISTERS // (a_warp * warps),
        _SM_SHARED.get(arch, _SM_SHARED_ELSEWHERE) // (shared + _SYSTEM_BYTES),
        _SM_WARPS.get(arch, _SM_WARPS_ELSEWHERE) // warps,
        _SM_PROGRAMS.get(arch, _SM_PROGRAMS_ELSEWHERE),
    )


def count_loads(names: list[str]) -> tuple[int, int]:
    """Count the global loads of 16 bytes per thread (or of a tile), and the others."""
    loads = [name.split(".") for name in names if name.startswith(("LDG", "LDGSTS", "UTMALDG"))]
    wide = [one for one in loads if one[0] == "UTMALDG" or "128" in one]
    return len(wide), len(loads) - len(wide)


def _count(names: list[str], kinds: tuple[str, ...]) -> int:
    return sum(name.split(".")[0] in kinds for name in names)


def _cuobjdump(flag: str, path: str) -> str:
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        raise EnvironmentProblem(
            "triton is not installed", hint='python -m pip install "attnbench[torch]"'
        )
    tool = Path(spec.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    try:
        done = subprocess.run([str(tool), flag, path], capture_output=True, text=True, check=True)  # noqa: S603  Triton's own tool on our own file
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentProblem(f"{tool} {flag} failed: {error}") from error
    return done.stdout + done.stderr
