"""One figure of a report as an SVG file of its own, for a README, an issue or a paper.

The colours are written out, light or dark, because a file that is shown as an image has no page
whose variables it could take.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from attnbench.report import canvas, html, palette
from attnbench.report.model import Figure, Key, Panel

MODES = ("light", "dark")
_WIDTH, _MARGIN, _GAP = 960.0, 20.0, 26.0
_HEADING, _TITLE, _LEGEND, _SOURCE = 34.0, 20.0, 22.0, 30.0
_LETTER, _BOLD = 6.9, 8.2  # of the legend at 12 pixels, of a title
_SIZE = re.compile(r'<svg viewBox="[^"]*" width="(\d+)" height="(\d+)" style="[^"]*"')
_VARIABLE = re.compile(r"var\(--(\w+)\)")


@dataclass(frozen=True, slots=True)
class Placed:
    """Something at its place in the picture; pixels from the upper left."""

    x: float
    y: float
    what: Panel | Key
    title: str = ""
    svg: Markup | None = None


def picture(figure: Figure, source: str, mode: str) -> str:
    """Return the SVG text: heading, legend, panels in rows, and where the figures come from."""
    legend, below = _flow_keys(figure.keys, _HEADING + _MARGIN)
    panels, bottom, right = _flow_panels(figure.panels, below)
    colours = palette.variables(MODES.index(mode))
    text = (
        html.environment()
        .get_template("picture.svg.j2")
        .render(
            figure=figure,
            legend=legend,
            panels=panels,
            source=source,
            width=round(max(right, 420.0) + _MARGIN),
            height=round(bottom + _SOURCE),
            margin=_MARGIN,
            shapes=html.SHAPES,
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
        assert match is not None  # canvas.to_svg writes it so
        width, height = float(match[1]), float(match[2])
        if x > _MARGIN and x + width > _WIDTH - _MARGIN:
            x, y, tallest = _MARGIN, y + tallest + _GAP, 0.0
        inner = _SIZE.sub(_nested(x, y + _TITLE, width, height), panel.svg, count=1)
        title = canvas.literal(panel.title, int(width / _BOLD))
        placed.append(Placed(x, y, panel, title, Markup(inner)))  # noqa: S704  canvas escaped it
        x, tallest = x + width + _GAP, max(tallest, height + _TITLE)
        right = max(right, x - _GAP)
    return placed, y + tallest + _GAP, right


def _nested(x: float, y: float, width: float, height: float) -> str:
    where = f'x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}"'
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" {where}'
