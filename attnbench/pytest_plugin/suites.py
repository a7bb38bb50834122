"""A suite as a file of tests: one a case, skipped in the words that a run would use."""

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
from attnbench.pytest_plugin.place import Place, place_of

_SUITE = re.compile(r"^suite\s*:", re.MULTILINE)
# What a run counts as no fault of the backend.
_SKIPS = ("unsupported", "skipped", "oom")


def is_suite(path: Path) -> bool:
    """Whether a YAML file says that it is a suite; no YAML parser is loaded for it."""
    try:
        return _SUITE.search(path.read_text(encoding="utf-8-sig")) is not None
    except (OSError, UnicodeDecodeError):
        return False


class SuiteFile(pytest.File):
    """One suite."""

    def collect(self) -> Iterator[CaseItem]:
        """Make a test of each case.

        Raises:
            CollectError: the suite has faults; each with its place.

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
        """Let a skip stand in the suite, too: there it can be changed."""
        if report.skipped and isinstance(report.longrepr, tuple):
            report.longrepr = (str(self.path), None, report.longrepr[2])  # type: ignore[assignment]  # as pytest has it for marks

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        """Stand in the suite, not in this file."""
        return self.path, 0, self.name

    def setup(self) -> None:
        """Open the device before pytest-benchmark waits to be used."""
        place_of(self.config)
        super().setup()


def _test_of(case: Case, measure: Measure) -> Any:
    def test(request: pytest.FixtureRequest, benchmark: Any) -> None:
        _try_case(case, measure, place_of(request.config), benchmark)

    return test


def _try_case(case: Case, measure: Measure, place: Place, benchmark: Any) -> None:
    """Check and time a case; whatever ends it is a skip or a failure in one line."""
    from attnbench.measure.outcome import outcome
    from attnbench.pytest_plugin.trial import try_out

    bench = place.bench
    ended: tuple[str, str] | None = None
    try:
        module = bench.module_of(case)
        ended = _why_not(case, measure, place)
        if ended is None:
            try_out(
                module,
                case.problem,
                dict(case.options),
                bench,
                benchmark,
                case_id=case.id,
                case_label=case.label,
                backend=case.backend,
                backend_label=case.backend_label,
            )
    except AttnbenchError as error:
        ended = "failed", str(error)
    except Exception as error:  # noqa: BLE001  a backend may raise anything at all
        ended = outcome(error, bench.driver)
        bench.forget_inputs()
    bench.driver.release()
    if ended is not None:
        _end(*ended)


def _why_not(case: Case, measure: Measure, place: Place) -> tuple[str, str] | None:
    """What a plan says of the case on this device, where it says that it will not run."""
    from attnbench.device.rates import default_ceilings
    from attnbench.planning.plan import RUN, make_plan
    from attnbench.planning.prediction import Predictor
    from attnbench.plugin import BackendDescription

    bench = place.bench
    module = bench.module_of(case)
    backend = BackendDescription(name=case.backend, source=case.source).with_rules_of(module)
    predictor = Predictor(bench.device, default_ceilings(bench.device))
    plan = make_plan([case], predictor, measure, {(case.backend, case.source): backend})
    planned = plan.planned[0]
    return None if planned.status == RUN else (planned.status, planned.reason or "")


def _end(status: str, reason: str) -> NoReturn:
    text = f"{status}: {reason}"
    if status in _SKIPS:
        pytest.skip(text)
    pytest.fail(text, pytrace=False)
