"""Shares on the command line: ``3%`` and ``0.03`` are the same."""

from __future__ import annotations

from typing import Any

import click


class Share(click.ParamType[float]):
    """``3%`` or ``0.03``."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read a share as a suite reads it."""
        from attnbench.suite.readers import ValueFault, share

        if isinstance(value, float):
            return value
        name = (param.name or "it") if param else "it"
        try:
            return share(name, _number(value))
        except ValueFault as fault:
            advice = f"; {fault.advice}" if fault.advice else ""
            self.fail(f"{fault.message}{advice}", param, ctx)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
