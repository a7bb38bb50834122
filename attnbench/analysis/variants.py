"""What MHA, GQA, MQA and MLA cost on one device: cache, batch, decode time, prefill time.

A variant has the same query heads over more, fewer or latent KV heads. Bytes and FLOPs are exact
(``attnbench.cost``). A time is measured where a run holds that very problem; otherwise it is the
least that the device's rates allow. Every figure says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attnbench.analysis.cases import cases_of
from attnbench.cost import compute_cost
from attnbench.device.rates import Ceilings
from attnbench.errors import ProblemError
from attnbench.models import LayerGroup, Model
from attnbench.models.layers import mla
from attnbench.problem import Problem

# Multi-head latent attention as DeepSeek-V2 and V3 have it (their config.json).
RANK, ROPE = 512, 64
MEASURED, PREDICTED, PARTLY = "measured", "predicted", "partly measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to share KV heads; ``prefill`` and ``decode`` are its layers in either phase."""

    name: str
    prefill: tuple[LayerGroup, ...]
    decode: tuple[LayerGroup, ...]
    is_own: bool = False

    def sharded(self, tp: int) -> Variant:
        """Return what one of ``tp`` devices holds and computes.

        Raises:
            ProblemError: heads that do not divide.

        """
        return replace(
            self,
            prefill=tuple(group.shard(tp) for group in self.prefill),
            decode=tuple(group.shard(tp) for group in self.decode),
        )


def variant_name(q_heads: int, kv_heads: int) -> str:
    """MHA, GQA-8 (eight KV heads), MQA."""
    if kv_heads == q_heads:
        return "MHA"
    return "MQA" if kv_heads == 1 else f"GQA-{kv_heads}"


def variants_of(model: Model) -> tuple[Variant, ...]:
    """Return the variants of a model: MHA, halved down to MQA, its own, and MLA.

    MLA is the model's own where it has it; otherwise it keeps the query heads and the width of the
    values, over a latent of 512 + 64 channels.
    """
    q_heads = model.groups[0].q_heads
    own = None if model.absorbed else model.groups[0].kv_heads
    counts = {q_heads, 1, *([own] if own else [])}
    halved = q_heads
    while halved % 2 == 0:
        halved //= 2
        counts.add(halved)
    found = [
        _grouped(model, kv_heads, is_own=kv_heads == own)
        for kv_heads in sorted(counts, reverse=True)
    ]
    return (*found, _latent(model))


def _grouped(model: Model, kv_heads: int, *, is_own: bool) -> Variant:
    layers = tuple(
        group if is_own else replace(group, kv_heads=kv_heads, latent=False)
        for group in model.groups
    )
    return Variant(
        name=variant_name(model.groups[0].q_heads, kv_heads),
        prefill=layers,
        decode=layers,
        is_own=is_own,
    )


def _latent(model: Model) -> Variant:
    if model.absorbed:
        return Variant(name="MLA", prefill=model.groups, decode=model.absorbed, is_own=True)
    written: list[LayerGroup] = []
    absorbed: list[LayerGroup] = []
    for group in model.groups:
        plain, latent = mla(
            group.q_heads,
            group.layers,
            rank=RANK,
            rope=ROPE,
            nope=group.head_dim,
            v_head_dim=group.v_head_dim or group.head_dim,
        )
        written += [_seen_as(group, one) for one in plain]
        absorbed += [_seen_as(group, one) for one in latent]
    return Variant(name="MLA", prefill=tuple(written), decode=tuple(absorbed))


