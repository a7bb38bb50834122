"""Simulated processes: the noise of methodology 4.0, from samples up to sessions.

A suite has cases of latencies between 10 µs and 10 ms; a process draws its samples and keeps their
middle-half log mean, as a measured process does. Everything is on the log scale and seeded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SAMPLES = 20
_STICKY = 0.95  # autocorrelation from one sample to the next
_FLIPS = 0.2  # how often the clock state changes, a sample
_TICK_US = 0.5
_INTERVAL_US = 100.0  # short calls are batched up to this


@dataclass(frozen=True)
class Regime:
    """Standard deviations as shares; pairs are (probability or share of cases, size)."""

    name: str
    jitter: float
    drift_in_process: float
    spikes: tuple[float, float]
    clock_states: tuple[float, float]
    process: float
    process_modes: tuple[float, float]
    session_case: float
    session: float
    drift: float
    trend: float
    disturbed: float = 0.0


QUIET = Regime(
    *("quiet", 0.003, 0.001, (0.002, 0.10), (0.02, 0.01), 0.0015, (0.02, 0.02)),
    *(0.001, 0.0015, 0.001, 0.001),
)
TYPICAL = Regime(
    *("typical", 0.01, 0.004, (0.01, 0.30), (0.10, 0.03), 0.005, (0.05, 0.03)),
    *(0.004, 0.006, 0.003, 0.003),
)
NOISY = Regime(
    *("noisy", 0.03, 0.01, (0.03, 0.50), (0.20, 0.08), 0.015, (0.10, 0.06)),
    *(0.01, 0.015, 0.01, 0.01),
)
CONTENDED = Regime(
    *("contended", 0.01, 0.004, (0.01, 0.30), (0.10, 0.03), 0.005, (0.05, 0.03)),
    *(0.004, 0.006, 0.003, 0.003, 0.15),
)
REGIMES = {one.name: one for one in (QUIET, TYPICAL, NOISY, CONTENDED)}


class Machine:
    """One machine and one suite on it; every session is drawn anew."""

    def __init__(self, regime, cases, rng):
        self.regime, self.rng = regime, rng
        self.latency_us = np.exp(rng.uniform(np.log(10.0), np.log(10_000.0), cases))
        self.noisiness = rng.lognormal(0.0, 0.5, cases)
        self.sensitivity = rng.uniform(0.3, 1.1, cases)
        self.stepping = rng.random(cases) < regime.clock_states[0]
        self.two_modes = rng.random(cases) < regime.process_modes[0]

    def session(self, slots, *, only=None):
        """Return what a session of so many process slots adds: [case, slot], and the cases."""
        one, rng = self.regime, self.rng
        cases = np.arange(len(self.latency_us)) if only is None else np.flatnonzero(only)
        return Session(self, cases, slots, rng.normal(0, one.session))


class Session:
    """A stretch of time on a machine: its shift, its drift over process slots, its trend."""

    def __init__(self, machine, cases, slots, shift):
        one, rng = machine.regime, machine.rng
        self.machine, self.cases = machine, cases
        steps = rng.normal(0, one.drift, slots)
        drift = np.empty(slots)
        drift[0] = steps[0]
        for slot in range(1, slots):
            drift[slot] = 0.8 * drift[slot - 1] + 0.6 * steps[slot]
        state = shift + drift + one.trend * np.linspace(0, rng.choice([-1, 1]), slots)
        own = rng.normal(0, one.session_case, len(cases)) * machine.noisiness[cases]
        self.added = machine.sensitivity[cases][:, None] * state + own[:, None]

    def processes(self, slots, slowdown=0.0, samples=SAMPLES):
        """Log latencies [case, slot] of processes in these slots; ``slowdown`` is log, a case."""
        return centres(self.samples(slots, slowdown, samples))

    def samples(self, slots, slowdown=0.0, samples=SAMPLES):
        """Samples in µs, [case, slot, sample]."""
        machine, rng, one = self.machine, self.machine.rng, self.machine.regime
        size = (len(self.cases), len(slots))
        noisiness = machine.noisiness[self.cases][:, None]
        process = rng.normal(0, one.process, size) * noisiness
        other_mode = machine.two_modes[self.cases][:, None] & (rng.random(size) < 0.3)
        process += other_mode * one.process_modes[1]
        process += (rng.random(len(slots)) < one.disturbed) * rng.exponential(0.15, len(slots))
        level = self.added[:, list(slots)] + process + np.broadcast_to(slowdown, size[:1])[:, None]
        within = self._within((*size, samples), noisiness[:, :, None])
        latency = machine.latency_us[self.cases][:, None, None]
        tick = _TICK_US / np.clip(np.ceil(_INTERVAL_US / latency), 1, 64)
        times = latency * np.exp(level[:, :, None] + within)
        return np.maximum(np.round(times / tick), 1) * tick

    def _within(self, size, noisiness):
        """What moves between the samples of one process."""
        machine, rng, one = self.machine, self.machine.rng, self.machine.regime
        from scipy.signal import lfilter

        start = rng.normal(0, 1, (*size[:2], 1))
        fresh = rng.normal(0, np.sqrt(1 - _STICKY**2), size)
        sticky = lfilter([1.0], [1.0, -_STICKY], fresh, axis=2, zi=_STICKY * start)[0]
        moving = rng.normal(0, one.jitter, size) + one.drift_in_process * sticky
        moving *= noisiness
        moving += (rng.random(size) < one.spikes[0]) * rng.exponential(one.spikes[1], size)
        flips = rng.random(size) < _FLIPS
        state = np.logical_xor.accumulate(flips, axis=2) ^ (rng.random((*size[:2], 1)) < 0.5)
        moving += machine.stepping[self.cases][:, None, None] * state * one.clock_states[1]
        return moving


def centres(samples):
    """Middle-half log means over the last axis, of eight samples or more."""
    ordered = np.sort(samples, axis=-1)
    n = ordered.shape[-1]
    return np.log(ordered[..., n // 4 : n - n // 4]).mean(axis=-1)


def rounds(machine, count, slowdown=0.0, *, only=None, session=None):
    """Differences [case, round] of adjacent processes, the order flipped each round (ABBA)."""
    session = machine.session(2 * count, only=only) if session is None else session
    chosen = slowdown if only is None or np.isscalar(slowdown) else slowdown[only]
    early, late = 2 * np.arange(count), 2 * np.arange(count) + 1
    flipped = np.arange(count) % 2 == 1
    base = session.processes(np.where(flipped, late, early))
    return session.processes(np.where(flipped, early, late), chosen) - base
