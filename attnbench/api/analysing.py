"""Verbs that read results: compare, gate, advise, report, export, merge, repair.

A run is a path, a name in results/, or None for the newest run there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnbench.errors import InputError, OptionError

if TYPE_CHECKING:
    from attnbench.analysis.advise import Advice
    from attnbench.analysis.compare import RunComparison
    from attnbench.analysis.export import Exported
    from attnbench.analysis.gate import Ruling
    from attnbench.analysis.selftest import Proof
    from attnbench.analysis.sides import Side
    from attnbench.analysis.variants import Budget, Rates, Row
    from attnbench.models import Model
    from attnbench.report import Written
    from attnbench.store import Repaired
    from attnbench.suite import Gate

Run = str | os.PathLike[str]

_DATASHEET = "h200"


def compare(
    base: Run,
    *new: Run,
    by: str | None = None,
    against: str | None = None,
    filter: str | None = None,
    threshold: float = 0.02,
    fields: Sequence[str] = (),
    prices: Mapping[str, float] | None = None,
) -> list[RunComparison]:
    """Compare runs with a base run, or the groups inside runs with each other.

    Args:
        base: The run to compare against, or a JSON file of pytest-benchmark.
        new: Runs to compare; without ``by`` at least one.
        by: ``gpu``, ``backend``, ``commit`` or a column: compare its values inside all runs.
        against: With ``by``, the value that is the base; otherwise the first.
        filter: Only matching cases.
        threshold: The share within which a change counts as none.
        fields: More columns for ``CaseComparison.facts``.
        prices: Dollars for an hour of a device, such as ``{"H200": 3.80}``.

    Returns:
        A comparison for each new run or value.

    Raises:
        InputError: A file, filter, column or price cannot be used.
        NotComparable: No case was timed by the same method on both sides.
        NothingSelected: The filter matches nothing, or there is no common case.

    """
    from attnbench.analysis.compare import compare as compare_files

    return compare_files(
        found(base),
        *map(found, new),
        by=by,
        against=against,
        filter=filter,
        threshold=threshold,
        fields=fields,
        prices=prices,
    )


def gate(
    run: Run | None,
    baselines: Run | Iterable[Run],
    *,
    max_slowdown: float | None = None,
    inconclusive: str | None = None,
    filter: str | None = None,
    any_chip: bool = False,
) -> Ruling:
    """Decide whether a run is slower than stored baselines of the same suite and device.

    Args:
        run: The run to decide about.
        baselines: Accepted runs, or folders of them; the run itself is left out.
        max_slowdown: The largest allowed slowdown as a share; otherwise the suite's.
        inconclusive: What an undecided ruling means: fail, warn or pass; otherwise the suite's.
        filter: Only matching cases.
        any_chip: Allow baselines of another chip of the same kind.

    Raises:
        InputError: A file or the filter cannot be read, or there is no limit anywhere.
        NotComparable: Another device, another chip without ``any_chip``, or another method.
        NothingSelected: No common case, or none that is ok in the baseline.

    """
    from attnbench.analysis.gate import rule_on

    sides, new, rule, source = _gate_inputs(run, baselines, max_slowdown, inconclusive, filter)
    return rule_on(sides, new, rule, source, any_chip=any_chip)


def prove_gate(
    run: Run | None,
    baselines: Run | Iterable[Run],
    *,
    max_slowdown: float | None = None,
    inconclusive: str | None = None,
    filter: str | None = None,
    any_chip: bool = False,
) -> Proof:
    """Plant slowdowns into a run and return whether its gate finds them; arguments as ``gate``.

    Raises:
        AttnbenchError: As ``gate``.

    """
    from attnbench.analysis.selftest import prove

    sides, new, rule, source = _gate_inputs(run, baselines, max_slowdown, inconclusive, filter)
    return prove(sides, new, rule, source, any_chip=any_chip)


def accept(run: Run, filter: str, reason: str) -> list[str]:
    """Accept cases of a run as they are, so that their baseline starts anew with it.

    Args:
        run: The run, into whose footer the acceptance is written.
        filter: The cases to accept.
        reason: Why they may be as they are.

    Returns:
        The labels of the accepted cases.

    Raises:
        InputError: The filter cannot be read, or there is no reason.
        NothingSelected: The filter matches no case.
        OutputError: The file cannot be written; it stays as it was.
        ResultFileError: The run is not a finished result of attnbench.

    """
    from attnbench.analysis.accept import accept as accept_cases

    return accept_cases(found(run), filter, reason)


def advise(runs: Run | Iterable[Run] | None = None, *, filter: str | None = None) -> Advice:
    """Say which backend to use for which phase, batch and context.

    Args:
        runs: One or several runs; runs of one device are joined, devices never.
        filter: Only matching cases.

    Raises:
        InputError: A run or the filter cannot be read.
        NothingSelected: No case is left, or none is ok.

    """
    from attnbench.analysis.advise import advise as advise_files

    return advise_files(_several(runs), filter=filter)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadVariants:
    """What a model's attention costs as MHA, GQA, MQA and MLA."""

    model: Model
    budget: Budget
    rates: Rates
    rows: tuple[Row, ...]


