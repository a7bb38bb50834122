"""Grids of coloured cells: rows by columns, a short text in each, drawn by seaborn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.report import canvas, palette

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes

_CELL_WIDTH, _CELL_HEIGHT = 56, 30
_LETTER, _MARGIN, _PADDING = 6.6, 78, 8
MOST_TEXTS = 240  # above it cells are too many to be read one by one


@dataclass(frozen=True, slots=True)
class GridCell:
    """One cell: its colour, its text and the text's colour; a hatched one is undecided."""

    colour: str
    text: str = ""
    text_colour: str = palette.FG
    is_hatched: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells by (row, column); what is not there stays blank."""

    rows: Sequence[str]
    columns: Sequence[str]
    cells: Mapping[tuple[str, str], GridCell]
    row_label: str
    column_label: str


def to_svg(grid: Grid, name: str, title: str, about: str) -> Markup:
    """Draw a grid; its size follows from its cells, so that texts always fit."""
    import numpy as np
    import seaborn as sns
    from matplotlib.colors import ListedColormap

    left = _MARGIN + _LETTER * max(len(canvas.literal(row, 24)) for row in grid.rows)
    longest = max((len(cell.text) for cell in grid.cells.values()), default=0)
    each = max(_CELL_WIDTH, _PADDING + _LETTER * longest)
    width = max(240.0, left + each * len(grid.columns))
    figure, axes = canvas.panel(width, 66 + _CELL_HEIGHT * len(grid.rows))
    blank = GridCell(palette.BLANK)
    cells = [[grid.cells.get((row, column), blank) for column in grid.columns] for row in grid.rows]
    colours = list(dict.fromkeys(cell.colour for line in cells for cell in line))
    numbers = np.array([[colours.index(cell.colour) for cell in line] for line in cells])
    sns.heatmap(
        numbers,
        ax=axes,
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        cbar=False,
        linewidths=2,
        linecolor=palette.GROUND,
        xticklabels=list(grid.columns),
        yticklabels=[canvas.literal(row, 24) for row in grid.rows],
    )
    _write(axes, cells)
    axes.grid(visible=False)
    axes.tick_params(length=0, labelrotation=0)
    axes.set_xlabel(grid.column_label)
    axes.set_ylabel(grid.row_label)
    return canvas.to_svg(figure, name, title, about)


def _write(axes: Axes, cells: Sequence[Sequence[GridCell]]) -> None:
    from matplotlib.patches import Rectangle

    few = sum(map(len, cells)) <= MOST_TEXTS
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            if cell.is_hatched:
                axes.add_patch(
                    Rectangle(
                        (x + 0.03, y + 0.05),
                        0.94,
                        0.9,
                        fill=False,
                        hatch="//",
                        edgecolor=palette.LINE,
                        linewidth=0,
                    )
                )
            if few and cell.text:
                axes.text(
                    x + 0.5,
                    y + 0.5,
                    cell.text,
                    ha="center",
                    va="center",
                    fontsize=10,
                    color=cell.text_colour,
                )
