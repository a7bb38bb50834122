"""From a matplotlib figure to inline SVG for a page.

Text stays text, colours become CSS variables, ids are unique on the page, and the same data gives
the same bytes. Names from a result file are drawn literally, never as mathematics.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from attnbench.report import palette
from attnbench.units import count_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEAST_SCALE = 0.9  # the smallest text is 10 px, and below 9 px it is unreadable
POINTS_AN_INCH = 72  # one SVG unit is one point, shown as one pixel
_RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": palette.LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": palette.MUTED,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "grid.color": palette.LINE,
    "grid.linewidth": 0.6,
    "hatch.linewidth": 1.2,
    "lines.linewidth": 1.7,
    "lines.markersize": 5,
    "path.simplify": True,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "svg.hashsalt": "attnbench",
    "text.color": palette.FG,
    "text.parse_math": False,
    "xtick.color": palette.LINE,
    "xtick.labelcolor": palette.MUTED,
    "xtick.labelsize": 10,
    "xtick.minor.visible": False,
    "ytick.color": palette.LINE,
    "ytick.labelcolor": palette.MUTED,
    "ytick.labelsize": 10,
    "ytick.minor.visible": False,
}
# Ticks per decade, by the number of decades that an axis shows.
_FACTORS = ((0.7, (1, 1.5, 2, 3, 4, 5, 7)), (2.0, (1, 2, 5)), (math.inf, (1,)))
_UNWANTED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<[^<>]+>")
_NUMBER = re.compile(r"(\d+\.\d{2})\d+")
_ATTRIBUTE = re.compile(r'(fill|stroke)="(#[0-9a-f]{6})"')
_FONT = re.compile(r"font: ([^;\"']*?)([\d.]+)px [^;\"]*")
_STYLE = re.compile(r'style="[^"]*"')
# Characters that XML cannot hold, and those that switch the writing direction.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@contextmanager
def figure_style() -> Iterator[None]:
    """Set matplotlib's style for all figures of a page, whatever the user's settings are."""
    import matplotlib as mpl

    with warnings.catch_warnings(), mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_RC)  # type: ignore[arg-type]  # it wants a literal of all names
        # The browser has the fonts; matplotlib only estimates the widths.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # seaborn sets equal limits for a single value; the figure replaces them.
        warnings.filterwarnings("ignore", message="Attempting to set identical low and high")
        yield


def new_panel(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure, its size in pixels, and its axes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    spacing = ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04)
    size = (width / POINTS_AN_INCH, height / POINTS_AN_INCH)
    figure = Figure(figsize=size, dpi=POINTS_AN_INCH, layout=spacing)
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def render(figure: Figure, name: str, title: str, about: str) -> Markup:
    """Return a figure as inline SVG.

    Args:
        figure: a figure of ``new_panel``.
        name: unique on the page; every id in the SVG begins with it.
        title: title for screen readers.
        about: description for screen readers.

    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    # savefig would draw twice, first only for the layout.
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasSVG)
    print_svg: Any = canvas.print_svg  # matplotlib gives it no types
    print_svg(text, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # matplotlib's style element would apply to the whole page; report.css has its rules.
    svg = _UNWANTED.sub("", svg)
    ids = {f'"{old}"': f'"{name}-{number}"' for number, old in _used_ids(svg)}
    svg = _TAG.sub(lambda tag: _tag(tag[0], ids), svg)
    svg = re.sub(r">\s+<", "><", svg)
    head = f'<title id="{name}-t">{escape(visible(title))}</title>'
    head += f'<desc id="{name}-d">{escape(visible(about))}</desc>'
    return Markup(svg.replace(">", f">{head}", 1).replace("@NAME@", name))  # noqa: S704


def visible(text: str) -> str:
    """Replace control characters, and those that switch the writing direction, by a mark."""
    return _CONTROL.sub("�", text)


def escaped(json_text: str) -> str:
    """Write the same characters of a JSON text as escapes, which keeps its meaning."""
    return _CONTROL.sub(lambda mark: f"\\u{ord(mark[0]):04x}", json_text)


def literal(text: str, longest: int = 40) -> str:
    """Shorten a name from a file in its middle and replace its control characters."""
    shown = visible(text)
    if len(shown) <= longest:
        return shown
    tail = longest // 2 - 1
    return f"{shown[: longest - tail - 1]}…{shown[-tail:]}"


def lengths_axis(axes: Axes, lengths: Sequence[int], label: str) -> None:
    """Make x a logarithmic axis of tokens with ticks at powers of two."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(lengths), max(lengths)
    axes.set_xscale("log", base=2)
    axes.set_xlim(low / 1.3, high * 1.3)
    ticks = powers_of_two(low, high, 7)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: count_text(round(x))))
    axes.set_xlabel(label)


def powers_of_two(low: int, high: int, most: int) -> list[int]:
    """Return at most ``most`` powers of two (or four, eight, …) that cover a range."""
    exponents = [e for e in range(41) if low / 1.31 <= 2**e <= high * 1.31]
    step = next(step for step in count(1) if len(exponents[::step]) <= most)
    return [2**e for e in exponents[::step]] or [low]


def time_axis(axes: Axes, low: float, high: float) -> None:
    """Make y a logarithmic axis of seconds, labelled 1 µs, 10 µs, 1 ms."""
    from attnbench.units import time_text

    _log_axis(axes, low, high, lambda y: _plain_unit(time_text(y)))
    axes.set_ylabel("latency")


def bytes_axis(axes: Axes, low: float, high: float) -> None:
    """Make y a logarithmic axis of bytes."""
    from attnbench.units import bytes_text

    _log_axis(axes, low, high, lambda y: _plain_unit(bytes_text(y)))


def _log_axis(axes: Axes, low: float, high: float, text: object) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axes.set_yscale("log")
    low, high = low / 1.25, high * 1.25
    axes.set_ylim(low, high)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = next(few for reach, few in _FACTORS if math.log10(high / low) < reach)
    ticks = [f * 10.0**e for e in decades for f in factors if low <= f * 10.0**e <= high]
    step = max(1, math.ceil(len(ticks) / 7))
    axes.yaxis.set_major_locator(FixedLocator(ticks[::step]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: text(y)))  # type: ignore[operator]


def _plain_unit(text: str) -> str:
    """``1 µs`` for ``1.00 µs``: a tick is exact."""
    number, _, unit = text.partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return f"{number} {unit}"


def _used_ids(svg: str) -> Iterator[tuple[int, str]]:
    yield from enumerate(dict.fromkeys(re.findall(r'(?<= id=")[^"]+', svg)))


def _tag(tag: str, ids: dict[str, str]) -> str:
    """Rewrite one tag: sizes, ids, colours and decimals; text between tags stays."""
    if tag.startswith("<svg"):
        box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', tag)
        assert box is not None
        width, height = round(float(box[1])), round(float(box[2]))
        labels = 'role="img" aria-labelledby="@NAME@-t @NAME@-d"'
        size = (
            f'width="{width}" height="{height}" style="min-width:{round(_LEAST_SCALE * width)}px"'
        )
        return f'<svg viewBox="0 0 {width} {height}" {size} {labels}>'
    tag = tag.replace("xlink:href", "href")
    tag = re.sub(r' id="([^"]+)"', lambda m: f" id={ids[m[0][4:]]}", tag)
    tag = re.sub(r'href="#([^"]+)"', lambda m: f'href="#{ids[chr(34) + m[1] + chr(34)][1:]}', tag)
    tag = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{ids[chr(34) + m[1] + chr(34)][1:-1]})", tag)
    tag = _ATTRIBUTE.sub(r'style="\1: \2"', tag)
    tag = _STYLE.sub(lambda m: palette.with_variables(_FONT.sub(r"font-size: \2px", m[0])), tag)
    return _NUMBER.sub(r"\1", tag)
