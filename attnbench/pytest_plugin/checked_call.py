"""One call in a test: check it, time it with pytest-benchmark, and check it with another q.

Check, reference and redrawn inputs are those of a run; only the timing is pytest-benchmark's.
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


def check_and_time(
    module: ModuleType,
    problem: Problem,
    options: dict[str, Any],
    context: DeviceContext,
    benchmark: Any,
    **facts: Any,
) -> None:
    """Check a backend on a problem and record its time; ``facts`` go into the benchmark's file.

    Raises:
        Incorrect: The output did not pass, at first or after an input was redrawn.
        Exception: Whatever the backend raises.

    """
    with matmul_precision(problem):
        prepared, result = _prepared(module, problem, options, context, benchmark)
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
            benchmark(_timed(prepared, context))
            _recheck(prepared, context, problem)
        finally:
            prepared.teardown()


def _prepared(
    module: ModuleType,
    problem: Problem,
    options: dict[str, Any],
    context: DeviceContext,
    benchmark: Any,
) -> tuple[Prepared, CheckResult]:
    """Prepare and check before anything is timed."""
    __tracebackhide__ = True
    prepared: Prepared | None = None
    try:
        shared = context.inputs_for(problem)
        prepared = Prepared(module, shared.inputs, options)
        return prepared, _passed(check(prepared.outputs(), shared.reference()))
    except Exception as error:
        if prepared is not None:
            prepared.teardown()
        # Raised inside benchmark, it records nothing and does not warn about being unused.
        benchmark(_raising(error))
        raise


def _raising(error: Exception) -> Any:
    def call() -> None:
        raise error

    return call


def _timed(prepared: Prepared, context: DeviceContext) -> Any:
    """Return the call with a synchronisation, without which a GPU call is only a launch."""
    if context.driver.kind == "cpu":
        return prepared.timed
    synchronize = context.driver.synchronize

    def call() -> None:
        prepared.timed()
        synchronize()

    return call


def _recheck(prepared: Prepared, context: DeviceContext, problem: Problem) -> None:
    """Redraw an input in place and check again, which catches cached results."""
    shared = context.inputs_for(problem)
    redraw(shared.inputs, prepared.redrawn)
    like = shared.reference()
    again = check(prepared.outputs(), Reference.few_rows(shared.inputs, like=like))
    redraw(shared.inputs, prepared.redrawn, back=True)
    _passed(again, f"after {prepared.redrawn} was drawn again: ")
    if checksum(shared.inputs) != shared.checksum:
        context.forget_inputs()
        raise Incorrect("the call wrote its inputs")


def _passed(result: CheckResult, when: str = "") -> CheckResult:
    if not result.passed:
        raise Incorrect(f"{when}{result.reason}")
    return result
