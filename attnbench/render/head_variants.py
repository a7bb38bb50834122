"""What variants of a model's attention cost, on a screen and as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from attnbench.render.screen import Screen
from attnbench.units import bytes_text, count_text, flops_text, rate_text, time_text

if TYPE_CHECKING:
    from attnbench.analysis.variants import Budget, Costs, Figure, Rates, Row
    from attnbench.models import Model

_MARKS = {"measured": "m", "predicted": "p", "partly measured": "m+p"}


def show_variants(
    model: Model, budget: Budget, rates: Rates, rows: Sequence[Row], *, screen: Screen
) -> None:
    """Print a table for each context."""
    for line in _heading(model, budget, rates, rows):
        screen.wrap(line)
    for number, context in enumerate(budget.contexts):
        screen.line()
        said = f"a decode step of {budget.batch} sequences, the prefill of one prompt"
        screen.line(f"context {count_text(context)}: {said}")
        screen.table(list(_lines(rows, number)), right=" rrr r")
    screen.line()
    for line in _legend(model, rows):
        screen.wrap(line, style="dim")
    for row in rows:
        if row.why_not:
            screen.wrap(f"note  {row.variant.name}: {row.why_not}")


def variants_document(
    model: Model, budget: Budget, rates: Rates, rows: Sequence[Row]
) -> dict[str, Any]:
    """Return everything as plain JSON values; see docs/advise.md."""
    return {
        "format": "attnbench.variants/1",
        "model": model.name,
        "layers": [group.layers for group in model.groups],
        "device": rates.device,
        "ceilings": {
            "bandwidth_gbps": rates.ceilings.peak_bandwidth_gbps,
            "tflops": rates.ceilings.peak_tflops(budget.dtype, rates.kind),
            "source": rates.ceilings.source,
        },
        "memory_bytes": budget.memory_bytes,
        "weight_bytes": budget.weight_bytes,
        "tp": budget.tp,
        "batch": budget.batch,
        "dtype": budget.dtype,
        "kv_dtype": budget.kv_dtype or budget.dtype,
        "variants": [
            {
                "variant": row.variant.name,
                "own": row.variant.is_own,
                "reason": row.why_not,
                "kv_bytes_a_token": row.kv_bytes_a_token,
                "contexts": [_cost_facts(one) for one in row.costs],
            }
            for row in rows
        ],
    }


def _cost_facts(one: Costs) -> dict[str, Any]:
    return {
        "context": one.context,
        "largest_batch": one.largest_batch,
        "fits": one.fits,
        "decode": _figure_facts(one.decode),
        "prefill": _figure_facts(one.prefill),
        "prefill_flops": one.prefill_flops,
    }


def _figure_facts(one: Figure | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "seconds": one.seconds,
        "source": one.source,
        "bound": one.bound,
        "backends": list(one.backends),
    }


def _heading(model: Model, budget: Budget, rates: Rates, rows: Sequence[Row]) -> Iterator[str]:
    cache = f", {budget.kv_dtype} cache" if budget.kv_dtype else ""
    yield f"{model.derived}; {budget.dtype}{cache}"
    shared = f", heads shared by {budget.tp} devices" if budget.tp > 1 else ""
    weights = (
        f"less {bytes_text(budget.weight_bytes)} of weights"
        if budget.weight_bytes
        else "all of it for the KV cache (--weights takes off what the weights need)"
    )
    yield f"memory {bytes_text(budget.memory_bytes)} a device, {weights}{shared}"
    bandwidth = rates.ceilings.peak_bandwidth_gbps
    tflops = rates.ceilings.peak_tflops(budget.dtype, rates.kind)
    if not bandwidth or not tflops:
        yield f"no time can be predicted: {rates.device} has no rate for {budget.dtype}"
        return
    known = f"{rate_text(bandwidth * 1e9)}, {flops_text(tflops * 1e12)}"
    yield f"rates of {rates.device}: {known} ({rates.ceilings_of})"
    figures = [one for row in rows for cost in row.costs for one in (cost.decode, cost.prefill)]
    found = dict.fromkeys(name for one in figures if one for name in one.backends)
    if found:
        yield f"measured with {', '.join(found)}"
    elif rates.measured:
        yield "the runs hold none of these problems: every time is predicted"


def _lines(rows: Sequence[Row], number: int) -> Iterator[tuple[str, ...]]:
    yield ("variant", "KV a token", "largest batch", "decode", "limit", "prefill", "limit")
    for row in rows:
        name = f"{row.variant.name}{' *' if row.variant.is_own else ''}"
        if row.kv_bytes_a_token is None:
            yield (name, "-", "-", "-", "", "-", "")
            continue
        one = row.costs[number]
        yield (
            name,
            bytes_text(row.kv_bytes_a_token),
            f"{one.largest_batch:,}",
            _time(one.decode) if one.fits else "does not fit",
            one.decode.bound if one.decode else "",
            _time(one.prefill),
            one.prefill.bound if one.prefill else "",
        )


def _time(one: Figure | None) -> str:
    return "-" if one is None else f"{time_text(one.seconds)} {_MARKS[one.source]}"


def _legend(model: Model, rows: Sequence[Row]) -> Iterator[str]:
    layers = sum(group.layers or 0 for group in model.groups)
    which = f"all {layers} layers" if layers else "one layer (the source does not say how many)"
    yield (
        f"attention alone, {which}, on one device. p: predicted, the least that the traffic and the"
        " FLOPs need at these rates; m: measured, the fastest backend that was right"
    )
    figures = [one for row in rows for cost in row.costs for one in (cost.decode, cost.prefill)]
    if not any(one and one.source != "predicted" for one in figures):
        yield (
            "none is measured yet: run a suite of these problems (`model: NAME` under sweep, as in"
            " the suite models) and name the run here"
        )
    if any(row.variant.is_own for row in rows):
        yield "* what the model has"
    if not model.absorbed:
        yield "MLA as DeepSeek-V3 has it: a latent of 512 + 64 channels a token, V 512 of them"
    if any(group.window for group in model.groups):
        yield "layers with a window hold the whole context in this count, and read the window"
