"""Suites: from a YAML file to cases, with every fault of the file at its place."""

from __future__ import annotations

from attnbench.suite.load import load, loads
from attnbench.suite.shipped import find, shipped
from attnbench.suite.values import Gate, Limit, Published, Suite

__all__ = ["Gate", "Limit", "Published", "Suite", "find", "load", "loads", "shipped"]
