"""Which view a run gets: JSON for a program, redrawn on a terminal, line by line in a log."""

from __future__ import annotations

import os

import click

from attnbench.cli.json_events import JsonView
from attnbench.cli.live import LiveView
from attnbench.cli.plain import PlainView
from attnbench.cli.screen import talk
from attnbench.cli.summary import Shown

View = JsonView | LiveView | PlainView


def view_of(shown: Shown, *, as_json: bool) -> View:
    """Return the listener for a run; stdout stays free for data."""
    if as_json:
        return JsonView(click.echo, shown.name)
    screen = talk()
    if screen.live:
        return LiveView(screen, shown)
    return PlainView(screen, shown, folds=os.environ.get("GITHUB_ACTIONS") == "true")
