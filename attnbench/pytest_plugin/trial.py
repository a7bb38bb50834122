"""One call in a test: check it, let pytest-benchmark time it, and check it on another q.

The same check, reference and redraw as in a run of attnbench; the timing is pytest-benchmark's.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from attnbench.analysis.export.pytest_benchmark import KEY
from attnbench.measure.calls import Prepared
from attnbench.measure.check import CheckResult, check
from attnbench.measure.inputs import checksum, matmul_precision, redraw
from attnbench.measure.outcome import Incorrect
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

if TYPE_CHECKING:
    from attnbench.measure.context import DeviceContext


def try_out(
    module: ModuleType,
    problem: Problem,
    options: dict[str, Any],
    bench: DeviceContext,
    benchmark: Any,
    **facts: Any,
) -> None:
    """Check a backend on a problem and record its time; ``facts`` go into the benchmark's file.

    Raises:
        Incorrect: the output did not pass, at first or after an input was drawn again.
        Exception: whatever the backend raises.

    """
    with matmul_precision(problem):
        prepared, result = _prepared(module, problem, options, bench, benchmark)
        try:
            benchmark.group = problem.label
            benchmark.extra_info[KEY] = {
                **{name: value for name, value in problem.fields().items() if value is not None},
                "problem_id": problem.id,
                "phase": problem.phase,
                "group_size": problem.group_size,
                "error_rel": result.error_rel,
                "error_ratio": result.error_ratio,
                **facts,
            }
            benchmark(_timed(prepared, bench))
            _recheck(prepared, bench, problem)
        finally:
            prepared.teardown()


def _prepared(
    module: ModuleType,
    problem: Problem,
    options: dict[str, Any],
    bench: DeviceContext,
    benchmark: Any,
) -> tuple[Prepared, CheckResult]:
    """Prepare and check before anything is timed."""
    __tracebackhide__ = True
    prepared: Prepared | None = None
    try:
        shared = bench.inputs_for(problem)
        prepared = Prepared(module, shared.inputs, options)
        return prepared, _passed(check(prepared.outputs(), shared.reference()))
    except Exception as error:
        if prepared is not None:
            prepared.teardown()
        # Seen by pytest-benchmark, it records nothing, and does not complain that it was not used.
        benchmark(_raising(error))
        raise


def _raising(error: Exception) -> Any:
    def call() -> None:
        raise error

    return call


def _timed(prepared: Prepared, bench: DeviceContext) -> Any:
    """The call with a synchronisation behind it: without one a GPU's would be a launch alone."""
    if bench.driver.kind == "cpu":
        return prepared.timed
    synchronize = bench.driver.synchronize

    def call() -> None:
        prepared.timed()
        synchronize()

    return call


def _recheck(prepared: Prepared, bench: DeviceContext, problem: Problem) -> None:
    """Draw an input again in place: a call that remembered its answer is found out."""
    shared = bench.inputs_for(problem)
    redraw(shared.inputs, prepared.redrawn)
    like = shared.reference()
    again = check(prepared.outputs(), Reference.few_rows(shared.inputs, like=like))
    redraw(shared.inputs, prepared.redrawn, back=True)
    _passed(again, f"after {prepared.redrawn} was drawn again: ")
    if checksum(shared.inputs) != shared.checksum:
        bench.forget_inputs()
        raise Incorrect("the call wrote its inputs")


def _passed(result: CheckResult, when: str = "") -> CheckResult:
    if not result.passed:
        raise Incorrect(f"{when}{result.reason}")
    return result
