"""The verbs as Python functions: what a notebook or a script calls, and the command line too."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import Interrupted, NothingSelected
from attnbench.units import parse_duration

if TYPE_CHECKING:
    from attnbench.analysis.gate import Ruling
    from attnbench.case import Case
    from attnbench.device.rates import Ceilings
    from attnbench.environment import Device
    from attnbench.execute.ab.events import AbListener, AbMeasured
    from attnbench.execute.checker import CheckFinished
    from attnbench.execute.conformance import ConformanceEvent, ConformanceFinished
    from attnbench.execute.events import Event, Listener, RunFinished
    from attnbench.execute.plan import Plan
    from attnbench.profile.one_case import ProfileRequest
    from attnbench.profile.profiled import Profiled
    from attnbench.store.resume import Redo
    from attnbench.suite import Suite

QUICK = "quick"


def load_suite(
    suite: str | Path | Suite,
    *,
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    select: str | None = None,
) -> Suite:
    """Read a suite by its path or shipped name, and keep the cases that ``select`` picks.

    ``backends`` (names, labels or files) replace the suite's own; ``overrides`` are texts such as
    ``kv_len=1k,4k``.

    Raises:
        InputError: no such suite, or a filter that cannot be read.
        SuiteError: the file has faults; each is told with its place.
        NothingSelected: ``exclude`` or ``select`` leaves no case.

    """
    from attnbench.registry import Registry
    from attnbench.suite import Suite, find, load

    if not isinstance(suite, Suite):
        suite = load(find(str(suite)), Registry(), overrides=overrides, backends=backends)
    return suite if select is None else suite.select(select)


def run(  # noqa: PLR0913  as many as the command line has flags
    suite: str | Path | Suite = QUICK,
    *,
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    select: str | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    name: str | None = None,
    launches: int | None = None,
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

    ``select`` is a filter (``backend=sdpa kv_len>=4k``), ``budget`` a duration (``10m``), ``redo``
    goes with ``resume``. ``run_args`` adds to what the file says of how the run was asked for,
    ``repro`` is the command that chooses the suite again, ``listener`` hears every event.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.request import RunRequest
    from attnbench.execute.runner import run as run_suite

    loaded = load_suite(suite, backends=backends, overrides=overrides, select=select)
    named = str(suite) if isinstance(suite, str | Path) else loaded.name
    typed = {"suite": named, "device": device, "select": select, **(run_args or {})}
    request = RunRequest(
        suite=loaded,
        device=device,
        out=None if out is None else Path(out),
        name=name,
        launches=launches,
        budget_s=parse_duration(budget) if isinstance(budget, str) else budget,
        resume=resume,
        redo=redo,
        oom_skip=oom_skip,
        seed=seed,
        run_args=json.dumps(typed),
        repro=repro or f"attnbench run {named}",
    )
    return run_suite(request, listener or _silent)


def ab(  # noqa: PLR0913  as many as the command line has flags
    suite: str | Path,
    *,
    base: str | None = None,
    new: str | None = None,
    overrides: Sequence[str] = (),
    select: str | None = None,
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

    typed = {"suite": str(suite), "base": base, "new": new, "select": select}
    request = AbRequest(
        asked=Asked(find(str(suite)), tuple(overrides)),
        base=base,
        new=new,
        device=device,
        select=select,
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
    return _ruled(measure(request, listener or _silent))


def _ruled(done: AbMeasured) -> Ruling:
    """Rule on the two files of an ``ab`` and write the ruling beside them."""
    from attnbench.analysis.ab import rule_ab
    from attnbench.analysis.ab_facts import ruling_facts
    from attnbench.execute.ab.request import ruling_of
    from attnbench.store.atomic import write_text

    try:
        ruling = rule_ab(*done.results, done.rule, done.rule_source, cut=done.cut)
    except NothingSelected as error:
        if done.interrupted:
            raise Interrupted(f"stopped before there was a pair; saved in {done.stem}.*") from error
        raise
    facts = json.dumps(ruling_facts(ruling), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(ruling_of(done.stem), f"{facts}\n")
    return ruling


def check(
    suite: str | Path | Suite = QUICK,
    *,
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    select: str | None = None,
    device: str = "auto",
    listener: Callable[[Event], None] | None = None,
) -> CheckFinished:
    """Check the output of every case of a suite against the reference; time nothing.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.checker import check as check_suite
    from attnbench.execute.request import RunRequest

    loaded = load_suite(suite, backends=backends, overrides=overrides, select=select)
    request = RunRequest(suite=loaded, device=device)
    return check_suite(request, listener or _silent)


