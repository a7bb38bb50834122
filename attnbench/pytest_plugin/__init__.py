"""pytest: the cases of a suite as tests, and a fixture for kernels of one's own.

``pytest --attnbench suites/ci.yaml`` turns each case into a test that checks the output against the
reference and then records its time through pytest-benchmark's own ``benchmark`` fixture. Without
the flag, only this file of attnbench is imported.

The tests compute in pytest's own process, because pytest-benchmark measures there: a backend that
crashes takes pytest with it, and the times are pytest-benchmark's, from one process.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from attnbench.pytest_plugin.fixture import Attention
    from attnbench.pytest_plugin.suites import SuiteFile

_MARKER = (
    "attnbench(q_len=1, kv_len=4096, …): the problem of the attnbench fixture, by the fields of a "
    "suite; a list of values makes one test for each"
)
_SUFFIXES = (".yaml", ".yml")
_INSTALL = 'python -m pip install "attnbench[torch,pytest]"'


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --attnbench and --attnbench-device."""
    group = parser.getgroup("attnbench", "attention backends, checked and timed")
    group.addoption(
        "--attnbench",
        action="store_true",
        help="collect attnbench's suites (YAML files), one test for each case",
    )
    group.addoption(
        "--attnbench-device",
        default="auto",
        metavar="auto|cpu|cuda:N",
        help="device for attnbench's tests (default: auto)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and report at once what --attnbench lacks here."""
    config.addinivalue_line("markers", _MARKER)
    if config.getoption("attnbench"):
        _require(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """Collect a suite: a YAML file that was named, or one with a ``suite:`` key."""
    if file_path.suffix not in _SUFFIXES or not parent.config.getoption("attnbench"):
        return None
    from attnbench.pytest_plugin.suites import SuiteFile, is_suite

    if not parent.session.isinitpath(file_path) and not is_suite(file_path):
        return None
    return SuiteFile.from_parent(parent, path=file_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each problem of the marker."""
    marker = metafunc.definition.get_closest_marker("attnbench")
    if marker is None or "attnbench" not in metafunc.fixturenames:
        return
    from attnbench.pytest_plugin.fixture import problems_of

    problems = problems_of(marker)
    ids = [problem.label for problem in problems]
    metafunc.parametrize("attnbench", problems, indirect=True, ids=ids)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Report the suite, not this package, as the place where a case was skipped."""
    del call
    report = yield
    if report.skipped and item.config.getoption("attnbench"):
        from attnbench.pytest_plugin.suites import CaseItem

        if isinstance(item, CaseItem):
            item.place_of_skip(report)
    return report


@pytest.fixture
def attnbench(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[Attention]:
    """Yield the inputs of the marker's problem, and a call that checks and times an output."""
    from attnbench.pytest_plugin.fixture import Attention, refuse_no_problem
    from attnbench.pytest_plugin.session_device import device_of

    _require(request.config)
    if not hasattr(request, "param"):
        benchmark(
            refuse_no_problem
        )  # called through benchmark, so that it does not warn about being unused
    device = device_of(request.config)
    yield Attention(request.param, device, benchmark)
    device.context.driver.release()


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add the device to pytest-benchmark's machine info, if it was opened."""
    from attnbench.pytest_plugin.session_device import opened

    if (device := opened(config)) is not None:
        machine_info["attnbench"] = device.to_dict()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Release what a device holds."""
    from attnbench.pytest_plugin.session_device import close

    close(config)


def _require(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("benchmark"):
        raise pytest.UsageError(f"attnbench's tests need pytest-benchmark: {_INSTALL}")
    if importlib.util.find_spec("torch") is None:
        raise pytest.UsageError(f"attnbench's tests need torch: {_INSTALL}")
