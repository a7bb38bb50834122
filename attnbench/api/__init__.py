"""The verbs as Python functions: what a notebook or a script calls, and the command line too."""

from attnbench.api.devices import device_rates
from attnbench.api.kit import conform, subjects
from attnbench.api.loading import QUICK, load_suite
from attnbench.api.measuring import check, plan, run
from attnbench.api.profiling import profile, profile_request
from attnbench.api.sides import ab

__all__ = [
    "QUICK",
    "ab",
    "check",
    "conform",
    "device_rates",
    "load_suite",
    "plan",
    "profile",
    "profile_request",
    "run",
    "subjects",
]