def head_variants(  # noqa: PLR0913  as many as the command line has flags
    model: Run,
    *,
    runs: Iterable[Run] = (),
    device: str | None = None,
    memory: str | int | None = None,
    weights: str | int = 0,
    contexts: str | Sequence[int] = "8k,32k",
    batch: int = 8,
    tp: int = 1,
    dtype: str | None = None,
    kv_dtype: str | None = None,
) -> HeadVariants:
    """Estimate the cost of a model's attention as MHA, GQA, MQA and MLA.

    A time is measured where a run holds the problem, and otherwise predicted from the rates of the
    first run's device or of a datasheet.

    Args:
        model: The name of a known model, or the path of a config.json.
        runs: Runs to take measured times from.
        device: A device with a known datasheet, instead of the first run's.
        memory: Memory of one device in bytes, or as text (``141GB``); otherwise the device's.
        weights: Memory that the weights need on one device, in bytes or as text.
        contexts: Tokens of a sequence, as numbers or as text (``8k,32k``).
        batch: Sequences of the decode step.
        tp: Devices that share the heads.
        dtype: Data type of Q, K and V; otherwise the model's, or bf16.
        kv_dtype: Data type of the cache; otherwise ``dtype``.

    Raises:
        InputError: The model, a size or a run cannot be read, or the weights leave no memory.
        OptionError: A data type is unknown.

    """
    from attnbench import models
    from attnbench.analysis.variants import Budget, trade_off
    from attnbench.problem import DTYPES, KV_DTYPES

    chosen = models.find(str(model), folder=Path.cwd())
    rates, device_bytes = _rates([found(one) for one in runs], device)
    dtype = dtype or chosen.dtype or "bf16"
    for flag, value, known in (("dtype", dtype, DTYPES), ("kv-dtype", kv_dtype, KV_DTYPES)):
        if value is not None and value not in known:
            raise OptionError(f"--{flag} is one of {', '.join(known)}; got {value!r}")
    budget = Budget(
        memory_bytes=device_bytes if memory is None else _bytes(memory),
        weight_bytes=_bytes(weights),
        contexts=_contexts(contexts),
        tp=tp,
        batch=batch,
        dtype=dtype,
        kv_dtype=kv_dtype,
    )
    rows = trade_off(chosen, budget, rates)
    _require_figures(rows, budget)
    return HeadVariants(model=chosen, budget=budget, rates=rates, rows=rows)


def report(  # noqa: PLR0913  as many as the command line has flags
    runs: Run | Iterable[Run] | None = None,
    out: Run | None = None,
    *,
    filter: str | None = None,
    title: str | None = None,
    baseline: str | None = None,
    colours: Mapping[str, int] | None = None,
    by: str | None = None,
    against: str | None = None,
    threshold: float | None = None,
    prices: Mapping[str, float] | None = None,
) -> Written:
    """Write one HTML file about runs, which opens offline.

    Args:
        runs: One or several runs; the first is compared with each other one.
        out: The file; otherwise reports/, named after the first run.
        filter: Only matching cases.
        title: The report's title; otherwise suite and device.
        baseline: The backend label that speed-ups are relative to.
        colours: A place in the palette, from 1 to 10, for labels.
        by: Compare groups inside the runs, as in ``compare``.
        against: With ``by``, the value that is the base.
        threshold: The share within which a change counts as none.
        prices: Dollars for an hour of a device.

    Raises:
        InputError: A run cannot be read, or a filter, label, colour or price is wrong.
        NothingSelected: No row is left.
        OutputError: The file cannot be written.

    """
    from attnbench.report import report as write_report

    paths = _several(runs)
    return write_report(
        paths,
        out or Path("reports") / f"{Path(paths[0]).stem}.html",
        filter=filter,
        title=title,
        baseline=baseline,
        colours=colours,
        by=by,
        against=against,
        threshold=threshold,
        prices=prices,
    )


def report_figure(
    figure: str,
    runs: Run | Iterable[Run] | None = None,
    out: Run | None = None,
    *,
    mode: str = "light",
    filter: str | None = None,
    baseline: str | None = None,
    colours: Mapping[str, int] | None = None,
    prices: Mapping[str, float] | None = None,
) -> Path:
    """Write one figure of a report as an SVG file and return its path.

    Args:
        figure: The figure's name, such as ``crossover``.
        runs: One or several runs.
        out: The file; otherwise reports/, named after the first run and the figure.
        mode: light or dark.
        filter: Only matching cases.
        baseline: The backend label that speed-ups are relative to.
        colours: A place in the palette, from 1 to 10, for labels.
        prices: Dollars for an hour of a device.

    Raises:
        InputError: A run cannot be read, or a name, filter, label or price is wrong.
        NothingSelected: No row is left, or the figure has no data.
        OutputError: The file cannot be written.

    """
    from attnbench.report import picture

    paths = _several(runs)
    return picture(
        paths,
        out or Path("reports") / f"{Path(paths[0]).stem}-{figure}.svg",
        figure=figure,
        mode=mode,
        filter=filter,
        baseline=baseline,
        colours=colours,
        prices=prices,
    )


