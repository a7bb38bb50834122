"""``attnbench list``: what there is to measure with, and what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from attnbench.cli import exit_codes, options

if TYPE_CHECKING:
    from attnbench.plugin import Capabilities, OptionSpec


_FEATURES = ("ragged", "paged", "softcap", "alibi", "sinks", "rope", "append")
# What must not be taken for attention alone says so wherever it is listed.
_ATTENTIONS = {"layer": "layer (projections included)"}
Rows = list[tuple[str, ...]]


class Listing(NamedTuple):
    """Rows of one kind of thing: the first of ``rows`` is the header."""

    rows: Rows
    facts: list[dict[str, Any]]
    empty: str
    right: str = ""


def backends(*, probe: bool) -> Listing:
    """Backends with where they are from, what they can do, and why not on this machine."""
    from dataclasses import asdict

    from attnbench.execute.probe import probe as ask_worker
    from attnbench.registry import Registry

    rows: Rows = [("backend", "from", "options", "can", "on this machine")]
    facts = []
    for one in Registry().listed(ask_worker if probe else None):
        chosen = ", ".join(map(_option_text, one.options.values()))
        can = "" if one.capabilities is None else can_text(one.capabilities)
        rows.append((one.name, one.source, chosen, can, one.state))
        facts.append(
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
    return Listing(rows, facts, "no backend")


def can_text(capabilities: Capabilities) -> str:
    """What a backend declares beyond plain dense attention forward: ``bwd causal paged``.

    One that does no plain attention at all begins with ``only``.
    """
    facts = capabilities.to_dict()
    words = [word for word in ("bwd", "fwd_bwd") if word in facts["modes"]]
    words += [word for word in ("causal", "window") if word in facts["masks"]]
    words += [name for name in _FEATURES if facts[name]]
    others = [_ATTENTIONS.get(one, one) for one in facts["attentions"] if one != "softmax"]
    if "softmax" not in facts["attentions"]:
        return " ".join(["only", *others, *words])
    return " ".join([*words, *others]) or "dense fwd"


def suites() -> Listing:
    """The suites that come with attnbench."""
    from attnbench.suite import shipped

    found = shipped()
    rows: Rows = [("suite", "tags", "about")]
    rows += [(one.name, " ".join(one.tags), one.about) for one in found]
    facts = [
        {"name": one.name, "about": one.about, "tags": list(one.tags), "path": str(one.path)}
        for one in found
    ]
    return Listing(rows, facts, "no suite was installed")


def models() -> Listing:
    """The named head layouts that ``model:`` knows."""
    from attnbench.models import MODELS

    rows: Rows = [("model", "layers")]
    facts = []
    for name, model in MODELS.items():
        rows.append((name, model.derived.removeprefix(f"{model.name}: ")))
        facts.append({"name": name, "derived": model.derived})
    return Listing(rows, facts, "no model")


def metrics() -> Listing:
    """The numbers of a row, with unit, formula and which end is better."""
    from attnbench.metrics import METRICS

    rows: Rows = [("metric", "unit", "better", "about")]
    rows += [(one.name, one.unit, one.better or "", one.about) for one in METRICS.values()]
    facts = [
        {
            "name": one.name,
            "column": one.column,
            "unit": one.unit,
            "better": one.better,
            "about": one.about,
            "formula": one.formula,
        }
        for one in METRICS.values()
    ]
    return Listing(rows, facts, "no metric")


def devices() -> Listing:
    """The device here, and those whose datasheet is known to ``plan``."""
    from dataclasses import asdict

    from attnbench.api import device_rates
    from attnbench.device.rates import GPU_SPECS
    from attnbench.units import bytes_text

    facts = []
    rows: Rows = [("device", "name", "arch", "memory", "bandwidth", "bf16")]
    names = ["auto", *GPU_SPECS]
    for word in names:
        device, ceilings = device_rates(word)
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
        facts.append({"device": word, **asdict(device), "ceilings": ceilings.to_dict()})
    return Listing(rows, facts, "no device", right="   rrr")


def runs() -> Listing:
    """The runs in results/, the newest first."""
    from attnbench.analysis.runs import list_runs
    from attnbench.measurement import STATUSES

    facts = []
    rows: Rows = [("run", "suite", "device", "measured", "cases")]
    for one in list_runs():
        counts: Mapping[str, int] = one.cases or {}
        told = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts.get(status))
        when = "" if one.started_at is None else f"{one.started_at:%Y-%m-%d %H:%M}"
        state = one.fault or (told if one.finished else f"{told} (unfinished)")
        rows.append((str(one.path), one.suite or "", one.device or "", when, state))
        facts.append(
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
    return Listing(rows, facts, "no run in results/ yet: attnbench run measures the quick suite")


KINDS: dict[str, Callable[[], Listing]] = {
    "suites": suites,
    "models": models,
    "metrics": metrics,
    "devices": devices,
    "runs": runs,
}
_ALL = ("backends", *KINDS)


@click.command("list")
@click.argument("kind", required=False, type=options.OneOf(*_ALL), metavar="[KIND]")
@click.option("--probe", is_flag=True, help="Import third-party backends to ask what they can do.")
@options.as_json
def command(kind: str | None, probe: bool, as_json: bool) -> int:
    """List KIND: backends (the default), suites, models, metrics, devices or runs."""
    from attnbench.render.screen import stdout_console

    if kind is None:
        kind = "backends"
        click.echo(f"also: attnbench list {'|'.join(KINDS)}", err=True)
    listing = backends(probe=probe) if kind == "backends" else KINDS[kind]()
    if as_json:
        click.echo(json.dumps(listing.facts, indent=1, ensure_ascii=False))
    elif listing.facts:
        stdout_console().table_or_stack(listing.rows, right=listing.right)
    else:
        click.echo(listing.empty, err=True)
    return exit_codes.DONE


def _option_text(option: OptionSpec) -> str:
    from attnbench.case import option_text

    if option.choices:
        return f"{option.name}={'|'.join(map(option_text, option.choices))}"
    return f"{option.name}={option_text(option.default)}"
