"""A third-party library that a backend is an adapter of: is it here, and what does it refuse.

Nothing is imported until a worker asks: whether a library is installed, and in which version, is
read from its distribution's metadata.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from types import ModuleType
from typing import Any

from attnbench.errors import Unsupported

_LONGEST_REASON = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library by its module and its distribution.

    ``install`` is what to type or do where it is missing. ``checked`` is the version whose
    signatures stand in ``adapters/``. ``refusals`` are pieces of the messages, or names of the
    exception classes, by which the library says that it cannot do a problem.
    """

    module: str
    distribution: str
    install: str
    checked: str
    refusals: tuple[str, ...] = ()

    def version(self) -> str | None:
        """Return the installed version; None where the library is not installed."""
        try:
            return metadata.version(self.distribution)
        except metadata.PackageNotFoundError:
            return None

    def why_not(self) -> str | None:
        """Say that the library is missing and how to install it; None where it is here."""
        if self.version() is not None:
            return None
        return f"{self.distribution} is not installed: {self.install}"

    def load(self) -> ModuleType:
        """Import the library; a worker does, in ``prepare``.

        Raises:
            Unsupported: it is not installed.
            ImportError: it is, and cannot be imported.

        """
        if reason := self.why_not():
            raise Unsupported(reason)
        return importlib.import_module(self.module)

    def translate_errors(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Wrap a call so that the library's own refusal is raised as ``Unsupported``.

        Args:
            call: what runs the library; errors that are not refusals pass through unchanged.

        """

        def translated() -> Any:
            try:
                return call()
            except (RuntimeError, ValueError, AssertionError) as error:
                if not self.is_refusal(error):
                    raise
                raise Unsupported(self._reason(error)) from error

        return translated

    def is_refusal(self, error: BaseException) -> bool:
        """Tell a refusal from a fault: NotImplementedError, or what ``refusals`` names."""
        if isinstance(error, NotImplementedError):
            return True
        names = {one.__name__ for one in type(error).__mro__}
        return any(one in names or one in str(error) for one in self.refusals)

    def _reason(self, error: BaseException) -> str:
        said = " ".join(str(error).split()) or type(error).__name__
        return f"{self.distribution}: {said[:_LONGEST_REASON]}"
