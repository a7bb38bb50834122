"""How a case's samples compare with those of trusted tools, and how long they take."""

from __future__ import annotations

import gc
import statistics
import time

import pytest
import torch

from attnbench.device.cpu import Cpu
from attnbench.measure.timers import make_timer
from attnbench.measure.warmup import warm_up
from attnbench.planning.stop_rule import Stopping
from attnbench.stats.summary import summarize

pytestmark = pytest.mark.torch

HALF_WIDTH = 0.01
# A sibling may spoil a pair: one that did not come to its half-width is not counted.
PAIRS, TRIES, PATIENCE_S = 5, 10, 5.0
AGREEMENT = 0.02


@pytest.fixture(autouse=True)
def as_in_a_worker():
    """Threads that wait for each other beside other processes take a slice of the scheduler's."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.freeze()  # as a worker does: what pytest holds is not looked through before the samples
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)


def attention(length):
    """Eight heads on themselves; 0.2 to 2 ms for 256 rows on one core, 3 to 25 ms for 1024."""
    q = torch.randn(1, 8, length, 64)
    return lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q)


def our_samples(call, patience_s=PATIENCE_S):
    """Sample as a case is sampled: (seconds of sampling, samples, why they end)."""
    driver = Cpu()
    timer = make_timer("wall", driver, call)
    warm_up(timer.sample, driver.clock_ns, 0.1)
    rule = Stopping(sample_s=patience_s, max_noise=HALF_WIDTH, limit_s=patience_s)
    began = time.perf_counter()
    samples, stop = rule.take(timer.sample, driver.clock_ns)
    return time.perf_counter() - began, samples, stop


def torchs_seconds(call):
    """Seconds until adaptive_autorange's samples give the same half-width; None if they never do.

    Each round asks for twice the time of the one before, and all samples count.
    """
    from torch.utils.benchmark import Timer

    timer = Timer(stmt="call()", globals={"call": call})
    for _ in range(20):
        call()
    times, least_s, began = [], 0.01, time.perf_counter()
    while (spent_s := time.perf_counter() - began) < PATIENCE_S:
        times += timer.adaptive_autorange(min_run_time=least_s).times
        noise = summarize(times).noise if len(times) > 1 else None
        if noise is not None and noise < HALF_WIDTH:
            return time.perf_counter() - began
        least_s *= 2
    return spent_s


@pytest.mark.parametrize("length", [256, 1024])
def test_one_per_cent_of_sampling_beside_adaptive_autorange(benchmark, capsys, length):
    """Print how long one per cent takes, over how long it takes torch's own tool."""
    call, ratios, theirs_s, ours_s = attention(length), [], [], []
    for _ in range(TRIES):
        took_s, samples, stop = our_samples(call)
        if stop != "precise":
            continue
        assert summarize(samples).noise < HALF_WIDTH
        ours_s.append(took_s)
        theirs_s.append(torchs_seconds(call))
        ratios.append(ours_s[-1] / theirs_s[-1])
        if len(ratios) == PAIRS:
            break
    assert ratios, "no run came to one per cent here: the machine is busy"
    ratio = statistics.median(ratios)
    benchmark.extra_info["ratio"] = ratio
    with capsys.disabled():
        print(  # noqa: T201  the figure is what this is for
            f"\n{length} rows: ours {statistics.median(ours_s):.3g} s, adaptive_autorange "
            f"{statistics.median(theirs_s):.3g} s, ratio {ratio:.2f} (median of {len(ratios)})"
        )
    benchmark.pedantic(our_samples, args=(call,), rounds=3)


@pytest.mark.parametrize("what", ["spin", "attention"])
def test_a_call_above_a_millisecond_is_read_as_pytest_benchmark_reads_it(benchmark, what):
    driver = Cpu()
    call = attention(1024) if what == "attention" else lambda: driver.spin(2e-3)
    benchmark(call)
    theirs_s = benchmark.stats.stats.median
    assert theirs_s > 1e-3

    differences = []
    for _ in range(20):  # a sibling may slow either down for a while
        _, samples, _ = our_samples(call, patience_s=0.5)
        differences.append(summarize(samples).latency / theirs_s - 1)
        if abs(differences[-1]) <= AGREEMENT:
            break
    benchmark.extra_info["difference"] = differences[-1]
    assert abs(differences[-1]) <= AGREEMENT, differences
