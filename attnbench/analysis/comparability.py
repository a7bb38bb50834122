"""What two sides differ in besides their numbers, and what may therefore be said of them.

Everything is read from columns, never from a footer that another program may have dropped.

- method: cases that both sides measured, by rules that differ, are not compared at all;
- device: another GPU, memory size or power limit gives ratios beside the ratio of the measured
  ceilings, and no verdict;
- chip, state, software: another chip of the same kind, other clocks, other versions are named
  beside the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from attnbench.errors import NotComparable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnbench.analysis.sides import Side

DEVICE = ("device_name", "device_memory_bytes", "device_arch", "power_limit_w")
CHIP = ("device_uuid",)
SOFTWARE = (
    *("host", "driver", "cuda", "torch_version", "triton_version", "python", "threads"),
    "attnbench_version",
)
STATE = ("sm_clock_mhz", "mem_clock_mhz")
METHOD = ("isolation", "timer", "l2", "warmup_s")
_CLOCK_SHARE = 0.02  # a smaller difference of clocks is the usual wander
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Differing:
    """One column that differs; ``kind`` is method, device, chip, state or software."""

    kind: str
    column: str
    base: tuple[Any, ...]
    new: tuple[Any, ...]

    @property
    def text(self) -> str:
        """``triton 3.8.0 -> 3.9.0``."""
        name = self.column.removesuffix("_version").replace("_", " ")
        return f"{name} {_listed(self.base)} -> {_listed(self.new)}"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A measured ceiling of both sides in the unit of its column, medians over their rows."""

    name: str
    base: float
    new: float

    @property
    def ratio(self) -> float:
        """New over base."""
        return self.new / self.base


def differences(base: Side, new: Side) -> tuple[Differing, ...]:
    """List what differs, the gravest first. Where a side does not tell, nothing is said."""
    found = []
    if base.values("device_id") != new.values("device_id"):
        named = _differing("device", DEVICE, base, new)
        found += named or _differing("device", ("device_id",), base, new)
    found += _differing("chip", CHIP, base, new)
    found += [one for column in STATE if (one := _other_clock(column, base, new)) is not None]
    found += _differing("software", SOFTWARE, base, new)
    return tuple(found)


def varying(side: Side) -> list[str]:
    """Say what the runs of one side differ in, such as ``git commit (9b1d0e2, 4f2c91a)``."""
    if len(side.runs[1]) == 1:
        return []
    found = []
    for column in (*DEVICE, *CHIP, *SOFTWARE, "git_commit"):
        values = side.values(column)
        if len(values) > 1:
            name = column.removesuffix("_version").replace("_", " ")
            found.append(f"{name} ({_listed(values)})")
    return found


def kinds(found: Sequence[Differing]) -> set[str]:
    """The classes of what differs."""
    return {one.kind for one in found}


def ceilings(base: Side, new: Side) -> tuple[Ceiling, ...]:
    """The measured ceilings that both sides have: bandwidth, and the GEMM rate of each dtype."""
    found = []
    pair = [_median(side, "peak_bandwidth_gbps", None) for side in (base, new)]
    if None not in pair:
        found.append(Ceiling("bandwidth", *(float(one or 0) for one in pair)))
    for dtype in sorted(set(base.values("dtype")) & set(new.values("dtype"))):
        pair = [_median(side, "peak_tflops", dtype) for side in (base, new)]
        if None not in pair:
            found.append(Ceiling(f"{dtype} FLOPs", *(float(one or 0) for one in pair)))
    return tuple(found)


def refuse_methods(base: Side, new: Side) -> None:
    """Say that no case was timed by the rules of the other side.

    Raises:
        NotComparable: always, with the keys that differ.

    """
    keys = _differing("method", METHOD, base, new)
    named = "; ".join(one.text for one in keys)
    versions = _differing("software", ("attnbench_version",), base, new)
    why = named or "; ".join(f"rules of {one.text}" for one in versions)
    raise NotComparable(
        f"{base.name} and {new.name} were timed by different methods\n"
        f"  {why or 'method_id ' + _listed(base.values('method_id'))}",
        hint="measure both with the same timer, l2 and warmup_s, by one version of attnbench",
    )


def _differing(kind: str, columns: Sequence[str], base: Side, new: Side) -> list[Differing]:
    pairs = ((column, base.values(column), new.values(column)) for column in columns)
    return [
        Differing(kind, column, tuple(one), tuple(other))
        for column, one, other in pairs
        if one and other and one != other
    ]


def _other_clock(column: str, base: Side, new: Side) -> Differing | None:
    one, other = _median(base, column, None), _median(new, column, None)
    if one is None or other is None or abs(other / one - 1) <= _CLOCK_SHARE:
        return None
    return Differing("state", column, (round(one),), (round(other),))


def _median(side: Side, column: str, dtype: str | None) -> float | None:
    import pyarrow.compute as pc

    table = side.table
    if dtype is not None:
        table = table.filter(pc.equal(table["dtype"], dtype))
    values = table[column].drop_null().to_numpy()
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if values.size else None


def _listed(values: Sequence[Any]) -> str:
    texts = [f"{one:g}" if isinstance(one, float) else str(one) for one in values[:_SHOWN]]
    more = len(values) - _SHOWN
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")
