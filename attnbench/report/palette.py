"""Colours: one for each backend on the whole page, with a marker and a dash of its own.

Figures are drawn in sentinel colours, which ``svg`` replaces with CSS variables, so one drawing
serves light, dark and print. The backends' colours started from petroff10 (Petroff, "Accessible
Color Sequences for Data Visualization", 2021, arXiv:2107.02270). Four of its ten are too pale on
white, and darkening those four makes them alike for colour-blind readers. So all ten were
optimised together, on white and on dark: each has a contrast of 3:1, and any two differ under
simulated protanopia, deuteranopia and tritanopia.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SLOTS = 10
MOST_COLOURED = 8  # more colours cannot be distinguished; the rest is grey

# On white and on dark, in the order of petroff10.
BACKENDS = (
    ("#0063d6", "#54a4f0"),
    ("#e17a00", "#ffa900"),
    ("#881300", "#b53d1e"),
    ("#9c9096", "#b6bfba"),
    ("#28015c", "#9f35d7"),
    ("#46000d", "#97918f"),
    ("#c13b00", "#ea6600"),
    ("#845d78", "#fce894"),
    ("#2f3f8e", "#566b81"),
    ("#009bf2", "#b0f6ff"),
)
# From slower (orange) over no change to faster (blue); the outer two steps carry white text.
DIVERGING = (
    ("#8a3f00", "#a04a00"),
    ("#b85c00", "#b85c00"),
    ("#f0ab65", "#7d4a1c"),
    ("#fbe0c4", "#4a3420"),
    ("#f2f3f5", "#2a2f36"),
    ("#d3e5f6", "#1d3850"),
    ("#86b9e6", "#20588c"),
    ("#2f72b4", "#2f72b4"),
    ("#164a80", "#1c5a9c"),
)
NEUTRAL = {
    "fg": ("#1c2128", "#e4e8ee"),
    "muted": ("#59626e", "#a3adb9"),
    "line": ("#c9ced6", "#3d454f"),
    "ground": ("#ffffff", "#161b21"),
    "other": ("#9aa2ad", "#67707b"),
    "blank": ("#e6e8ec", "#262c34"),
    "on": ("#ffffff", "#ffffff"),
    "mark": ("#1c2128", "#ffffff"),
}

FG, MUTED, LINE, GROUND, OTHER, BLANK, ON, MARK = (
    f"#01010{number}" for number in range(1, len(NEUTRAL) + 1)
)
_SENTINELS = {
    **{f"#01010{number}": name for number, name in enumerate(NEUTRAL, 1)},
    **{f"#0202{slot:02x}": f"b{slot}" for slot in range(SLOTS)},
    **{f"#0303{step:02x}": f"d{step}" for step in range(len(DIVERGING))},
    **{f"#0404{slot:02x}": f"t{slot}" for slot in range(SLOTS)},
}
_SENTINEL = re.compile("|".join(_SENTINELS))

# Markers, each with the size at which all look equally large.
_MARKERS = (
    *(("o", 6.0), ("s", 5.4), ("^", 6.6), ("D", 5.0), ("v", 6.6)),
    *(("P", 7.0), ("X", 7.0), ("<", 6.6), (">", 6.6), ("p", 7.4)),
)
_DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (1.5, 1.5), (6, 1.5, 1.5, 1.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How one backend looks in every figure; ``variable`` is the CSS name of its colour."""

    label: str
    code: str
    colour: str
    variable: str
    text: str
    marker: str
    size: float
    dash: tuple[float, ...]
    is_grey: bool = False


def styles(labels: Sequence[str], chosen: Mapping[str, int] | None = None) -> dict[str, Style]:
    """Give each backend its colour, marker and dash.

    A colour is a hash of the label, so it is the same in every report; when two labels collide,
    the later one takes the next free colour.

    Args:
        labels: all backends, the best first.
        chosen: places in the palette, from 1, by label; they override the hash.

    """
    slots: dict[str, int] = {
        label: (slot - 1) % SLOTS for label, slot in (chosen or {}).items() if label in labels
    }
    coloured = labels if len(labels) <= MOST_COLOURED else labels[:MOST_COLOURED]
    for label in sorted(coloured):
        if label not in slots:
            slots[label] = _free(_hashed(label), set(slots.values()))
    codes = _codes(labels)
    dashes = {label: _DASHES[n % len(_DASHES)] for n, label in enumerate(sorted(slots))}
    return {
        label: _coloured(label, codes[label], slots[label], dashes[label])
        if label in slots
        else _grey(label, codes[label])
        for label in labels
    }


def step_colour(step: int) -> str:
    """Return the sentinel colour of a step of the diverging scale, 0 (slower) to 8 (faster)."""
    return f"#0303{step:02x}"


def step_text(step: int) -> str:
    """Return the sentinel colour of text on that step."""
    return ON if step in (0, 1, len(DIVERGING) - 2, len(DIVERGING) - 1) else FG


def with_variables(style: str) -> str:
    """Replace sentinel colours in CSS by variables."""
    return _SENTINEL.sub(lambda match: f"var(--{_SENTINELS[match[0]]})", style)


def css_variables(column: int) -> str:
    """Return the declarations of every variable: column 0 on white, 1 on dark."""
    return " ".join(f"--{name}: {value};" for name, value in variables(column).items())


def variables(column: int) -> dict[str, str]:
    """Return the colour of every variable: column 0 on white, 1 on dark."""
    named = {
        **NEUTRAL,
        **{f"b{slot}": pair for slot, pair in enumerate(BACKENDS)},
        **{f"d{step}": pair for step, pair in enumerate(DIVERGING)},
        **{f"t{slot}": tuple(map(readable_on, pair)) for slot, pair in enumerate(BACKENDS)},
    }
    return {name: pair[column] for name, pair in named.items()}


def readable_on(colour: str) -> str:
    """Return black or white, whichever has more contrast on this colour."""
    return "#000000" if contrast(colour, "#000000") > contrast(colour, "#ffffff") else "#ffffff"


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.1, section 1.4.3)."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]  # noqa: PLR2004
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _coloured(label: str, code: str, slot: int, dash: tuple[float, ...]) -> Style:
    marker, size = _MARKERS[slot]
    return Style(
        label=label,
        code=code,
        colour=f"#0202{slot:02x}",
        variable=f"b{slot}",
        text=f"#0404{slot:02x}",
        marker=marker,
        size=size,
        dash=dash,
    )


def _grey(label: str, code: str) -> Style:
    return Style(
        label=label,
        code=code,
        colour=OTHER,
        variable="other",
        text=FG,
        marker="o",
        size=4.0,
        dash=(),
        is_grey=True,
    )


def _hashed(label: str) -> int:
    return hashlib.blake2b(label.encode("utf-8", "replace"), digest_size=2).digest()[0] % SLOTS


def _free(slot: int, taken: set[int]) -> int:
    places = [(slot + step) % SLOTS for step in range(SLOTS)]
    return next((place for place in places if place not in taken), slot)


def _codes(labels: Sequence[str]) -> dict[str, str]:
    """One to three distinct letters per label: naive N, triton_flash TF."""
    codes: dict[str, str] = {}
    for label in labels:
        words = re.findall(r"[^\W_]+", label) or ["?"]
        initials = "".join(word[0] for word in words).upper()
        candidates = [initials[:1], initials[:2], initials[:3], words[0][:2].upper()]
        number = 1
        while candidates[0] in codes.values():
            candidates = candidates[1:] or [f"{initials[:1]}{(number := number + 1)}"]
        codes[label] = candidates[0]
    return codes
