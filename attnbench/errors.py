"""Every deliberate exception of attnbench, in one tree.

::

    AttnbenchError                      exit code
    ├── InputError                      2   what was typed or read is wrong
    │   ├── ProblemError                2   fields that make no attention problem
    │   ├── SuiteError                  2   a suite file; carries every fault with its place
    │   ├── OptionError                 2   a backend, option or flag that does not exist
    │   ├── ResultFileError             2   unreadable, truncated, foreign or newer file
    │   └── NameTakenError              2   an output that exists, or is being written
    ├── EnvironmentProblem              4   this machine cannot do it
    │   ├── DeviceMissing               4
    │   ├── TorchMissing                4
    │   ├── BackendImportError          4
    │   ├── OutputError                 4   not writable, disk full
    │   └── NotComparable               4   methods or devices that may not be compared
    ├── NothingSelected                 5   an empty grid, no common case
    └── Interrupted                     130
    Unsupported                         what a backend raises to say "not this problem"

Anything else that escapes is a bug of ours: exit code 70.
"""

from __future__ import annotations

from typing import ClassVar


class AttnbenchError(Exception):
    """The root: a message for people, an optional hint that says what to type, an exit code."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  {self.hint}"


class InputError(AttnbenchError):
    """What was typed or read is wrong."""

    exit_code = 2


class ProblemError(InputError):
    """Fields that make no attention problem; ``field`` names the one to change."""

    def __init__(self, message: str, *, field: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class SuiteError(InputError):
    """A suite file with one or more faults, each already rendered with its place."""

    def __init__(self, faults: list[str]) -> None:
        count = f"{len(faults)} errors" if len(faults) > 1 else ""
        super().__init__("\n".join([*faults, count] if count else faults))
        self.faults = faults


class OptionError(InputError):
    """A backend, option, name or flag that does not exist."""


class ResultFileError(InputError):
    """A result file that is unreadable, truncated, foreign or newer than this attnbench."""


class NameTakenError(InputError):
    """An output that exists already, or that another process is writing."""


class EnvironmentProblem(AttnbenchError):
    """The machine, as it is, cannot do what was asked."""

    exit_code = 4


class DeviceMissing(EnvironmentProblem):
    """No such device here."""


class TorchMissing(EnvironmentProblem):
    """The measuring half was asked for where torch is not installed."""


class BackendImportError(EnvironmentProblem):
    """A third-party backend named by the user could not be imported."""


class OutputError(EnvironmentProblem):
    """The output cannot be written; what was measured so far is kept."""


class NotComparable(EnvironmentProblem):
    """Two runs whose methods or devices may not be compared."""


class NothingSelected(AttnbenchError):
    """Nothing is left to do: an empty grid, or no common case."""

    exit_code = 5


class Interrupted(AttnbenchError):
    """The user pressed Ctrl-C; what was measured is saved."""

    exit_code = 130


class Unsupported(Exception):
    """Raised by a backend, in ``prepare`` or in the first call: it cannot do this problem.

    An answer, not an error: the row becomes ``unsupported``, never ``failed``.
    """
