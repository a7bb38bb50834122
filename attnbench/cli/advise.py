"""``attnbench advise``: which backend for which shapes, or what other head layouts would cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from attnbench.cli import exit_codes, options


@click.command("advise")
@click.argument("runs", nargs=-1, metavar="[RUN…]")
@options.case_filter
@click.option("--out", type=options.FILE, metavar="FILE", help="Write the JSON to FILE, too.")
@options.as_json
@click.option("--schema", is_flag=True, help="Print the JSON schema of advice.")
@click.option(
    "--variants",
    is_flag=True,
    help="Estimate the cost of MHA, GQA, MQA and MLA for a model instead.",
)
@click.option(
    "--model",
    metavar="NAME|config.json",
    help="Model whose head layout is used (requires --variants).",
)
@click.option("--memory", metavar="141GB", help="Memory of one device (requires --variants).")
@click.option(
    "--weights",
    metavar="70GB",
    help="Memory that the weights need on one device (requires --variants).",
)
@click.option("--context", metavar="8k,32k", help="Tokens of a sequence (requires --variants).")
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Sequences of the decode step (requires --variants).",
)
@click.option(
    "--tp", type=click.IntRange(min=1), help="Devices that share the heads (requires --variants)."
)
@click.option("--dtype", metavar="bf16", help="Data type of Q, K and V (requires --variants).")
@click.option(
    "--kv-dtype", metavar="fp8_e4m3", help="Data type of the cache (requires --variants)."
)
@click.option(
    "--device",
    metavar="h200",
    help="Device whose datasheet is used, without a run (requires --variants).",
)
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
    """Say which backend to use for which phase, batch and context, from measured RUN….

    RUN is a path, a name in results/, or the newest. With --variants: what a model's attention
    would cost as MHA, GQA, MQA and MLA, measured where RUN holds the problem, otherwise predicted.
    """
    if schema:
        from attnbench.analysis.advise.document import schema_text

        click.echo(schema_text().rstrip())
    elif variants:
        _show_variants(runs, asked, as_json=as_json, out=out)
    else:
        from attnbench.errors import OptionError

        for name, value in asked.items():
            if value is not None:
                raise OptionError(f"--{name.replace('_', '-')} requires --variants")
        _show_advice(runs, filter, as_json=as_json, out=out)
    return exit_codes.DONE


def _show_advice(
    runs: tuple[str, ...], filter: str | None, *, as_json: bool, out: Path | None
) -> None:
    from attnbench import api
    from attnbench.analysis.advise.document import text
    from attnbench.render.advice import show_advice
    from attnbench.render.screen import stdout_console

    advice = api.advise(runs, filter=filter)
    written = text(advice)
    if as_json:
        click.echo(written, nl=False)
    else:
        show_advice(advice, stdout_console())
    if out is not None:
        options.write_out(out, written)


def _show_variants(
    runs: tuple[str, ...], asked: dict[str, Any], *, as_json: bool, out: Path | None
) -> None:
    from attnbench import api
    from attnbench.errors import OptionError
    from attnbench.render.documents import json_text
    from attnbench.render.head_variants import show_variants, variants_document
    from attnbench.render.screen import stdout_console

    model, contexts = asked.pop("model"), asked.pop("context")
    if model is None:
        raise OptionError(
            "--variants requires --model", hint="--model llama-3-70b; attnbench list models"
        )
    given = {name: value for name, value in asked.items() if value is not None}
    if contexts is not None:
        given["contexts"] = contexts
    found = api.head_variants(model, runs=runs, **given)
    parts = (found.model, found.budget, found.rates, found.rows)
    written = json_text(variants_document(*parts)) + "\n"
    if as_json:
        click.echo(written, nl=False)
    else:
        show_variants(*parts, screen=stdout_console())
    if out is not None:
        options.write_out(out, written)
