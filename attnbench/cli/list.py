"""``attnbench list``: what there is to measure with, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.plugin import Capabilities, OptionSpec

_FEATURES = ("ragged", "paged", "softcap", "alibi", "sinks", "rope", "append")
# A layer must not be mistaken for attention by itself wherever it is listed.
_ATTENTIONS = {"layer": "layer (projections included)"}
Rows = list[tuple[str, ...]]


class Listing(NamedTuple):
    """Rows of one kind of thing with the header first, and the same as JSON objects."""

    rows: Rows
    documents: list[dict[str, Any]]
    empty: str
    right: str = ""


def backends(*, probe: bool) -> Listing:
    """List backends: where they come from, what they can do, and whether they work here."""
    from attnbench import api

    rows: Rows = [("backend", "from", "options", "can", "on this machine")]
    documents = []
    for one in api.list_backends(probe=probe):
        chosen = ", ".join(map(_option_text, one.options.values()))
        can = "" if one.capabilities is None else can_text(one.capabilities)
        rows.append((one.name, one.source, chosen, can, one.state))
        documents.append(
            {
                "name": one.name,
                "source": one.source,
                "version": one.version,
                "about": one.about,
                "options": sorted(one.options),
                "capabilities": one.capabilities and one.capabilities.to_dict(),
                "state": one.state,
                "library": one.library and asdict(one.library),
                "gpus": list(one.gpus),
            }
        )
    return Listing(rows, documents, "no backend")


def can_text(capabilities: Capabilities) -> str:
    """Write what a backend declares beyond dense forward attention: ``bwd causal paged``.

    A backend without plain attention begins with ``only``.
    """
    declared = capabilities.to_dict()
    words = [word for word in ("bwd", "fwd_bwd") if word in declared["modes"]]
    words += [word for word in ("causal", "window") if word in declared["masks"]]
    words += [name for name in _FEATURES if declared[name]]
    others = [_ATTENTIONS.get(one, one) for one in declared["attentions"] if one != "softmax"]
    if "softmax" not in declared["attentions"]:
        return " ".join(["only", *others, *words])
    return " ".join([*words, *others]) or "dense fwd"


def suites() -> Listing:
    """List the suites that come with attnbench."""
    from attnbench import api

    found = api.list_suites()
    rows: Rows = [("suite", "tags", "about")]
    rows += [(one.name, " ".join(one.tags), one.about) for one in found]
    documents = [
        {"name": one.name, "about": one.about, "tags": list(one.tags), "path": str(one.path)}
        for one in found
    ]
    return Listing(rows, documents, "no suite was installed")


def models() -> Listing:
    """List the models whose head layouts ``model:`` knows."""
    from attnbench import api

    found = api.list_models()
    rows: Rows = [("model", "layers")]
    rows += [(name, model.derived.removeprefix(f"{model.name}: ")) for name, model in found.items()]
    documents = [{"name": name, "derived": model.derived} for name, model in found.items()]
    return Listing(rows, documents, "no model")


def metrics() -> Listing:
    """List the metrics of a row, with unit, formula and direction."""
    from attnbench import api

    found = api.list_metrics()
    rows: Rows = [("metric", "unit", "better", "about")]
    rows += [(one.name, one.unit, one.better or "", one.about) for one in found]
    fields = ("name", "column", "unit", "better", "about", "formula")
    documents = [{field: getattr(one, field) for field in fields} for one in found]
    return Listing(rows, documents, "no metric")


def devices() -> Listing:
    """List the device here, and those whose datasheets ``plan`` knows."""
    from attnbench import api
    from attnbench.units import bytes_text

    documents = []
    rows: Rows = [("device", "name", "arch", "memory", "bandwidth", "bf16")]
    for word, device, ceilings in api.list_devices():
        bandwidth = ceilings.peak_bandwidth_gbps
        flops = ceilings.peak_tflops("bf16", device.kind)
        known = ceilings.source == "datasheet"
        rows.append(
            (
                "here" if word == "auto" else word,
                device.name,
                device.arch,
                bytes_text(device.memory_bytes),
                f"{bandwidth:.0f} GB/s" if known and bandwidth else "",
                f"{flops:g} TFLOP/s" if known and flops else "",
            )
        )
        documents.append({"device": word, **asdict(device), "ceilings": ceilings.to_dict()})
    return Listing(rows, documents, "no device", right="   rrr")


def runs() -> Listing:
    """List the runs in results/, newest first."""
    from attnbench import api
    from attnbench.measurement import STATUSES

    documents = []
    rows: Rows = [("run", "suite", "device", "measured", "cases")]
    for one in api.list_runs():
        counts: Mapping[str, int] = one.cases or {}
        listed = ", ".join(
            f"{counts[status]} {status}" for status in STATUSES if counts.get(status)
        )
        when = "" if one.started_at is None else f"{one.started_at:%Y-%m-%d %H:%M}"
        state = one.fault or (listed if one.finished else f"{listed} (unfinished)")
        rows.append((str(one.path), one.suite or "", one.device or "", when, state))
        documents.append(
            {
                "path": str(one.path),
                "suite": one.suite,
                "device": one.device,
                "started_at": one.started_at and one.started_at.isoformat(),
                "cases": dict(counts),
                "finished": one.finished,
                "fault": one.fault,
            }
        )
    return Listing(
        rows, documents, "no run in results/ yet: attnbench run measures the quick suite"
    )


KINDS: dict[str, Callable[[], Listing]] = {
    "suites": suites,
    "models": models,
    "metrics": metrics,
    "devices": devices,
    "runs": runs,
}


@click.command("list")
@click.argument("kind", required=False, type=options.OneOf("backends", *KINDS), metavar="[KIND]")
@click.option("--probe", is_flag=True, help="Import third-party backends to ask what they can do.")
@options.as_json
def command(kind: str | None, probe: bool, as_json: bool) -> int:
    """List KIND: backends (the default), suites, models, metrics, devices or runs."""
    if kind is None:
        kind = "backends"
        click.echo(f"also: attnbench list {'|'.join(KINDS)}", err=True)
    listing = backends(probe=probe) if kind == "backends" else KINDS[kind]()
    if as_json:
        click.echo(json.dumps(listing.documents, indent=1, ensure_ascii=False))
    elif listing.documents:
        from attnbench.render.screen import stdout_console

        stdout_console().table_or_stack(listing.rows, right=listing.right)
    else:
        click.echo(listing.empty, err=True)
    return exit_codes.DONE


def _option_text(option: OptionSpec) -> str:
    from attnbench.case import option_text

    if option.choices:
        return f"{option.name}={'|'.join(map(option_text, option.choices))}"
    return f"{option.name}={option_text(option.default)}"
