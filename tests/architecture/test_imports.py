"""What an import may cost: each is tried in a fresh python, because this one has imported much."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "attnbench"
MEASURING = {"torch", "triton"}
HEAVY = {*MEASURING, "matplotlib", "numpy", "pandas", "pyarrow", "pydantic", "scipy", "seaborn"}
# The packages that work on a laptop or in a CI job without torch.
ANALYSING_PACKAGES = ("analysis", "cli", "render", "report", "stats", "store", "suite")


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh python holds after the statement."""
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr

    return set(done.stdout.split())


def analysing_modules() -> list[str]:
    """Every module of the analysing half: the single files at the top, and its packages."""
    files = [*PACKAGE.glob("*.py")]
    files += [file for name in ANALYSING_PACKAGES for file in (PACKAGE / name).rglob("*.py")]
    names = [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files]
    return sorted(name.removesuffix(".__init__") for name in names)


def test_the_package_itself_imports_nothing_heavy():
    assert modules_after("import attnbench") & HEAVY == set()


def test_the_command_line_imports_nothing_heavy_before_a_verb_is_known():
    assert modules_after("import attnbench.cli.app") & HEAVY == set()


@pytest.mark.parametrize(
    "module", ["attnbench.suite", "attnbench.store", "attnbench.execute.runner"]
)
def test_the_parent_process_runs_without_torch(module):
    assert modules_after(f"import {module}") & MEASURING == set()


def test_no_module_of_the_analysing_half_imports_torch():
    modules = analysing_modules()

    assert "attnbench.suite" in modules
    assert modules_after("\n".join(f"import {name}" for name in modules)) & MEASURING == set()


def test_a_backend_author_imports_nothing_heavy():
    assert modules_after("from attnbench.plugin import Capabilities, Inputs") & HEAVY == set()
