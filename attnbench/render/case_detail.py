"""One case in full: samples, notes, machine, and the command that measures it again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from attnbench.render.glossary import NOTES, STATUSES
from attnbench.units import bytes_text, flops_text, rate_text, significant, time_text

if TYPE_CHECKING:
    from attnbench.analysis.cases import CaseResult
    from attnbench.render.screen import Screen

_NAMES = 9  # width of the names on the left
_BARS = "▁▂▃▄▅▆▇█"
_BINS = 8
_BAR_WIDTH = 40


def show_case(one: CaseResult, screen: Screen) -> None:
    """Print everything that a run knows about one case."""
    row = next((one_row for one_row in one.rows if one_row["status"] == one.status), one.rows[0])
    for name, text in (*_outcome(one, row), *_figures(one, row), *_notes(one)):
        screen.line(f"{name:<{_NAMES}} {text}")
    samples = [row for row in one.rows if row["samples_us"]]
    if samples:
        screen.line()
        for line in sample_lines(samples):
            screen.line(line)
    screen.line()
    for name, text in _environment(row):
        screen.line(f"{name:<{_NAMES}} {text}")


def sample_lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sparkline of each process's samples, then a histogram of all samples in µs."""
    for row in rows:
        samples = row["samples_us"]
        latency = f"{time_text(row['latency_us'] / 1e6):>9}  {len(samples):>4} samples"
        yield f"process {row['process']:<2} {latency}  {sparkline(samples)}"
    yield ""
    bins = list(histogram([one for row in rows for one in row["samples_us"]]))
    step = bins[0][1] - bins[0][0]
    # As many digits as distinguish two adjacent bins.
    digits = max(0, 1 - math.floor(math.log10(step))) if step > 0 else 1
    ends = [(f"{low:.{digits}f}", f"{high:.{digits}f}") for low, high, _, _ in bins]
    width = max(len(text) for pair in ends for text in pair)
    for (low, high), (_, _, count, bar) in zip(ends, bins, strict=True):
        yield f"  {low:>{width}} to {high:>{width}} µs  {count:>5}  {bar}".rstrip()


def _outcome(one: CaseResult, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "case", one.label
    yield "id", f"{one.case_id} (problem {row['problem_id']})"
    yield "status", f"{one.status}: {STATUSES[one.status]}"
    if one.reason:
        yield "reason", one.reason.replace("\n", "\n" + " " * (_NAMES + 1))
    if (latency := one.latency) is not None:
        text = f"{time_text(latency.seconds)} over {latency.processes} "
        text += "process" if latency.processes == 1 else "processes"
        if latency.low is not None and latency.high is not None:
            text += f", 95 % interval {time_text(latency.low)} to {time_text(latency.high)}"
        yield "latency", text
    if one.timing:
        ended = f", sampling ended by {row['stop_reason']}" if row["stop_reason"] else ""
        yield "timing", f"{one.timing}{_calls(one.rows)}{ended}"


def _calls(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say how many calls a sample averages, unless it is one in every process."""
    counts = {row["calls_per_sample"] or 1 for row in rows if row["samples_us"]}
    if counts <= {1}:
        return ""
    return (
        f", {' to '.join(str(one) for one in sorted({min(counts), max(counts)}))} calls per sample"
    )


def _figures(one: CaseResult, row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if one.latency is not None:
        seconds = one.latency.seconds
        parts = [rate_text(row["min_bytes"] / seconds), flops_text(row["flops"] / seconds)]
        if row["bound"]:
            parts.append(f"{row['bound']} bound")
        yield "rates", ", ".join(parts)
    if row["peak_bandwidth_gbps"] or row["peak_tflops"]:
        bandwidth = rate_text((row["peak_bandwidth_gbps"] or 0) * 1e9)
        flops = flops_text((row["peak_tflops"] or 0) * 1e12)
        yield "ceilings", f"{bandwidth}, {flops} ({row['ceilings_source']})"
    if row["peak_bytes"] is not None:
        named = ("input", "prepared", "workspace", "output")
        sizes = [f"{name} {bytes_text(row[f'{name}_bytes'] or 0)}" for name in named]
        yield "memory", f"peak {bytes_text(row['peak_bytes'])}: {', '.join(sizes)}"
    yield from _cache_and_launch(row)
    if row["check"]:
        text = row["check"]
        if row["error_rel"] is not None:
            text += f", error {significant(row['error_rel'])}"
        if row["error_ratio"] is not None:
            text += f", {significant(row['error_ratio'])} x that of plain PyTorch"
        yield "check", text
    if row["kernels"]:
        yield "kernels", ", ".join(row["kernels"])


def _cache_and_launch(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say how much memory a call touches, and how long the host takes to launch it."""
    if row["llc_bytes"] and row["input_bytes"] is not None:
        working_set = row["input_bytes"] + (row["output_bytes"] or 0)
        text = f"{bytes_text(working_set)} touched, "
        text += f"{significant(working_set / row['llc_bytes'])} x the last-level cache"
        if row["flush_bytes"]:
            text += f"; {bytes_text(row['flush_bytes'])} read before a call finds it again"
        yield "cache", text
    if row["launch_overhead_us"] is not None:
        yield "launch", f"{time_text(row['launch_overhead_us'] / 1e6)} of host time per call"


def _notes(one: CaseResult) -> Iterator[tuple[str, str]]:
    for number, code in enumerate(one.notes):
        yield "" if number else "notes", f"{code}: {NOTES[code]}"


def _environment(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    device = [row["device_name"], row["device_arch"], row["driver"] and f"driver {row['driver']}"]
    yield "device", ", ".join(filter(None, device))
    stack = [
        f"{name} {row[column]}"
        for name, column in (
            ("torch", "torch_version"),
            ("triton", "triton_version"),
            ("cuda", "cuda"),
            ("python", "python"),
            ("threads", "threads"),
        )
        if row[column]
    ]
    yield "stack", ", ".join(stack)
    if row["git_commit"]:
        dirty = " with changes" if row["git_dirty"] else ""
        yield "commit", f"{row['git_commit'][:12]}{dirty}"
    source = row["backend_source"] or "built in"
    version = f" {row['backend_version']}" if row["backend_version"] else ""
    yield "backend", f"{row['backend_label']}, {source}{version}"
    if row["repro"]:
        yield "again", row["repro"]


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """Draw values in order as one line; with more than ``width`` values, each mark is a mean."""
    count = min(width, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    if span == 0:
        return _BARS[0] * count
    return "".join(
        _BARS[min(int((one - low) / span * len(_BARS)), len(_BARS) - 1)] for one in means
    )


def histogram(
    values: Sequence[float], bins: int = _BINS
) -> Iterator[tuple[float, float, int, str]]:
    """Yield the two ends of each bin, the number of values in it, and a bar of that length."""
    low, high = min(values), max(values)
    if low == high:
        yield low, high, len(values), "█" * _BAR_WIDTH
        return
    step = (high - low) / bins
    counts = [0] * bins
    for one in values:
        counts[min(int((one - low) / step), bins - 1)] += 1
    for index, count in enumerate(counts):
        bar = "█" * round(_BAR_WIDTH * count / max(counts))
        yield low + index * step, low + (index + 1) * step, count, bar
