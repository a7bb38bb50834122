"""The conformance kit's declared problems: what a backend must get right before it is timed.

Which of them a backend is given follows from its ``Capabilities`` alone, so that declaring a
feature is what puts it to the proof. Known without torch; ``measure.conform`` does the work.
"""

from __future__ import annotations

from attnbench.conformance.themes import THEMES, trials_of, undeclared
from attnbench.conformance.trial import BEHAVIOURS, WAYS, Trial, subject, trial_fields

__all__ = [
    "BEHAVIOURS",
    "THEMES",
    "WAYS",
    "Trial",
    "subject",
    "trial_fields",
    "trials_of",
    "undeclared",
]
