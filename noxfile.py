"""The checks of this repository: `nox` runs the ones that every change must pass."""

from __future__ import annotations

import os

import nox

nox.options.sessions = ["lint", "types", "tests", "bare", "browser", "docs"]
nox.options.reuse_existing_virtualenvs = not os.environ.get("CI")

# Keeps the working directory off sys.path, here and in every python that a test starts, so that
# `attnbench` is the installed wheel and never the source tree.
INSTALLED_ONLY = {"PYTHONSAFEPATH": "1"}

# What runs on any machine. docs, browser and bench have their own sessions: they need idle cores.
ANYWHERE = (
    "tests",
    "--ignore=tests/docs",
    "--ignore=tests/browser",
    "--ignore=tests/bench",
    "--numprocesses=2",
    "--dist=worksteal",
    "-m",
    "not gpu and not slow",
)


def install(session: nox.Session, extras: str) -> None:
    """Build the wheel and install it with these extras, at the versions of constraints.txt."""
    session.install("--constraint", "constraints.txt", f".[{extras}]")


def pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest against the installed wheel only."""
    origin = "import attnbench; assert 'site-packages' in attnbench.__file__, attnbench.__file__"
    session.run("python", "-c", origin, env=INSTALLED_ONLY)
    session.run("pytest", *arguments, *session.posargs, env=INSTALLED_ONLY)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format and the layers of imports."""
    session.install("--constraint", "constraints.txt", "ruff", "import-linter")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-logo")


@nox.session
def types(session: nox.Session) -> None:
    """Check the package with mypy, strictly, against the real types of its libraries."""
    install(session, "torch,dev")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Test the built wheel on this machine's CPU."""
    install(session, "torch,dev")
    pytest(session, *ANYWHERE)


@nox.session
def bare(session: nox.Session) -> None:
    """Test the analysing half without torch."""
    install(session, "dev")
    pytest(session, *ANYWHERE, "--bare")


@nox.session
def browser(session: nox.Session) -> None:
    """Open reports in Chromium, one at a time; outside CI they are skipped where there is none."""
    install(session, "dev")
    pytest(session, "tests/browser")


@nox.session
def docs(session: nox.Session) -> None:
    """Run every console block of README and docs and compare its output."""
    install(session, "torch,dev")
    pytest(session, "tests/docs")


@nox.session(venv_backend="none")
def gpu(session: nox.Session) -> None:
    """Run slices of the GPU tests with the python on the PATH; arguments after -- go to them."""
    session.run("python", "tests/gpu/slice.py", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Time attnbench itself: start-up, expansion, planning, bookkeeping."""
    install(session, "torch,dev")
    pytest(session, "tests/bench", "--benchmark-only")
