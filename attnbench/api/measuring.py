"""Verbs that execute cases, and ``plan``, which predicts what a run would do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.api.backends import silent
from attnbench.api.catalogue import QUICK, device_rates, is_here, load_suite
from attnbench.errors import Interrupted, NothingSelected
from attnbench.units import parse_duration

if TYPE_CHECKING:
    from attnbench.analysis.gate import Ruling
    from attnbench.execute.checker import CheckFinished
    from attnbench.execute.events import AbListener, AbMeasured, Event, Listener, RunFinished
    from attnbench.planning.plan import Plan
    from attnbench.profile.one_case import ProfileRequest
    from attnbench.profile.profiled import Profiled
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
    """Measure a suite.

    Args:
        suite: A path, the name of a shipped suite, or a suite that was read before.
        backends: Backends that replace the suite's own.
        overrides: Fields of the suite to replace, such as ``kv_len=1k,4k``.
        filter: Only matching cases, such as ``decode kv_len>=4k backend=sdpa``.
        device: auto, cpu or cuda:N.
        out: The result file; it must not exist, except with ``resume``.
        name: The run's name; its file is then results/NAME.parquet.
        processes: Fresh worker processes for each case; otherwise the suite's number.
        budget: A duration (``10m`` or seconds) after which no case begins.
        resume: Resume a run that was interrupted.
        redo: With ``resume``: measure again what failed (``failed``) or everything (``all``).
        oom_skip: Skip cases larger than one that ran out of memory.
        seed: Seed for the case order.
        run_args: More facts about the request for the file's footer.
        repro: The command that chooses the same suite again.
        listener: Is called with every event.

    Returns:
        Where the rows are, and how many cases have each status.

    Raises:
        AttnbenchError: See ``attnbench.errors`` for the tree.

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
    """Check the output of every case of a suite against the reference, without timing.

    Args:
        suite: A path, the name of a shipped suite, or a suite that was read before.
        backends: Backends that replace the suite's own.
        overrides: Fields of the suite to replace, such as ``kv_len=1k,4k``.
        filter: Only matching cases.
        device: auto, cpu or cuda:N.
        listener: Is called with every event.

    Raises:
        AttnbenchError: See ``attnbench.errors`` for the tree.

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
    """Predict what a run would do with every case; needs neither torch nor the device.

    Args:
        suite: A path, the name of a shipped suite, or a suite that was read before.
        device: A device of this machine, one with a known datasheet (``h200``), or a run's.
        backends: Backends that replace the suite's own.
        overrides: Fields of the suite to replace, such as ``kv_len=1k,4k``.
        filter: Only matching cases.

    Raises:
        AttnbenchError: See ``attnbench.errors`` for the tree.

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
    """Interleave two versions of a suite and decide whether the new one is slower.

    A side is a backend's name or label, a path ending in .py, ``git:REF``, ``python:PATH``, or None
    for the suite's backends as they are. The files NAME.base.parquet, NAME.new.parquet and
    NAME.ruling.json are written.

    Args:
        suite: A path, or the name of a shipped suite.
        base: The side to compare against.
        new: The side to decide about.
        overrides: Fields of the suite to replace, such as ``kv_len=1k,4k``.
        filter: Only pairs of which either case matches.
        device: auto, cpu or cuda:N.
        rounds: Rounds for all cases.
        confirm: Fresh rounds for cases that may be slower.
        budget: A duration (``10m`` or seconds) after which no round begins.
        max_slowdown: The largest allowed slowdown as a share; otherwise the suite's.
        inconclusive: What an undecided ruling means: fail, warn or pass; otherwise the suite's.
        name: NAME of the files, in results/.
        out: A path up to NAME, instead of ``name``.
        seed: Seed for the case order.
        run_args: More facts about the request for the files' footers.
        repro: The command that measures the same again.
        listener: Is called with every event.

    Raises:
        AttnbenchError: See ``attnbench.errors`` for the tree.

    """
    from attnbench.execute.ab.request import ROUNDS, AbRequest
    from attnbench.execute.ab.rounds import measure
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


def profile(
    suite: str | Path | Suite = QUICK,
    *,
    tool: str = "torch",
    device: str = "auto",
    backends: Sequence[str] = (),
    overrides: Sequence[str] = (),
    filter: str | None = None,
    out: str | Path | None = None,
) -> Profiled:
    """Call one case once under a profiler.

    Args:
        suite: A path, the name of a shipped suite, or a suite that was read before.
        tool: torch, ncu or proton.
        device: auto, cpu or cuda:N.
        backends: Backends that replace the suite's own.
        overrides: Fields of the suite to replace, such as ``kv_len=1k,4k``.
        filter: The filter, which must leave exactly one case.
        out: The file that the profiler writes; it must not exist.

    Returns:
        The kernels that ran, with calls, time and counters. The times are never a latency.

    Raises:
        AttnbenchError: See ``attnbench.errors`` for the tree.

    """
    from attnbench.profile.one_case import profile_case

    request = profile_request(
        suite,
        tool=tool,
        device=device,
        out=out,
        backends=backends,
        overrides=overrides,
        filter=filter,
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
    """Return what ``profile`` would do, and do nothing; ``choice`` goes to ``load_suite``.

    Raises:
        AttnbenchError: See ``attnbench.errors`` for the tree.

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


def _ruled(done: AbMeasured) -> Ruling:
    """Decide from the two files of an ``ab``, and write the ruling beside them."""
    from attnbench.analysis.ab import rule_ab
    from attnbench.execute.ab.request import ruling_of
    from attnbench.render.documents import json_text, ruling_document
    from attnbench.store.atomic import write_text

    try:
        ruling = rule_ab(*done.results, done.rule, done.rule_source, cut=done.cut)
    except NothingSelected as error:
        if done.interrupted:
            raise Interrupted(f"stopped before there was a pair; saved in {done.stem}.*") from error
        raise
    write_text(ruling_of(done.stem), f"{json_text(ruling_document(ruling))}\n")
    return ruling