def _seen_as(group: LayerGroup, latent: LayerGroup) -> LayerGroup:
    """Give a latent layer the mask of the layer that it stands for."""
    seen = {name: getattr(group, name) for name in ("mask", "window", "softcap", "sink_logits")}
    return replace(latent, **seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The fastest ok case of one problem in the runs; seconds."""

    seconds: float
    backend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A time over all layers, where it comes from, and what limits it by the cost model.

    ``backends`` are those that were measured. A predicted time is the least that the traffic and
    the FLOPs need: no kernel is faster.
    """

    seconds: float
    source: str
    bound: str
    backends: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What times are made of; ``device`` and ``ceilings_of`` are for people."""

    device: str
    ceilings: Ceilings
    ceilings_of: str
    measured: Mapping[str, Measured]
    kind: str = "cuda"

    def figure(self, parts: Sequence[tuple[int, Problem]]) -> Figure | None:
        """Add up (layers, problem); None where a dtype has no ceiling."""
        seconds, backends, bounds, sources = 0.0, [], [], []
        for layers, problem in parts:
            found = self._bound(problem)
            if found is None:
                return None
            least, bound = found
            known = self.measured.get(problem.id)
            seconds += layers * (known.seconds if known else least)
            sources.append(MEASURED if known else PREDICTED)
            backends += [known.backend] if known else []
            bounds.append((layers * least, bound))
        source = sources[0] if len(set(sources)) == 1 else PARTLY
        return Figure(
            seconds=seconds,
            source=source,
            bound=max(bounds)[1],
            backends=tuple(dict.fromkeys(backends)),
        )

    def _bound(self, problem: Problem) -> tuple[float, str] | None:
        """Seconds at the roofs, and which of them is the nearer."""
        bandwidth = self.ceilings.peak_bandwidth_gbps
        tflops = self.ceilings.peak_tflops(problem.dtype, self.kind)
        if not bandwidth or not tflops:
            return None
        cost = compute_cost(problem)
        memory, compute = cost.min_bytes / (bandwidth * 1e9), cost.flops / (tflops * 1e12)
        return max((memory, "memory"), (compute, "compute"))


def measured_in(paths: Sequence[Path]) -> dict[str, Measured]:
    """Return the fastest ok case of every problem of these runs.

    Raises:
        ResultFileError: a file cannot be read.

    """
    from attnbench.store import load

    found: dict[str, Measured] = {}
    for path in paths:
        for one in cases_of(load(path)):
            problem_id = one.rows[0]["problem_id"]
            if one.latency is None or problem_id is None:
                continue
            before = found.get(problem_id)
            if before is None or one.latency.seconds < before.seconds:
                found[problem_id] = Measured(seconds=one.latency.seconds, backend=one.backend)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The limits of a search: the weights take ``weight_bytes`` of one device's ``memory_bytes``.

    ``tp`` devices share the heads; ``batch`` is that of the decode step.
    """

    memory_bytes: int
    contexts: tuple[int, ...]
    weight_bytes: int = 0
    tp: int = 1
    batch: int = 8
    dtype: str = "bf16"
    kv_dtype: str | None = None

    @property
    def cache_bytes(self) -> int:
        """What is left for the cache."""
        return max(0, self.memory_bytes - self.weight_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """One variant at one context.

    ``decode`` is one step of ``Budget.batch`` sequences, None where they do not fit or no rate is
    known; ``prefill`` one prompt of the whole context.
    """

    context: int
    largest_batch: int
    fits: bool
    decode: Figure | None
    prefill: Figure | None
    prefill_flops: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One variant: bytes of the cache a token on one device, and its costs at each context.

    ``why_not`` says why the heads cannot be shared among the devices.
    """

    variant: Variant
    kv_bytes_a_token: int | None
    costs: tuple[Costs, ...]
    why_not: str | None = None


def trade_off(model: Model, budget: Budget, rates: Rates) -> tuple[Row, ...]:
    """Return what every variant of a model costs under a budget, the largest cache first."""
    return tuple(_row(variant, budget, rates) for variant in variants_of(model))


def _row(whole: Variant, budget: Budget, rates: Rates) -> Row:
    try:
        variant = whole.sharded(budget.tp)
    except ProblemError as error:
        return Row(variant=whole, kv_bytes_a_token=None, costs=(), why_not=error.message)
    a_token = sum(
        _layers(group) * compute_cost(_decode(group, budget, 1, 1)).kv_cache_bytes
        for group in variant.decode
    )
    return Row(
        variant=variant,
        kv_bytes_a_token=a_token,
        costs=tuple(_costs(variant, a_token, one, budget, rates) for one in budget.contexts),
    )


def _costs(variant: Variant, a_token: int, context: int, budget: Budget, rates: Rates) -> Costs:
    largest = budget.cache_bytes // (a_token * context)
    decode = [(_layers(one), _decode(one, budget, budget.batch, context)) for one in variant.decode]
    prefill = [(_layers(one), _prefill(one, budget, context)) for one in variant.prefill]
    fits = largest >= budget.batch
    return Costs(
        context=context,
        largest_batch=largest,
        fits=fits,
        decode=rates.figure(decode) if fits else None,
        prefill=rates.figure(prefill),
        prefill_flops=sum(layers * compute_cost(problem).flops for layers, problem in prefill),
    )


def _layers(group: LayerGroup) -> int:
    """How many layers; one where the model's source does not say."""
    return group.layers or 1


def _decode(group: LayerGroup, budget: Budget, batch: int, context: int) -> Problem:
    return Problem(
        batch=batch,
        q_len=1,
        kv_len=context,
        dtype=budget.dtype,
        kv_dtype=budget.kv_dtype,
        **group.fields("decode"),
    )


def _prefill(group: LayerGroup, budget: Budget, context: int) -> Problem:
    return Problem(batch=1, q_len=context, dtype=budget.dtype, **group.fields("prefill"))
