"""The conformance kit in the tests of a backend's author.

::

    import pytest
    from attnbench.testing import conformance

    @pytest.mark.parametrize("trial", conformance("./my_attn.py"))
    def test_my_attn_is_right(trial):
        trial.check()

The trials are those of ``attnbench check ./my_attn.py``, and run as they do there: in a worker, so
that a kernel that crashes fails one test, interpreted where a Triton kernel finds no GPU.
"""

from __future__ import annotations

import atexit
import shlex
import unittest
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.conformance import Trial
    from attnbench.execute.conformance import Examiner, TrialDone

__all__ = ["ConformanceTrial", "conformance"]


@dataclass(frozen=True, slots=True)
class ConformanceTrial:
    """One small problem that a backend must get right; pytest shows it by its ``__name__``."""

    trial: Trial
    _examiner: Examiner = field(repr=False, compare=False)
    _target: str = field(repr=False, compare=False)

    @property
    def __name__(self) -> str:
        """``masks: prefill 2q65 4/2x64 fp32 causal``, with dashes where there are blanks."""
        return f"{self.trial.theme} {self.trial.label}".replace(" · ", " ").replace(" ", "-")

    @property
    def theme(self) -> str:
        """What the trial stands for: masks, paged, gradients."""
        return self.trial.theme

    def check(self) -> TrialDone:
        """Put the backend to this trial and return what came of it, errors included.

        Raises:
            AssertionError: it is wrong, failed, crashed or hung; with the command that repeats it.
            unittest.SkipTest: the backend, or this machine, cannot do the problem; it says why.

        """
        done = self._examiner.examine(self.trial)
        if done.status == "ok":
            return done
        if not done.is_bad:
            raise unittest.SkipTest(f"{done.status}: {done.reason}")
        again = shlex.join(["attnbench", "check", self._target, "-k", self.trial.filter])
        raise AssertionError(f"{self.trial.label}\n{done.status}: {done.reason}\nagain: {again}")


def conformance(
    backend: str | Path, *, device: str = "auto", filter: str | None = None
) -> list[ConformanceTrial]:
    """Return the trials of a backend, as its capabilities declare them.

    Args:
        backend: a name, a label (``sdpa[kernel=math]``) or a file, seen from the working directory.
        device: auto, cpu or cuda:N.
        filter: a filter over the trials: ``theme=paged``, ``way=strided``, ``kv_len>100``.

    Raises:
        AttnbenchError: no such backend, one that cannot be imported, a filter that picks nothing,
            no torch.

    """
    from attnbench import api
    from attnbench.execute.conformance import Examiner, picked

    (subject,) = api.backend_cases((str(backend),))
    examiner = Examiner(subject, device)
    atexit.register(examiner.close)
    trials = picked(examiner.trials, filter, subject)
    return [ConformanceTrial(one, examiner, str(backend)) for one in trials]
