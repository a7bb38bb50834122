"""``attnbench advise``: which backend for which shapes, or what other head layouts would cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attnbench.cli import exit_codes, options
from attnbench.errors import InputError, OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attnbench.analysis.variants import Budget, Rates, Row
    from attnbench.models import Model

_DEVICE = "h200"
_CONTEXTS = "8k,32k"


@click.command("advise")
@click.argument("runs", nargs=-1, metavar="[RUN…]")
@options.case_filter
@click.option("--out", type=options.FILE, metavar="FILE", help="Write the JSON to this file, too.")
@options.as_json
@click.option("--schema", is_flag=True, help="Print the JSON schema that advice follows.")
@click.option("--variants", is_flag=True, help="Instead: what MHA, GQA, MQA and MLA cost.")
@click.option("--model", metavar="NAME|config.json", help="With --variants: whose heads.")
@click.option("--memory", metavar="141GB", help="With --variants: of one device.")
@click.option("--weights", metavar="70GB", help="With --variants: what the weights take of it.")
@click.option("--context", metavar="8k,32k", help="With --variants: tokens of a sequence.")
@click.option("--batch", type=click.IntRange(min=1), help="With --variants: of the decode step.")
@click.option("--tp", type=click.IntRange(min=1), help="With --variants: devices that share heads.")
@click.option("--dtype", metavar="bf16", help="With --variants.")
@click.option("--kv-dtype", metavar="fp8_e4m3", help="With --variants: of the cache.")
@click.option("--device", metavar="h200", help="With --variants: whose datasheet, without a run.")
def command(
    *,
    runs: tuple[str, ...],
    filter: str | None,
    out: Path | None,
    as_json: bool,
    schema: bool,
    variants: bool,
    **asked: Any,
) -> int:
    """Say which backend to use for which phase, batch and context, as RUN… measured it.

    RUN is a path, a name in results/, or the newest. With --variants: what a model's attention
    would cost as MHA, GQA, MQA and MLA, measured where RUN holds the problem, else predicted.
    """
    if schema:
        from attnbench.analysis.advise.document import schema_text

        click.echo(schema_text().rstrip())
    elif variants:
        _variants(runs, asked, as_json=as_json, out=out)
    else:
        for name, value in asked.items():
            if value is not None:
                raise OptionError(f"--{name.replace('_', '-')} goes with --variants")
        _advise(runs, filter, as_json=as_json, out=out)
    return exit_codes.DONE


def _advise(runs: tuple[str, ...], filter: str | None, *, as_json: bool, out: Path | None) -> None:
    from attnbench.analysis.advise import advise
    from attnbench.analysis.advise.document import text
    from attnbench.analysis.runs import find_run
    from attnbench.render.advice import show
    from attnbench.render.screen import stdout_console

    advice = advise([find_run(name) for name in runs or (None,)], filter=filter)
    written = text(advice)
    if as_json:
        click.echo(written, nl=False)
    else:
        show(advice, stdout_console())
    _write(out, written)


def _variants(
    runs: tuple[str, ...], asked: dict[str, Any], *, as_json: bool, out: Path | None
) -> None:
    from attnbench import models
    from attnbench.analysis.variants import trade_off
    from attnbench.render.head_variants import facts, show
    from attnbench.render.screen import stdout_console

    if asked["model"] is None:
        raise OptionError(
            "--variants needs --model", hint="--model llama-3-70b; attnbench list models"
        )
    model = models.find(asked["model"], folder=Path.cwd())
    rates, memory = _rates(runs, asked["device"])
    budget = _budget(model, asked, memory)
    rows = trade_off(model, budget, rates)
    _require_some(rows, budget)
    written = json.dumps(facts(model, budget, rates, rows), indent=1, ensure_ascii=False) + "\n"
    if as_json:
        click.echo(written, nl=False)
    else:
        show(model, budget, rates, rows, screen=stdout_console())
    _write(out, written)


def _require_some(rows: Sequence[Row], budget: Budget) -> None:
    """A table without one figure says nothing: what was asked cannot be."""
    from attnbench.units import bytes_text

    if budget.cache_bytes == 0:
        weights, memory = bytes_text(budget.weight_bytes), bytes_text(budget.memory_bytes)
        raise InputError(
            f"{weights} of weights leave nothing of {memory} for a KV cache",
            hint="--weights is what one device holds, with --tp N its share; --memory is its size",
        )
    if all(row.why_not for row in rows):
        raise InputError(
            f"--tp {budget.tp}: {rows[0].why_not}", hint="--tp is a number that divides the heads"
        )


def _rates(runs: tuple[str, ...], device: str | None) -> tuple[Rates, int]:
    """The rates of the first run, or of a datasheet; what the runs measured; the memory."""
    from attnbench.analysis.runs import ceilings_of, find_run
    from attnbench.analysis.variants import Rates, measured_in
    from attnbench.device.rates import lookup

    paths = [find_run(name) for name in runs]
    if paths and device is None:
        facts, ceilings = ceilings_of(paths[0])
        whose = "measured in the run"
    else:
        sheet = lookup(device or _DEVICE)
        facts, ceilings, whose = sheet.device, sheet.ceilings, "datasheet"
    rates = Rates(
        device=facts.name,
        ceilings=ceilings,
        ceilings_of=whose,
        measured=measured_in(paths),
        kind=facts.kind,
    )
    return rates, facts.memory_bytes


def _budget(model: Model, asked: dict[str, Any], memory: int) -> Budget:
    from attnbench.analysis.variants import Budget
    from attnbench.problem import DTYPES, KV_DTYPES

    dtype, kv_dtype = asked["dtype"] or model.dtype or "bf16", asked["kv_dtype"]
    for flag, value, known in (("dtype", dtype, DTYPES), ("kv-dtype", kv_dtype, KV_DTYPES)):
        if value is not None and value not in known:
            raise OptionError(f"--{flag} is one of {', '.join(known)}; got {value!r}")
    return Budget(
        memory_bytes=_bytes(asked["memory"], memory),
        weight_bytes=_bytes(asked["weights"], 0),
        contexts=_contexts(asked["context"] or _CONTEXTS),
        tp=asked["tp"] or 1,
        batch=asked["batch"] or 8,
        dtype=dtype,
        kv_dtype=kv_dtype,
    )


def _bytes(text: str | None, otherwise: int) -> int:
    from attnbench.units import parse_bytes

    try:
        return otherwise if text is None else parse_bytes(text)
    except ValueError as error:
        raise InputError(str(error)) from None


def _contexts(text: str) -> tuple[int, ...]:
    from attnbench.units import parse_count

    try:
        found = tuple(parse_count(one) for one in text.split(","))
    except ValueError as error:
        raise InputError(f"--context: {error}") from None
    if min(found) < 1:
        raise InputError("--context is at least 1 token")
    return found


def _write(out: Path | None, text: str) -> None:
    if out is None:
        return
    from attnbench.render.values import shown_path
    from attnbench.store.atomic import check_writable, write_text

    path = out.expanduser()
    check_writable(path.parent)
    write_text(path, text)
    click.echo(f"wrote {shown_path(path)}", err=True)
