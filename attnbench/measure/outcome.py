"""What ends a case, and the status and reason that it leaves."""

from __future__ import annotations

import traceback
from pathlib import Path

from attnbench.device.base import Driver
from attnbench.errors import Unsupported

_REASON_LENGTH = 600


class TooSlow(Exception):
    """Between two calls it became clear that the case would take far longer than its limit."""


class Incorrect(Exception):
    """The output did not pass."""


class Implausible(Exception):
    """The latency would break a ceiling of the device."""


def outcome(error: Exception, driver: Driver) -> tuple[str, str]:
    """Turn what ended a case into its status and reason."""
    if driver.is_out_of_memory(error):
        return "oom", _first_lines(error)
    status = {
        Unsupported: "unsupported",
        TooSlow: "skipped",
        Incorrect: "incorrect",
        Implausible: "implausible",
    }.get(type(error), "failed")
    if status != "failed":
        return status, str(error)
    return status, f"{type(error).__name__}: {_first_lines(error)} ({_where(error)})"


def _first_lines(error: Exception) -> str:
    """The message on one line, cut to a readable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _REASON_LENGTH else f"{text[:_REASON_LENGTH]}…"


def _where(error: Exception) -> str:
    """File and line of the innermost frame outside torch: where its author wants to look."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [one for one in frames if f"{Path('torch')}/" not in one.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "nowhere"
