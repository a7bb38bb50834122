"""Numbers 1, 21, 22 and 28: calls that fail, read too far, or do their work elsewhere."""

from __future__ import annotations

import pytest
import torch

from attnbench.device.cpu import Cpu
from attnbench.device.fake import Fake, Script
from attnbench.execute.case_runner import shuffled
from attnbench.kv_cache import slots_of
from attnbench.problem import Problem
from attnbench.stats.summary import summarize

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("fails_from", [1, 2, 9])
def test_an_error_in_the_timed_call_leaves_a_reason_and_no_time(measured, attend, fails_from):
    device = Fake(Script())

    def prepare(inputs):
        calls = iter(range(1, 10**9))

        def call():
            if next(calls) >= fails_from:
                raise RuntimeError("misaligned address")
            device.launch(1e-3)
            return attend(inputs)

        return call

    done = measured(device, prepare)

    assert done.status == "failed"
    assert done.reason.startswith("RuntimeError: misaligned address (test_failing_calls.py:")
    assert done.samples_us == ()


@pytest.mark.parametrize("leftover", ["nothing", "the last answer"])
def test_an_error_that_the_backend_swallows_is_no_fast_call(measured, attend, leftover):
    device = Fake(Script())

    def prepare(inputs):
        kept = attend(inputs)

        def kernel():
            raise RuntimeError("out of shared memory")

        def call():
            try:
                return kernel()
            except RuntimeError:
                device.launch(1e-6)
                return None if leftover == "nothing" else kept

        return call

    done = measured(device, prepare)

    assert done.status == ("failed" if leftover == "nothing" else "incorrect")
    assert done.samples_us == ()


PAGED = Problem(
    batch=2, q_len=1, kv_len=21, q_heads=2, head_dim=8, dtype="fp32", kv_layout="paged", page_size=8
)


@pytest.mark.parametrize("reads_too_far", [False, True])
def test_reading_beyond_the_sequence_into_the_rest_of_a_page_is_incorrect(measured, reads_too_far):
    def prepare(inputs):
        def call():
            size = inputs.problem.page_size
            count = 24 if reads_too_far else 21
            slots = slots_of(inputs.page_table, inputs.kv_lens, size).view(2, 21)
            if reads_too_far:
                token = torch.arange(24)
                slots = inputs.page_table[:, token // size].long() * size + token % size
            rows = (pages.flatten(0, 1)[slots] for pages in (inputs.k_pages, inputs.v_pages))
            k, v = (one.view(2, count, 2, 8).transpose(1, 2) for one in rows)
            scores = inputs.q @ k.mT * inputs.scale
            if reads_too_far:
                scores[..., 21:] = float("-inf")  # masked afterwards: 0 times NaN is NaN
            return scores.softmax(-1) @ v

        return call

    done = measured(Cpu(), prepare, PAGED)

    assert done.status == ("incorrect" if reads_too_far else "ok"), done.reason


def test_planning_is_separated_from_running(measured, attend):
    device = Fake(Script())

    def prepare(inputs):
        device.now_s += 0.5  # a scheduler, a work plan, an autotuner

        def call():
            device.launch(1e-3)
            return attend(inputs)

        return call

    done = measured(device, prepare)

    assert done.prepare_us == pytest.approx(500_000, rel=0.01)
    assert summarize(done.samples_us).latency == pytest.approx(1000, rel=0.01)


def test_a_first_call_that_compiles_is_in_no_sample(measured, attend):
    device = Fake(Script())

    def prepare(inputs):
        calls = iter(range(10**9))

        def call():
            device.launch(2.0 if next(calls) == 0 else 1e-3)
            return attend(inputs)

        return call

    done = measured(device, prepare)

    assert done.first_call_us == pytest.approx(2e6, rel=0.01)
    assert max(done.samples_us) == pytest.approx(1000, rel=0.01)


def test_no_case_always_runs_first(planned_cases):
    firsts = {shuffled(planned_cases, 0, process)[0].case.id for process in range(30)}

    assert len(firsts) > 3


@pytest.fixture
def planned_cases():
    from attnbench.case import Case
    from attnbench.method import Method
    from attnbench.planning.plan import RUN, PlannedCase

    return [
        PlannedCase(
            case=Case(
                problem=Problem(batch=1, q_len=1, kv_len=n, q_heads=1, head_dim=8, dtype="fp32"),
                backend="naive",
            ),
            method=Method(timer="wall", l2="warm"),
            status=RUN,
            reason=None,
            predicted_bytes=1,
            predicted_s=1.0,
        )
        for n in (16, 32, 64, 128, 256)
    ]
