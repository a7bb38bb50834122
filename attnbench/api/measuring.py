"""Run a suite, check its outputs, predict it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.api.devices import device_rates, is_here
from attnbench.api.loading import QUICK, load_suite, silent
from attnbench.units import parse_duration

if TYPE_CHECKING:
    from attnbench.execute.checker import CheckFinished
    from attnbench.execute.events import Event, Listener, RunFinished
    from attnbench.planning.plan import Plan
    from attnbench.store.resume import Redo
    from attnbench.suite import Suite


def run(  # noqa: PLR0913  as many as the command line has flags
    suite: str | Path | Suite = QUICK,
    *,
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    filter: str | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    name: str | None = None,
    processes: int | None = None,
    budget: str | float | None = None,
    resume: bool = False,
    redo: Redo = "none",
    oom_skip: bool = True,
    seed: int = 0,
    run_args: Mapping[str, Any] | None = None,
    repro: str | None = None,
    listener: Listener | None = None,
) -> RunFinished:
    """Measure a suite and return where the rows are and what came of the cases.

    ``filter`` is a filter (``backend=sdpa kv_len>=4k``), ``budget`` a duration (``10m``), ``redo``
    goes with ``resume``. ``run_args`` adds to what the file says of how the run was asked for,
    ``repro`` is the command that chooses the suite again, ``listener`` hears every event.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.request import RunRequest
    from attnbench.execute.runner import run as run_suite

    loaded = load_suite(suite, backends=backends, overrides=overrides, filter=filter)
    named = str(suite) if isinstance(suite, str | Path) else loaded.name
    typed = {"suite": named, "device": device, "select": filter, **(run_args or {})}
    request = RunRequest(
        suite=loaded,
        device=device,
        out=None if out is None else Path(out),
        name=name,
        processes=processes,
        budget_s=parse_duration(budget) if isinstance(budget, str) else budget,
        resume=resume,
        redo=redo,
        oom_skip=oom_skip,
        seed=seed,
        run_args=json.dumps(typed),
        repro=repro or f"attnbench run {named}",
    )
    return run_suite(request, listener or silent)


def check(
    suite: str | Path | Suite = QUICK,
    *,
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    filter: str | None = None,
    device: str = "auto",
    listener: Callable[[Event], None] | None = None,
) -> CheckFinished:
    """Check the output of every case of a suite against the reference; time nothing.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.checker import check as check_suite
    from attnbench.execute.request import RunRequest

    loaded = load_suite(suite, backends=backends, overrides=overrides, filter=filter)
    request = RunRequest(suite=loaded, device=device)
    return check_suite(request, listener or silent)


def plan(
    suite: str | Path | Suite = QUICK,
    *,
    device: str = "auto",
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    filter: str | None = None,
) -> Plan:
    """Predict every case of a suite on a device: this one, one of the datasheets, or a run's.

    Needs neither torch nor the device.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.request import RunRequest
    from attnbench.planning.memory_limits import memory_limits
    from attnbench.planning.plan import describe_backends, make_plan
    from attnbench.planning.prediction import Predictor

    loaded = load_suite(suite, backends=backends, overrides=overrides, filter=filter)
    cases = RunRequest(suite=loaded).cases()
    predictor = Predictor(*device_rates(device))
    known = describe_backends(cases, elsewhere=not is_here(device))
    found = make_plan(cases, predictor, loaded.measure, known)
    return replace(found, memory_limits=memory_limits(found, predictor, known))
