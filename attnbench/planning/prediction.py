"""Predicting a case: bytes against free memory, seconds from ceilings and a calibration.

A prediction only decides whether to try a case; one that turns out slower is stopped between two
calls. So the guess errs low: it extrapolates from the largest known calls of the same (backend,
options, dtype, phase, mode) by work, where work is the time that the device's ceilings would allow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from attnbench.case import Case
from attnbench.cost import Cost, compute_cost
from attnbench.device.rates import Ceilings
from attnbench.environment import Device
from attnbench.method import Measure
from attnbench.planning.sizes import (
    ReferenceCost,
    predict_input_bytes,
    predict_output_bytes,
    reference_cost,
)
from attnbench.planning.stop_rule import MAX_SAMPLES, MIN_SAMPLES
from attnbench.problem import Problem

# Calls of a case besides its samples: first and second, profiled, warm-up, redrawn.
_OTHER_CALLS = 7
_OUTPUTS_HELD = 3  # two compared bit by bit, one being computed
_FP64_SHARE = {"cpu": 0.4, "cuda": 0.5}  # of the fp32 rate, which a reference reaches at best
_OVERHEAD_S = 0.02  # inputs, profiler and bookkeeping of the smallest case
_DRAWN_BYTES_A_SECOND = {"cpu": 3e8, "cuda": 2e10}  # seeded normal numbers
# Before calibration: how many times longer than the ceilings allow a plain backend takes.
_UNKNOWN_SLOWNESS = {"cpu": 4.0, "cuda": 3.0}

Key = tuple[object, ...]


@dataclass(slots=True)
class Predictor:
    """Predicts cases on one device; ``learn`` makes it better."""

    device: Device
    ceilings: Ceilings
    _known_calls: dict[Key, dict[float, float]] = field(default_factory=dict)

    def work_s(self, problem: Problem, cost: Cost | None = None) -> float:
        """Return the seconds that the ceilings allow for one call, as if nothing were masked."""
        cost = cost or compute_cost(problem)
        bandwidth = (self.ceilings.peak_bandwidth_gbps or 1) * 1e9
        tflops = self.ceilings.peak_tflops(problem.dtype, self.device.kind)
        flops = (tflops or self.ceilings.best_tflops or 1e-3) * 1e12
        return max(cost.flops_dense / flops, cost.min_bytes / bandwidth)

    def learn(self, case: Case, call_s: float) -> None:
        """Remember how long a call really took."""
        self._known_calls.setdefault(rate_key(case), {})[self.work_s(case.problem)] = call_s

    def call_s(self, case: Case) -> float:
        """Predict the seconds of one call from the largest known call below it.

        The slope is that between the two largest known calls. A single call may be all overhead,
        so the ceilings give the slope beyond it, as they do where no call is known.
        """
        work = self.work_s(case.problem)
        slowness = _UNKNOWN_SLOWNESS[self.device.kind]
        known = sorted(self._known_calls.get(rate_key(case), {}).items())
        if not known:
            return work * slowness
        below = [one for one in known if one[0] <= work]
        if not below:
            return known[0][1]
        last_work, last_s = below[-1]
        if len(below) > 1:
            earlier_work, earlier_s = below[-2]
            slope = (last_s - earlier_s) / (last_work - earlier_work)
            slowness = min(max(slope, 1.0), last_s / last_work)
        return last_s + (work - last_work) * slowness

    def case_s(self, case: Case, measure: Measure) -> float:
        """Predict the seconds of one case in one process, including inputs and reference."""
        call_s = self.call_s(case)
        samples = min(MAX_SAMPLES, max(MIN_SAMPLES, measure.sample_s / call_s))
        sampling_s = min(samples * call_s, max(measure.sample_s, MIN_SAMPLES * call_s))
        warmup_s = max(measure.warmup_s, 3 * call_s)
        return (
            _OVERHEAD_S
            + predict_input_bytes(case.problem) / _DRAWN_BYTES_A_SECOND[self.device.kind]
            + self._reference_s(reference_cost(case.problem))
            + warmup_s
            + sampling_s
            + _OTHER_CALLS * call_s
        )

    def _reference_s(self, cost: ReferenceCost) -> float:
        fp32 = self.ceilings.tflops.get("fp32") or self.ceilings.best_tflops or 0.05
        bandwidth = (self.ceilings.copy_gbps or self.ceilings.peak_bandwidth_gbps or 5) * 1e9
        share = _FP64_SHARE[self.device.kind]
        return cost.seconds(fp64_flops=share * fp32 * 1e12, bandwidth=bandwidth)

    def peak_bytes(self, case: Case, workspace_bytes: int = 0) -> int:
        """Predict the peak device memory of a case, in bytes."""
        reference = reference_cost(case.problem)
        held = predict_input_bytes(case.problem) + reference.kept_bytes
        held += _OUTPUTS_HELD * predict_output_bytes(case.problem)
        return held + max(reference.workspace_bytes, workspace_bytes)


def rate_key(case: Case) -> Key:
    """Return the key that two cases share if one is predicted from the other."""
    problem = case.problem
    return (case.backend, case.options, problem.dtype, problem.phase, problem.mode)
