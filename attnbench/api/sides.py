"""Measure two sides by turns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.api.loading import silent
from attnbench.errors import Interrupted, NothingSelected
from attnbench.units import parse_duration

if TYPE_CHECKING:
    from attnbench.analysis.gate import Ruling
    from attnbench.execute.ab.events import AbListener, AbMeasured


def ab(  # noqa: PLR0913  as many as the command line has flags
    suite: str | Path,
    *,
    base: str | None = None,
    new: str | None = None,
    overrides: Sequence[str] = (),
    filter: str | None = None,
    device: str = "auto",
    rounds: int | None = None,
    confirm: int | None = None,
    budget: str | float | None = None,
    max_slowdown: float | None = None,
    inconclusive: str | None = None,
    name: str | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    run_args: Mapping[str, Any] | None = None,
    repro: str | None = None,
    listener: AbListener | None = None,
) -> Ruling:
    """Measure two sides of a suite by turns in fresh processes, and rule on the new one.

    A side is a label, a path ending in .py, ``git:REF``, ``python:PATH``, or None for the suite's
    backends as they are. All cases get ``rounds`` rounds, suspects ``confirm`` fresh ones. Writes
    NAME.base.parquet, NAME.new.parquet and NAME.ruling.json; ``out`` is a path up to NAME.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.ab import AbRequest, measure
    from attnbench.execute.ab.request import ROUNDS
    from attnbench.execute.ab.sides import Asked
    from attnbench.suite import find

    typed = {"suite": str(suite), "base": base, "new": new, "select": filter}
    request = AbRequest(
        asked=Asked(find(str(suite)), tuple(overrides)),
        base=base,
        new=new,
        device=device,
        filter=filter,
        rounds=ROUNDS if rounds is None else rounds,
        confirm=confirm,
        budget_s=parse_duration(budget) if isinstance(budget, str) else budget,
        max_slowdown=max_slowdown,
        inconclusive=inconclusive,
        name=name,
        out=None if out is None else Path(out),
        seed=seed,
        run_args=json.dumps({**typed, "device": device, **(run_args or {})}),
        repro=repro or f"attnbench ab {suite}",
    )
    return _ruled(measure(request, listener or silent))


def _ruled(done: AbMeasured) -> Ruling:
    """Rule on the two files of an ``ab`` and write the ruling beside them."""
    from attnbench.analysis.ab import rule_ab
    from attnbench.execute.ab.request import ruling_of
    from attnbench.render.documents import ruling_document
    from attnbench.store.atomic import write_text

    try:
        ruling = rule_ab(*done.results, done.rule, done.rule_source, cut=done.cut)
    except NothingSelected as error:
        if done.interrupted:
            raise Interrupted(f"stopped before there was a pair; saved in {done.stem}.*") from error
        raise
    facts = json.dumps(ruling_document(ruling), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(ruling_of(done.stem), f"{facts}\n")
    return ruling
