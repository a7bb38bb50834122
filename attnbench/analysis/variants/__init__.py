"""What MHA, GQA, MQA and MLA cost on one device: cache, batch, decode time, prefill time.

Bytes and FLOPs are exact (``attnbench.cost``). A time is measured where a run holds that very
problem, and else the least that the device's rates allow; every figure says which.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.analysis.variants.heads import Variant, variant_name, variants_of
from attnbench.analysis.variants.rates import Figure, Rates, measured_in
from attnbench.cost import compute_cost
from attnbench.errors import ProblemError
from attnbench.models import LayerGroup, Model
from attnbench.problem import Problem

__all__ = [
    "Budget",
    "Costs",
    "Figure",
    "Rates",
    "Row",
    "Variant",
    "measured_in",
    "trade_off",
    "variant_name",
    "variants_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is asked: ``memory_bytes`` of one device, of which the weights take ``weight_bytes``.

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
    """Price every variant of a model under a budget, the one with the largest cache first."""
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
