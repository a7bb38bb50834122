"""A page as one HTML file that opens offline: no request leaves it, no text of a file is code."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from attnbench.report import canvas, palette
from attnbench.report.model import CaseTable, Page

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_ROWS = 2000  # above it the table begins with RENDERED rows and the rest is data
RENDERED = 500

# One shape for each marker of the palette, in a box of 10 by 10.
SHAPES = {
    "o": "M5 1.5A3.5 3.5 0 1 1 4.99 1.5Z",
    "s": "M1.8 1.8H8.2V8.2H1.8Z",
    "^": "M5 1.2L9 8.4H1Z",
    "D": "M5 .8L9.2 5 5 9.2.8 5Z",
    "v": "M5 8.8L9 1.6H1Z",
    "P": "M3.6 1H6.4V3.6H9V6.4H6.4V9H3.6V6.4H1V3.6H3.6Z",
    "X": "M2.6 1L5 3.4 7.4 1 9 2.6 6.6 5 9 7.4 7.4 9 5 6.6 2.6 9 1 7.4 3.4 5 1 2.6Z",
    "<": "M1.2 5L8.4 1V9Z",
    ">": "M8.8 5L1.6 1V9Z",
    "p": "M5 .9L9.1 3.9 7.5 8.8H2.5L.9 3.9Z",
}


def render(page: Page) -> str:
    """Return the file's text."""
    rest = page.cases.rows[RENDERED:] if len(page.cases.rows) > MOST_ROWS else ()
    text: str = (
        environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            shown=page.cases.rows[: len(page.cases.rows) - len(rest)],
            rest=embedded(_columns(page.cases, rest)) if rest else None,
            total=len(page.cases.rows),
            style=_static("report.css"),
            script=_static("report.js"),
            light=Markup(palette.css_variables(0)),  # noqa: S704  our own literals
            dark=Markup(palette.css_variables(1)),  # noqa: S704  our own literals
            shapes=SHAPES,
        )
    )
    return text


def embedded(value: Any) -> Markup:
    """Return JSON that may stand in a script element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704  escaped on the lines above


def _columns(table: CaseTable, rows: tuple[tuple[tuple[str, Any], ...], ...]) -> list[Any]:
    """Rows as columns: a text column is a list, a number column is texts and values."""
    columns = []
    for place, column in enumerate(table.columns):
        texts = [row[place][0] for row in rows]
        values = [row[place][1] for row in rows] if column.is_number else None
        columns.append({"t": texts, "v": values})
    return columns


@cache
def environment() -> Environment:
    """Return the templates; every value is escaped, and an unknown one is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("attnbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["json_text"] = canvas.escaped
    return made


def _visible(value: Any) -> Any:
    """A name from a file must not turn the sentence that it stands in; markup is our own."""
    return canvas.visible(value) if type(value) is str else value


def _static(name: str) -> Markup:
    """Return a file of the package; it is ours, and goes in as it is."""
    path = resources.files("attnbench.report").joinpath("static", name)
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704