def export(run: Run | None = None, form: str = "csv", *, filter: str | None = None) -> Exported:
    """Return the rows of a run as text in the format of another tool.

    Args:
        run: The run.
        form: csv, markdown, pytest-benchmark, github-action-benchmark or bencher.
        filter: Only matching cases.

    Raises:
        InputError: The run, the filter or the format's name is wrong.
        NothingSelected: The filter matches no case.

    """
    from attnbench.analysis.cases import filtered
    from attnbench.analysis.export import export as export_rows
    from attnbench.store import load

    return export_rows(filtered(load(found(run)), filter), form)


def merge(runs: Run | Iterable[Run], out: Run) -> int:
    """Join result files, folders of them or patterns into a new file; return its number of rows.

    Raises:
        NameTakenError: ``out`` exists.
        OutputError: ``out`` cannot be written.
        ResultFileError: A file cannot be read, or two disagree about one row of one run.

    """
    from attnbench.store import merge_runs

    return merge_runs(runs, Path(out))


def repair(run: Run) -> Repaired:
    """Rebuild the result file of a run from its journal; ``run`` names either of the two.

    Raises:
        NameTakenError: The run is still being written.
        OutputError: The result file cannot be written; the journal is kept.
        ResultFileError: There is no journal, or it is damaged or empty.

    """
    from attnbench.store import repair_run

    return repair_run(found(run))


def found(run: Run | None) -> Path:
    """Return the file of a run: a path, a name in results/, or the newest run there."""
    from attnbench.analysis.runs import find_run

    return find_run(None if run is None else os.fspath(run))


def _several(runs: Run | Iterable[Run] | None) -> list[Path]:
    names = [runs] if runs is None or isinstance(runs, str | os.PathLike) else list(runs)
    return [found(one) for one in names or (None,)]


def _gate_inputs(
    run: Run | None,
    baselines: Run | Iterable[Run],
    max_slowdown: float | None,
    inconclusive: str | None,
    filter: str | None,
) -> tuple[list[Side], Side, Gate, str]:
    """Read both sides, and the rule with its source."""
    from attnbench.analysis.gate import load_baselines, load_run, rule_for
    from attnbench.store import result_files

    new = load_run(found(run), filter)
    path = new.paths[0]
    names = [baselines] if isinstance(baselines, str | os.PathLike) else list(baselines)
    places = [Path(name) if Path(name).is_dir() else found(name) for name in names]
    files = [one for one in result_files(places) if one.resolve() != path.resolve()]
    if not files:
        raise InputError(f"{path} is its own only baseline", hint="name an earlier accepted run")
    base = load_baselines(files, filter)
    return base, new, *rule_for(new, max_slowdown=max_slowdown, inconclusive=inconclusive)


def _rates(paths: Sequence[Path], device: str | None) -> tuple[Rates, int]:
    """Return the rates of the first run or of a datasheet, and the device's memory in bytes."""
    from attnbench.analysis.runs import ceilings_of
    from attnbench.analysis.variants import Rates, measured_in
    from attnbench.device.rates import lookup

    if paths and device is None:
        described, ceilings = ceilings_of(paths[0])
        source = "measured in the run"
    else:
        sheet = lookup(device or _DATASHEET)
        described, ceilings, source = sheet.device, sheet.ceilings, "datasheet"
    rates = Rates(
        device=described.name,
        ceilings=ceilings,
        ceilings_of=source,
        measured=measured_in(paths),
        kind=described.kind,
    )
    return rates, described.memory_bytes


def _require_figures(rows: Sequence[Row], budget: Budget) -> None:
    """Refuse a request for which no variant has a figure."""
    from attnbench.units import bytes_text

    if budget.cache_bytes == 0:
        weights, memory = bytes_text(budget.weight_bytes), bytes_text(budget.memory_bytes)
        raise InputError(
            f"{weights} of weights leave nothing of {memory} for a KV cache",
            hint="--weights is for one device, with --tp N its share; --memory is its size",
        )
    if all(row.why_not for row in rows):
        raise InputError(
            f"--tp {budget.tp}: {rows[0].why_not}", hint="--tp is a number that divides the heads"
        )


def _bytes(size: str | int) -> int:
    from attnbench.units import parse_bytes

    try:
        return parse_bytes(size) if isinstance(size, str) else size
    except ValueError as error:
        raise InputError(str(error)) from None


def _contexts(contexts: str | Sequence[int]) -> tuple[int, ...]:
    from attnbench.units import parse_count

    try:
        parts: Iterable[Any] = contexts.split(",") if isinstance(contexts, str) else contexts
        tokens = tuple(one if isinstance(one, int) else parse_count(one) for one in parts)
    except ValueError as error:
        raise InputError(f"--context: {error}") from None
    if not tokens or min(tokens) < 1:
        raise InputError("--context must be at least 1 token")
    return tokens
