"""The process that a profiler profiles: one case, prepared and warm, called once.

``python -m attnbench.profile.target '{"case": …, "tool": "torch", "out": …}'``. Nothing of what
``run`` does around a call happens here: no check, no memory trace, no timer, no telemetry. It
reports one JSON object to the file ``answer``, or to stdout without one.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from attnbench.case import Case
from attnbench.device.base import Driver
from attnbench.errors import AttnbenchError, DeviceMissing, EnvironmentProblem, Unsupported
from attnbench.measure.calls import Prepared
from attnbench.measure.context import DeviceContext
from attnbench.measure.inputs import matmul_precision
from attnbench.measure.outcome import outcome
from attnbench.measure.probe import why_not
from attnbench.method import Measure

Json = dict[str, Any]
Capture = Callable[[Driver, Path, Json], AbstractContextManager[None]]
_WARM_CALLS = 3
_MICRO = 1e-6


@contextmanager
def under_torch(driver: Driver, out: Path, answer: Json) -> Iterator[None]:
    """Trace the block; write the Chrome trace to ``out`` and the sums to the answer."""
    from torch.profiler import ProfilerActivity, profile

    activities = [ProfilerActivity.CPU]
    if driver.kind == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities, acc_events=False) as trace:
        yield
        driver.synchronize()
    trace.export_chrome_trace(str(out))
    answer["kernels"] = list(_sums(trace, driver.kind))


def _sums(trace: Any, kind: str) -> Iterator[Json]:
    """Yield each kernel's own time; on a CPU each operator's, without what it called."""
    times: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for event in trace.events():
        # A range that the host annotated also appears on the GPU, and is not a kernel.
        if event.is_user_annotation or (event.device_type.name == "CUDA") != (kind == "cuda"):
            continue
        own_us = event.self_device_time_total if kind == "cuda" else event.self_cpu_time_total
        times[event.name] += own_us * _MICRO
        calls[event.name] += 1
    for name, total_s in times.items():
        yield {"name": name, "calls": calls[name], "total_s": total_s}


@contextmanager
def under_ncu(driver: Driver, out: Path, answer: Json) -> Iterator[None]:
    """Mark the block for a profiler outside the process."""
    import torch

    del out, answer
    _needs_cuda(driver, "ncu")
    torch.cuda.profiler.start()
    try:
        yield
        driver.synchronize()
    finally:
        torch.cuda.profiler.stop()


@contextmanager
def under_proton(driver: Driver, out: Path, answer: Json) -> Iterator[None]:
    """Profile the block with Triton's profiler, which appends its own suffix to the name."""
    _needs_cuda(driver, "proton")
    import triton.profiler as proton

    del answer
    proton.start(str(out), data="tree")
    try:
        yield
        driver.synchronize()
    finally:
        proton.finalize()
    written = out.with_name(f"{out.name}.hatchet")
    if written.exists():
        written.replace(out)


def _needs_cuda(driver: Driver, tool: str) -> None:
    if driver.kind != "cuda":
        raise EnvironmentProblem(
            f"{tool} looks at CUDA kernels, and this device is a {driver.kind}",
            hint="take --tool torch, which profiles every device",
        )


CAPTURES: dict[str, Capture] = {
    "torch": under_torch,
    "ncu": under_ncu,
    "proton": under_proton,
}


def answer_to(job: Json) -> Json:
    """Call one case once under a profiler; report the device, and what went wrong."""
    answer: Json = {"status": "ok", "reason": None}
    try:
        context = DeviceContext.open(job["device"], stage=lambda _: None)
    except DeviceMissing as error:
        return {"error": error.message, "hint": error.hint}
    answer["device"] = context.device.name
    case = Case.from_dict(job["case"])
    try:
        with matmul_precision(case.problem):
            _call_once(case, job, context, answer)
    except AttnbenchError as error:
        return {"error": error.message, "hint": error.hint}
    except Exception as error:  # noqa: BLE001  a backend may raise anything at all
        answer["status"], answer["reason"] = outcome(error, context.driver)
    return answer


def _call_once(case: Case, job: Json, context: DeviceContext, answer: Json) -> None:
    driver = context.driver
    module = context.module_of(case)
    options = dict(case.options)
    if reason := why_not(module, case.problem, context.device, options):
        raise Unsupported(reason)
    problem_inputs = context.inputs_for(case.problem)
    prepared = Prepared(module, problem_inputs.inputs, options)
    try:
        for _ in range(_WARM_CALLS):
            prepared.timed()
        method = Measure.from_dict(job["measure"]).methods(case.problem, context.device)[0]
        if method.l2 == "cold":
            context.flush()()
        driver.synchronize()
        with CAPTURES[job["tool"]](driver, Path(job["out"]), answer):
            prepared.timed()
    finally:
        with contextlib.suppress(Exception):
            prepared.teardown()


def main() -> None:
    """Run one job."""
    job = json.loads(sys.argv[1])
    text = json.dumps(answer_to(job))
    if "answer" in job:
        Path(job["answer"]).write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
