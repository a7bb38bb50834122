"""Which limits a run is held to: its suite's ``gate`` block, and what the command line says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from attnbench.errors import InputError
from attnbench.filter import parse
from attnbench.suite import Gate, Limit

if TYPE_CHECKING:
    from attnbench.analysis.sides import Side


def rule_for(
    run: Side, *, max_slowdown: float | None = None, inconclusive: str | None = None
) -> tuple[Gate, str]:
    """Return the limits for a run, and where they are from.

    Raises:
        InputError: neither the suite nor the command line has a limit, or not a single one.

    """
    found = [block for one in run.metadata if (block := _gate_block(one, run)) is not None]
    if any(block != found[0] for block in found) and max_slowdown is None:
        raise InputError(
            f"the runs in {run.name} have different gates", hint="name one: --max-slowdown 3%"
        )
    rule, source = Gate(), ""
    if found:
        rule, source = _gate(found[0], run), "the suite of the run"
    if max_slowdown is not None:
        rule = replace(rule, max_slowdown=max_slowdown, given=True)
        source = "--max-slowdown" + (" and the suite's limits of cases" if rule.limits else "")
    if not rule.given:
        raise InputError(
            f"there is no limit: the suite of {run.name} has no gate, and none was named",
            hint="say how much slower is too slow: --max-slowdown 3%, or gate: {max_slowdown: 3%}",
        )
    return (replace(rule, inconclusive=inconclusive) if inconclusive else rule), source


def _gate_block(metadata: dict[str, Any], run: Side) -> dict[str, Any] | None:
    """The checked ``gate`` block of a run's suite text; None where it has none."""
    text = metadata.get("suite_text")
    if not text:
        return None
    from attnbench.suite.shape import shape_of
    from attnbench.suite.source import read

    source, _ = read(text, "suite")
    shape = shape_of(source)
    if not shape.is_right("gate"):
        raise InputError(
            f"the gate of the suite in {run.name} cannot be read: it is of another version",
            hint="measure again with this version",
        )
    block: dict[str, Any] | None = shape.sections.get("gate")
    return block


def _gate(block: dict[str, Any], run: Side) -> Gate:
    from attnbench.analysis.cases import row_fields

    known = run.table["backend_options"].unique().to_pylist()
    options = {name for text in known for name in row_fields({"backend_options": text})}
    limits = tuple(
        Limit(where=parse(one["where"], extra=options), max_slowdown=one["max_slowdown"])
        for one in block.get("limits") or ()
    )
    return Gate(**{**block, "limits": limits}, given=True)
