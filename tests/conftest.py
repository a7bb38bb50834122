"""What all tests share: golden texts, the half without torch, the GPU that may be absent."""

from __future__ import annotations

import ast
import importlib.util
import os
from pathlib import Path

import pytest

GOLDENS = Path(__file__).parent / "golden" / "data"
REHEARSAL = "ATTNBENCH_REHEARSAL"


def pytest_addoption(parser):
    group = parser.getgroup("attnbench")
    group.addoption(
        "--update-goldens",
        action="store_true",
        help="write what the tests produced over tests/golden/data, to be read as a diff",
    )
    group.addoption(
        "--bare",
        action="store_true",
        help="test the analysing half alone: leave out what is marked torch, and refuse to run "
        "where torch can be imported",
    )


def pytest_configure(config):
    _settle_hypothesis(brief=config.getoption("--bare"))
    if config.getoption("--bare") and importlib.util.find_spec("torch") is not None:
        raise pytest.UsageError("--bare proves nothing here: torch can be imported")


def _settle_hypothesis(*, brief):
    """Let no property fail for being slow; what another session tries in full is tried in brief."""
    if importlib.util.find_spec("hypothesis") is None:
        return  # a machine with a GPU need not have it
    from hypothesis import settings

    settings.register_profile("full", deadline=None)
    settings.register_profile("brief", deadline=None, max_examples=10)
    settings.load_profile("brief" if brief else "full")


def pytest_pycollect_makemodule(module_path, parent):
    """Let a module marked torch be a skip with a reason, before its imports can fail."""
    if parent.config.getoption("--bare") and _is_marked_torch(module_path):
        return LeftOut.from_parent(parent, path=module_path)
    return None


class LeftOut(pytest.Module):
    """A test module that this session cannot import."""

    def collect(self):
        pytest.skip(f"{self.nodeid} needs torch", allow_module_level=True)


def pytest_report_header():
    spec = importlib.util.find_spec("attnbench")
    return f"attnbench: {spec.origin if spec else 'not installed'}"


def pytest_runtest_setup(item):
    if item.get_closest_marker("torch") and item.config.getoption("--bare"):
        pytest.skip("needs torch")
    marker = item.get_closest_marker("gpu")
    # A rehearsal of what waits for a GPU: tests/gpu/conftest.py says what it is worth.
    rehearsed = marker and marker.kwargs.get("rehearsable") and os.environ.get(REHEARSAL)
    if marker and not rehearsed:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Keep measured ceilings out of the user's cache; all tests of a session share one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def golden(request):
    """Compare a text with tests/golden/data/NAME.txt, or write it there under --update-goldens."""

    def compare(name: str, text: str) -> None:
        path = GOLDENS / f"{name}.txt"
        if request.config.getoption("--update-goldens"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden {name} yet: pytest --update-goldens writes it"

        expected = path.read_text(encoding="utf-8")

        assert text == expected

    return compare


def _is_marked_torch(path: Path) -> bool:
    """Whether a test module says ``pytestmark = pytest.mark.torch``, alone or in a list."""
    return any(
        isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "pytestmark"
        and "pytest.mark.torch" in ast.unparse(node.value)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
    )
