"""A suite as a file of tests: one for each case, skipped with the reasons of a run."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from attnbench.case import Case
from attnbench.errors import AttnbenchError
from attnbench.method import Measure
from attnbench.pytest_plugin.session_device import SessionDevice, device_of

_SUITE = re.compile(r"^suite\s*:", re.MULTILINE)
# Statuses that are not the backend's fault.
_SKIPS = ("unsupported", "skipped", "oom")


def is_suite(path: Path) -> bool:
    """Return whether a YAML file has a ``suite:`` key, without loading a YAML parser."""
    try:
        return _SUITE.search(path.read_text(encoding="utf-8-sig")) is not None
    except (OSError, UnicodeDecodeError):
        return False


class SuiteFile(pytest.File):
    """One suite."""

    def collect(self) -> Iterator[CaseItem]:
        """Yield a test for each case.

        Raises:
            CollectError: The suite has errors; each is reported with its place.

        """
        from attnbench.registry import Registry
        from attnbench.suite import load

        try:
            suite = load(self.path, Registry())
        except AttnbenchError as error:
            raise self.CollectError(str(error)) from None
        count = Counter(case.label for case in suite.cases)
        for case in suite.cases:
            name = case.label if count[case.label] == 1 else f"{case.label} [{case.id}]"
            yield CaseItem.from_parent(self, name=name, callobj=_test_of(case, suite.measure))


class CaseItem(pytest.Function):
    """One case as a test that asks for pytest-benchmark's fixture."""

    def place_of_skip(self, report: pytest.TestReport) -> None:
        """Report a skip at the suite, where it can be changed."""
        if report.skipped and isinstance(report.longrepr, tuple):
            report.longrepr = (str(self.path), None, report.longrepr[2])  # type: ignore[assignment]  # as pytest has it for marks

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Report the test at the suite, not at this file."""
        return self.path, 0, self.name

    def setup(self) -> None:
        """Open the device before pytest-benchmark expects to be used."""
        device_of(self.config)
        super().setup()


def _test_of(case: Case, measure: Measure) -> Any:
    def test(request: pytest.FixtureRequest, benchmark: Any) -> None:
        _try_case(case, measure, device_of(request.config), benchmark)

    return test


def _try_case(case: Case, measure: Measure, device: SessionDevice, benchmark: Any) -> None:
    """Check and time a case; report whatever ends it as a skip or a failure in one line."""
    from attnbench.measure.outcome import outcome
    from attnbench.pytest_plugin.checked_call import check_and_time

    context = device.context
    ended: tuple[str, str] | None = None
    try:
        module = context.module_of(case)
        ended = _why_not(case, measure, device)
        if ended is None:
            check_and_time(
                module,
                case.problem,
                dict(case.options),
                context,
                benchmark,
                case_id=case.id,
                case_label=case.label,
                backend=case.backend,
                backend_label=case.backend_label,
            )
    except AttnbenchError as error:
        ended = "failed", str(error)
    except Exception as error:  # noqa: BLE001  a backend may raise anything at all
        ended = outcome(error, context.driver)
        context.forget_inputs()
    context.driver.release()
    if ended is not None:
        _end(*ended)


def _why_not(case: Case, measure: Measure, device: SessionDevice) -> tuple[str, str] | None:
    """Return the status and reason if a plan for this device says that the case cannot run."""
    from attnbench.device.rates import default_ceilings
    from attnbench.planning.plan import RUN, make_plan
    from attnbench.planning.prediction import Predictor
    from attnbench.plugin import BackendDescription

    context = device.context
    module = context.module_of(case)
    backend = BackendDescription(name=case.backend, source=case.source).with_rules_of(module)
    predictor = Predictor(context.device, default_ceilings(context.device))
    plan = make_plan([case], predictor, measure, {(case.backend, case.source): backend})
    planned = plan.planned[0]
    return None if planned.status == RUN else (planned.status, planned.reason or "")


def _end(status: str, reason: str) -> NoReturn:
    text = f"{status}: {reason}"
    if status in _SKIPS:
        pytest.skip(text)
    pytest.fail(text, pytrace=False)
