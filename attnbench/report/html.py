"""A page as one offline HTML file, and one figure as an SVG file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from attnbench.report import palette, svg
from attnbench.report.model import CaseTable, Figure, Key, Page, Panel

if TYPE_CHECKING:
    from jinja2 import Environment


MOST_ROWS = 2000  # a longer table renders its first RENDERED rows and embeds the rest as data
RENDERED = 500

# SVG path of each marker of the palette, in a box of 10 by 10.
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
    """Return the page as HTML text."""
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
    """Return JSON for a script element; nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return Markup(text)  # noqa: S704  escaped on the lines above


def _columns(table: CaseTable, rows: tuple[tuple[tuple[str, Any], ...], ...]) -> list[Any]:
    """Turn rows into columns: each has its texts (t) and, for numbers, its values (v)."""
    columns = []
    for place, column in enumerate(table.columns):
        texts = [row[place][0] for row in rows]
        values = [row[place][1] for row in rows] if column.is_number else None
        columns.append({"t": texts, "v": values})
    return columns


@cache
def environment() -> Environment:
    """Return the templates; values are escaped and unknown names are errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("attnbench.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["json_text"] = svg.escaped
    return made


def _visible(value: Any) -> Any:
    """Replace control characters in texts from a file; markup is our own."""
    return svg.visible(value) if type(value) is str else value


def _static(name: str) -> Markup:
    """Return a file of the package, unescaped because it is ours."""
    path = resources.files("attnbench.report").joinpath("static", name)
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704


MODES = ("light", "dark")
_WIDTH, _MARGIN, _GAP = 960.0, 20.0, 26.0
_HEADING, _TITLE, _LEGEND, _SOURCE = 34.0, 20.0, 22.0, 30.0
_LETTER, _BOLD = 6.9, 8.2  # of the legend at 12 pixels, of a title
_SIZE = re.compile(r'<svg viewBox="[^"]*" width="(\d+)" height="(\d+)" style="[^"]*"')
_VARIABLE = re.compile(r"var\(--(\w+)\)")


@dataclass(frozen=True, slots=True)
class Placed:
    """A panel or legend key at its place in a picture, in pixels from the upper left."""

    x: float
    y: float
    what: Panel | Key
    title: str = ""
    svg: Markup | None = None


def picture(figure: Figure, source: str, mode: str) -> str:
    """Return one figure as SVG text: heading, legend, panels in rows and source line.

    Colours are written out, because an image has no page whose variables it could use.

    Args:
        figure: what to draw.
        source: origin of the data, shown at the bottom.
        mode: one of ``MODES``.

    """
    legend, below = _flow_keys(figure.keys, _HEADING + _MARGIN)
    panels, bottom, right = _flow_panels(figure.panels, below)
    colours = palette.variables(MODES.index(mode))
    text = (
        environment()
        .get_template("picture.svg.j2")
        .render(
            figure=figure,
            legend=legend,
            panels=panels,
            source=source,
            width=round(max(right, 420.0) + _MARGIN),
            height=round(bottom + _SOURCE),
            margin=_MARGIN,
            shapes=SHAPES,
            with_codes=figure.name == "crossover",
        )
    )
    return _VARIABLE.sub(lambda match: colours[match[1]], text)


def _flow_keys(keys: Sequence[Key], top: float) -> tuple[list[Placed], float]:
    x, y = _MARGIN, top
    placed = []
    for key in keys:
        width = (66 if key.style else 44) + _LETTER * len(key.text)
        if x > _MARGIN and x + width > _WIDTH - _MARGIN:
            x, y = _MARGIN, y + _LEGEND
        placed.append(Placed(x, y, key))
        x += width
    return placed, y + (_LEGEND if keys else 0.0)


def _flow_panels(panels: Sequence[Panel], top: float) -> tuple[list[Placed], float, float]:
    x, y, tallest, right = _MARGIN, top, 0.0, 0.0
    placed = []
    for panel in panels:
        match = _SIZE.match(panel.svg)
        assert match is not None  # svg.render writes it so
        width, height = float(match[1]), float(match[2])
        if x > _MARGIN and x + width > _WIDTH - _MARGIN:
            x, y, tallest = _MARGIN, y + tallest + _GAP, 0.0
        inner = _SIZE.sub(_nested(x, y + _TITLE, width, height), panel.svg, count=1)
        title = svg.literal(panel.title, int(width / _BOLD))
        placed.append(Placed(x, y, panel, title, Markup(inner)))  # noqa: S704  svg escaped it
        x, tallest = x + width + _GAP, max(tallest, height + _TITLE)
        right = max(right, x - _GAP)
    return placed, y + tallest + _GAP, right


def _nested(x: float, y: float, width: float, height: float) -> str:
    where = f'x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" {where}'
