"""Advice as JSON for an engine to load; ``advice.schema.json`` beside this file describes it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from attnbench.analysis.advise import UNSURE_WIN, Advice, DeviceAdvice, Region, Span
from attnbench.analysis.advise.regions import Backend, options_of
from attnbench.stats.latency import CONFIDENCE, SMALLEST_WIN

FORMAT = "attnbench.advice/1"


def document(advice: Advice) -> dict[str, Any]:
    """Return the advice as plain JSON values."""
    from attnbench import __version__

    return {
        "format": FORMAT,
        "attnbench_version": __version__,
        "rule": {
            "smallest_win": SMALLEST_WIN,
            "smallest_win_without_interval": UNSURE_WIN,
            "confidence": CONFIDENCE,
        },
        "devices": [_device(one) for one in advice.devices],
    }


def text(advice: Advice) -> str:
    """Return the JSON text of an advice, with a line feed at its end."""
    return json.dumps(document(advice), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def schema_text() -> str:
    """Return the JSON schema that every advice follows."""
    place = resources.files("attnbench.analysis.advise").joinpath("advice.schema.json")
    return place.read_text(encoding="utf-8")


def _device(one: DeviceAdvice) -> dict[str, Any]:
    return {
        "device_id": one.device_id,
        "device_name": one.name,
        "device_arch": one.arch,
        "device_memory_bytes": one.memory_bytes,
        "runs": [{"run_id": run, "run_name": name} for run, name in one.runs.items()],
        "measured": None if one.measured is None else list(one.measured),
        "warnings": list(one.warnings),
        "regions": [_region(region, one) for region in one.regions],
    }


def _region(region: Region, one: DeviceAdvice) -> dict[str, Any]:
    return {
        "problem": region.shape.problem,
        "timer": region.shape.timer,
        "l2": region.shape.l2,
        "batch": _span(region.batch),
        "context": _span(region.context),
        "use": [_backend(one.backends[label]) for label in region.use],
        "tie": region.is_tie,
        "rival": None
        if region.rival is None
        else {
            "label": region.rival,
            "even": region.even,
            "least": _rounded(region.least),
            "most": _rounded(region.most),
        },
        "regret": _rounded(region.regret),
        "problems": region.cells,
        "disputed": region.disputed,
        "processes": region.processes,
    }


def _span(span: Span | None) -> dict[str, Any] | None:
    if span is None:
        return None
    return {"min": span.low, "max": span.high, "measured": list(span.measured)}


def _backend(one: Backend) -> dict[str, Any]:
    return {"label": one.label, "backend": one.name, "options": options_of(one)}


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