def subjects(backends: Sequence[str]) -> list[Case]:
    """Look up backends by name, label or file, files seen from the working directory.

    Raises:
        SuiteError: a backend or an option that does not exist, with the nearest right one.

    """
    from attnbench.conformance import subject
    from attnbench.errors import SuiteError
    from attnbench.registry import Registry
    from attnbench.suite.faults import rendered
    from attnbench.suite.variants import Backends, from_words

    found = from_words(backends, Backends(), Registry(), Path.cwd())
    if found.faults:
        raise SuiteError(rendered(found.faults))
    return [subject(one.name, one.options, one.source) for one in found.variants]


def conform(
    backend: Case,
    *,
    device: str = "auto",
    select: str | None = None,
    budget: str | float | None = None,
    listener: Callable[[ConformanceEvent], None] | None = None,
) -> ConformanceFinished:
    """Put a backend (one of ``subjects``) to the conformance kit.

    ``select`` is a filter over its trials, which have ``theme`` and ``way`` beside a case's fields;
    ``budget`` a duration after which no trial is begun.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.conformance import examine

    seconds = parse_duration(budget) if isinstance(budget, str) else budget
    return examine(backend, device, select=select, budget_s=seconds, listener=listener or _silent)


def plan(
    suite: str | Path | Suite = QUICK,
    *,
    device: str = "auto",
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    select: str | None = None,
) -> Plan:
    """Predict every case of a suite on a device: this one, one of the datasheets, or a run's.

    Needs neither torch nor the device.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.frontier import frontiers
    from attnbench.execute.plan import make_plan
    from attnbench.execute.predict import Predictor
    from attnbench.execute.request import RunRequest
    from attnbench.execute.survey import known_backends

    loaded = load_suite(suite, backends=backends, overrides=overrides, select=select)
    cases = RunRequest(suite=loaded).cases()
    predictor = Predictor(*device_rates(device))
    known = known_backends(cases, elsewhere=not _is_here(device))
    found = make_plan(cases, predictor, loaded.measure, known)
    return replace(found, frontiers=frontiers(found, predictor, known))


def profile(
    suite: str | Path | Suite = QUICK,
    *,
    tool: str = "torch",
    device: str = "auto",
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    select: str | None = None,
    out: str | Path | None = None,
) -> Profiled:
    """Call the one case that is selected once under a profiler: ``torch``, ``ncu`` or ``proton``.

    ``out`` is the file that the profiler leaves. No run is read or written.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.profile.one_case import profile_case

    request = profile_request(
        suite,
        tool=tool,
        device=device,
        out=out,
        backends=backends,
        overrides=overrides,
        select=select,
    )
    return profile_case(request)


def profile_request(
    suite: str | Path | Suite = QUICK,
    *,
    tool: str = "torch",
    device: str = "auto",
    out: str | Path | None = None,
    **choice: Any,
) -> ProfileRequest:
    """Say what ``profile`` would do, and do nothing; ``choice`` is what ``load_suite`` takes.

    Raises:
        AttnbenchError: see ``attnbench.errors`` for the tree.

    """
    from attnbench.profile.one_case import ProfileRequest, the_one_case, tool_named

    chosen = tool_named(tool)
    loaded = load_suite(suite, **choice)
    return ProfileRequest(
        case=the_one_case(loaded),
        settings=loaded.measure,
        tool=chosen,
        device=device,
        out=None if out is None else Path(out),
    )


def device_rates(word: str) -> tuple[Device, Ceilings]:
    """Find a device and its rates: auto, cpu, cuda:0, a datasheet's name, or a run.

    Raises:
        DeviceMissing: no such device is known.
        ResultFileError: the run cannot be read, or measured no ceilings.

    """
    from attnbench.analysis.runs import ceilings_of, find_run
    from attnbench.device.datasheet import SHEETS, default_ceilings, lookup

    if _is_here(word):
        device = _device_here(word)
        return device, default_ceilings(device)
    run = find_run(word)
    if word.lower() in SHEETS or not (run.exists() or "/" in word or run.suffix):
        sheet = lookup(word)
        return sheet.device, sheet.ceilings
    return ceilings_of(run)


def _is_here(word: str) -> bool:
    return word in ("auto", "cpu") or word.startswith("cuda")


def _device_here(word: str) -> Device:
    """The device that a run would take; without torch only the CPU can be described."""
    from attnbench.device.local import cpu_facts
    from attnbench.errors import TorchMissing
    from attnbench.execute.probe import environment

    if word == "cpu":
        return cpu_facts()
    try:
        return environment(word).device
    except TorchMissing:
        if word != "auto":
            raise
        return cpu_facts()


def _silent(event: object) -> None:
    """Listen to nothing."""
