"""pytest: the cases of a suite as tests, and a fixture for kernels of one's own.

``pytest --attnbench suites/ci.yaml`` turns each case into a test that checks the output against the
reference and then records its time through pytest-benchmark's own ``benchmark`` fixture. Without
the flag nothing of attnbench is imported but this file.

The tests compute in pytest's own process, because that is where pytest-benchmark takes its time: a
backend that crashes takes pytest with it, and the figures are pytest-benchmark's, of one process.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from attnbench.pytest_plugin.own import Attention
    from attnbench.pytest_plugin.suites import SuiteFile

_MARKER = (
    "attnbench(q_len=1, kv_len=4096, …): the problem that the attnbench fixture is about, by the "
    "fields of a suite; a list of values makes a test of each"
)
_SUFFIXES = (".yaml", ".yml")
_INSTALL = 'python -m pip install "attnbench[torch,pytest]"'


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --attnbench and --attnbench-device."""
    group = parser.getgroup("attnbench", "attention backends, checked and timed")
    group.addoption(
        "--attnbench",
        action="store_true",
        help="collect attnbench's suites (YAML files) too: a test for each case",
    )
    group.addoption(
        "--attnbench-device",
        default="auto",
        metavar="auto|cpu|cuda:N",
        help="where attnbench's tests compute (default: auto)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and say at once what --attnbench lacks here."""
    config.addinivalue_line("markers", _MARKER)
    if config.getoption("attnbench"):
        _require(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> SuiteFile | None:
    """Collect a suite: a YAML file that was named, or one that says it is a suite."""
    if file_path.suffix not in _SUFFIXES or not parent.config.getoption("attnbench"):
        return None
    from attnbench.pytest_plugin.suites import SuiteFile, is_suite

    if not parent.session.isinitpath(file_path) and not is_suite(file_path):
        return None
    return SuiteFile.from_parent(parent, path=file_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each problem that the marker spans."""
    marker = metafunc.definition.get_closest_marker("attnbench")
    if marker is None or "attnbench" not in metafunc.fixturenames:
        return
    from attnbench.pytest_plugin.own import problems_of

    problems = problems_of(marker)
    ids = [problem.label for problem in problems]
    metafunc.parametrize("attnbench", problems, indirect=True, ids=ids)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the suite, not this package, as the place where a case was skipped."""
    del call
    report = yield
    if report.skipped and item.config.getoption("attnbench"):
        from attnbench.pytest_plugin.suites import CaseItem

        if isinstance(item, CaseItem):
            item.place_of_skip(report)
    return report


@pytest.fixture
def attnbench(request: pytest.FixtureRequest, benchmark: Any) -> Iterator[Attention]:
    """The inputs of the marker's problem, and a call that checks an output and records its time."""
    from attnbench.pytest_plugin.own import Attention, refuse_no_problem
    from attnbench.pytest_plugin.place import place_of

    _require(request.config)
    if not hasattr(request, "param"):
        benchmark(refuse_no_problem)  # through it, so that it does not complain of being unused
    place = place_of(request.config)
    yield Attention(request.param, place, benchmark)
    place.bench.driver.release()


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Say which device the figures are of, where it was opened."""
    from attnbench.pytest_plugin.place import opened

    if (place := opened(config)) is not None:
        machine_info["attnbench"] = place.to_dict()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give back what a device holds."""
    from attnbench.pytest_plugin.place import close

    close(config)


def _require(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("benchmark"):
        raise pytest.UsageError(f"attnbench's tests need pytest-benchmark: {_INSTALL}")
    if importlib.util.find_spec("torch") is None:
        raise pytest.UsageError(f"attnbench's tests need torch: {_INSTALL}")
