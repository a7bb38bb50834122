"""Draw docs/images/internals.svg from the code: packages by layer, imports, and the data flow.

    python docs/draw_internals.py            # write the picture
    python docs/draw_internals.py --check    # exit 1 where the committed one is out of date

The layers are those of the import contract in pyproject.toml, the thin lines are imports that no
longer chain of imports implies. Only ``DATA_FLOW`` is written by hand; a step whose two packages do
not import each other is an error.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "attnbench"
PICTURE = ROOT / "docs" / "images" / "internals.svg"

# From where to where data goes, in order.
DATA_FLOW = (
    ("suite", "execute"),
    ("planning", "execute"),
    ("execute", "worker"),
    ("worker", "measure"),
    ("measure", "registry"),
    ("execute", "store"),
    ("store", "analysis"),
    ("analysis", "render"),
    ("analysis", "report"),
    ("render", "cli"),
)

Point = tuple[float, float]

WIDTH, ROW, BOX, GAP, HEIGHT = 1000, 72, 116, 14, 32
TOP = 24
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328; text-anchor: middle; }
  .box { fill: #f6f8fa; stroke: #8c959f; }
  .torch { stroke-dasharray: 4 3; }
  .import { stroke: #8c959f; stroke-opacity: .35; fill: none; }
  .data { stroke: #0969da; stroke-width: 2; fill: none; marker-end: url(#head); }
  .step { fill: #0969da; }
  .number { fill: #ffffff; font-size: 11px; font-weight: 600; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .box { fill: #151b23; stroke: #656c76; }
    .data { stroke: #4493f8; }
    .step { fill: #1f6feb; }
  }
"""
ARROW_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path class="step" d="M0 0 8 4 0 8z"/></marker></defs>'
)


def layers() -> list[list[str]]:
    """Return the names of every layer, the highest first, as the import contract has them."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = pyproject["tool"]["importlinter"]["contracts"][0]["layers"]
    return [re.findall(r"\w+", layer) for layer in contract if layer != "__main__"]


def files_of(name: str) -> list[Path]:
    """Return the Python files of a package, or the one file of a module."""
    folder = PACKAGE / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def imports_of(name: str) -> set[str]:
    """Return what a package imports, function bodies included: torch, and attnbench's own names."""
    found = set()
    for path in files_of(name):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            found |= {module.removeprefix("attnbench.").split(".")[0] for module in modules}
    return found - {name}


def needed(graph: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield the imports that are left when those that a longer chain implies are taken away."""
    reached: dict[str, set[str]] = {}

    def reach(name: str, path: tuple[str, ...] = ()) -> set[str]:
        if name not in reached and name not in path:
            below = [{one, *reach(one, (*path, name))} for one in sorted(graph[name])]
            reached[name] = set().union(*below)
        return reached.get(name, set())

    for upper in sorted(graph):
        for lower in sorted(graph[upper]):
            if not any(lower in reach(other) for other in graph[upper] - {lower}):
                yield upper, lower


def places(rows: list[list[str]]) -> dict[str, Point]:
    """Return the top centre of every box in pixels; lone boxes stand alternately left and right."""
    found = {}
    for number, row in enumerate(rows):
        left = (WIDTH - len(row) * BOX - (len(row) - 1) * GAP) / 2
        shift = (BOX + GAP) * (0.5 if number % 2 else -0.5) if len(row) == 1 else 0
        for index, name in enumerate(row):
            found[name] = (left + shift + index * (BOX + GAP) + BOX / 2, TOP + number * ROW)
    return found


def arrow_ends(place: dict[str, Point]) -> list[tuple[Point, Point]]:
    """Return start and end of every step; steps at one edge of a box stand side by side."""
    edges: dict[tuple[str, bool], list[tuple[float, int]]] = {}
    for number, pair in enumerate(DATA_FLOW):
        upper, lower = sorted(pair, key=lambda name: place[name][1])
        edges.setdefault((upper, True), []).append((place[lower][0], number))
        edges.setdefault((lower, False), []).append((place[upper][0], number))

    def end(number: int, name: str, other: str) -> Point:
        x, y = place[name]
        below = y < place[other][1]
        order = sorted(edges[name, below])
        index = next(at for at, (_, one) in enumerate(order) if one == number)
        return x + (index - (len(order) - 1) / 2) * 24, y + HEIGHT if below else y

    return [
        (end(number, source, target), end(number, target, source))
        for number, (source, target) in enumerate(DATA_FLOW)
    ]


def draw() -> str:
    """Return the picture as SVG text; the same code gives the same text."""
    rows = layers()
    known = {name for row in rows for name in row}
    imported = {name: imports_of(name) for name in sorted(known)}
    graph = {name: imported[name] & known for name in imported}
    place = places(rows)
    height = TOP + len(rows) * ROW

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The packages of attnbench by layer, and how data flows</title>",
        f"<style>{STYLE}</style>",
        ARROW_HEAD,
    ]
    lines += [_import_line(place[upper], place[lower]) for upper, lower in needed(graph)]
    ends = arrow_ends(place)
    for source, target in DATA_FLOW:
        if target not in graph[source] and source not in graph[target]:
            raise SystemExit(f"DATA_FLOW: {source} and {target} do not import each other")
    lines += [_arrow(start, end) for start, end in ends]
    for name in sorted(known):
        lines += _box(name, place[name], torch="torch" in imported[name])
    for number, (start, end) in enumerate(ends, start=1):
        lines += _number(number, *max(start, end, key=lambda point: point[1]))
    return "\n".join([*lines, "</svg>", ""])


def _import_line(upper: Point, lower: Point) -> str:
    """Draw one import from the bottom of the importing box to the top of the imported one."""
    (x1, y1), (x2, y2) = upper, lower
    if y1 == y2:
        return (
            f'<path class="import" d="M{x1:g} {y1:g}Q{(x1 + x2) / 2:g} {y1 - 24:g} {x2:g} {y2:g}"/>'
        )
    return f'<path class="import" d="M{x1:g} {y1 + HEIGHT:g}L{x2:g} {y2:g}"/>'


def _box(name: str, place: Point, *, torch: bool) -> list[str]:
    """Draw one package with its name; a dashed frame says that its code imports torch."""
    x, y = place
    kind = "box torch" if torch else "box"
    frame = f'x="{x - BOX / 2:g}" y="{y:g}" width="{BOX}" height="{HEIGHT}" rx="6"'
    return [
        f'<rect class="{kind}" {frame}/>',
        f'<text x="{x:g}" y="{y + HEIGHT / 2 + 4:g}">{name}</text>',
    ]


def _arrow(start: Point, end: Point) -> str:
    """Draw one step of the data, leaving and reaching boxes upright."""
    (x1, y1), (x2, y2) = start, end
    bend = (y2 - y1) / 2
    curve = f"C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
    return f'<path class="data" d="M{x1:g} {y1:g}{curve}"/>'


def _number(number: int, x: float, y: float) -> list[str]:
    """Draw the number of a step above the lower box that it touches."""
    return [
        f'<circle class="step" cx="{x:g}" cy="{y - 15:g}" r="9"/>',
        f'<text class="number" x="{x:g}" y="{y - 11:g}">{number}</text>',
    ]


def main(arguments: list[str]) -> int:
    """Write the picture, or compare it with the committed one."""
    picture = draw()
    if "--check" in arguments:
        return int(picture != PICTURE.read_text(encoding="utf-8"))
    PICTURE.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
