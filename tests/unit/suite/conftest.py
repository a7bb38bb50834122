"""A catalogue that knows a few backends without any of them, and two ways to load a text."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from attnbench.errors import OptionError, SuiteError
from attnbench.plugin import BackendDescription, OptionSpec
from attnbench.suite import loads

KERNELS = ("auto", "math", "flash", "efficient", "cudnn")
OPTIONS = {
    "naive": (OptionSpec(name="upcast", default=False),),
    "sdpa": (OptionSpec(name="kernel", default="auto", choices=KERNELS),),
    "tuned": (
        OptionSpec(name="block", default=64),
        OptionSpec(name="share", default=0.5),
        OptionSpec(name="splits", default=None),
        OptionSpec(name="path", default="a"),
        OptionSpec(name="stages", default=2, choices=(1, 2, 3)),
    ),
}


class FakeCatalogue:
    """Looks up the three backends above, and any file without options."""

    def describe(
        self, reference: str, *, folder: Path, name: str | None = None
    ) -> BackendDescription:
        if reference.endswith(".py"):
            path = folder / reference
            if "missing" in reference:
                raise OptionError(f"no such file: {reference}")
            return BackendDescription(name=name or path.stem, source=str(path))
        if reference not in OPTIONS:
            close = difflib.get_close_matches(reference, OPTIONS)
            hint = f"did you mean {close[0]!r}?" if close else None
            raise OptionError(f"unknown backend {reference!r}", hint=hint)
        options = {one.name: one for one in OPTIONS[reference]}
        return BackendDescription(name=reference, source="built in", options=options)


@pytest.fixture
def catalogue():
    return FakeCatalogue()


@pytest.fixture
def loaded(catalogue):
    """Load a text as ``suites/x.yaml``."""

    def load_it(text, **words):
        return loads(text, "suites/x.yaml", Path("suites"), catalogue, **words)

    return load_it


@pytest.fixture
def faults(loaded):
    """Return what is said of a text with faults."""

    def faults_of(text, **words):
        with pytest.raises(SuiteError) as caught:
            loaded(text, **words)
        return str(caught.value)

    return faults_of
