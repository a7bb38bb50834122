"""Over how many programs a sequence's keys are cut: a cost model of the device, no fixed threshold.

A program takes as long as its tiles take at its share of the bandwidth; in the last wave each has
more of it; more splits mean more partial results to write and read, and a second kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.kernels.launch import Target

MAX_SPLITS = 128
# Orders of magnitude, to be calibrated on a device: seconds that a program and the combine take
# beside their bytes, and bytes/s that one SM can take in (64 bytes a clock are its limit; what
# is in flight over the latency of memory is lower).
_PROGRAM_S, _COMBINE_S = 1.2e-6, 1.5e-6
_SM_BANDWIDTH = 50e9
_FP32_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitProblem:
    """What the choice hangs on.

    ``programs`` without splitting (requests · KV heads · row tiles), ``tiles`` of the longest
    sequence, ``tile_bytes`` of K and V together, ``resident`` programs an SM holds, ``rows`` and
    ``v_dim`` of the output.
    """

    programs: int
    tiles: int
    tile_bytes: int
    resident: int
    rows: int
    v_dim: int


def choose_splits(problem: SplitProblem, target: Target) -> int:
    """Return the number of splits with the smallest predicted time; the smaller where equal."""
    most = max(1, min(MAX_SPLITS, problem.tiles // 2))
    return min(_useful(problem.tiles, most), key=lambda one: predict_seconds(problem, target, one))


def predict_seconds(problem: SplitProblem, target: Target, splits: int) -> float:
    """Predict the time of decode and combine in seconds; good for comparing, not for quoting."""
    program_bytes = -(-problem.tiles // splits) * problem.tile_bytes
    full, rest = divmod(problem.programs * splits, target.sms * problem.resident)
    seconds = full * _wave_seconds(target.sms * problem.resident, program_bytes, target)
    if rest:
        seconds += _wave_seconds(rest, program_bytes, target)
    if splits == 1:
        return seconds
    partial_bytes = 2 * _FP32_BYTES * problem.rows * splits * (problem.v_dim + 1)
    return seconds + _COMBINE_S + partial_bytes / target.bandwidth


def _wave_seconds(programs: int, program_bytes: int, target: Target) -> float:
    """Time of programs that run at once; a few have more bandwidth each, up to what an SM takes."""
    an_sm = -(-programs // target.sms)
    rate = min(target.bandwidth / programs, _SM_BANDWIDTH / an_sm)
    return program_bytes / rate + _PROGRAM_S


def _useful(tiles: int, most: int) -> list[int]:
    """Split counts that give a program fewer tiles than the next smaller one does."""
    found, before = [], 0
    for splits in range(1, most + 1):
        longest = -(-tiles // splits)
        if longest != before:
            found.append(splits)
        before = longest
    return found
