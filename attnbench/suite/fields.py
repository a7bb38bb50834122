"""Every single value of a suite file: what it may say, its default and what it means.

The one source of the validation, of the JSON schema and of the tables in docs/suites.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attnbench.measurement import L2_STATES, TIMERS
from attnbench.method import ENERGY_WINDOW_S, FLUSHES
from attnbench.problem import CHOICES, FLAGS, NOT_NEGATIVE, POSITIVE, POSITIVE_NUMBERS
from attnbench.suite.readers import Reader, flag, off_or_from, real, share, text, whole, word


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One key with a single value; ``values`` and ``default`` are for people."""

    name: str
    read: Reader
    values: str
    default: str
    about: str
    schema: Mapping[str, Any]

    def __call__(self, value: Any) -> Any:
        """Return the value as it is meant.

        Raises:
            ValueFault: it cannot be.

        """
        return self.read(self.name, value)


_COUNT_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": "^[0-9]+[kKmMgG]?$"},
    ]
}
_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": "^[0-9]+[kKmMgG]?$"},
    ]
}
_SHARE_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
        {"type": "string", "pattern": "^[0-9.]+ *%$"},
    ]
}
_TEXT_SCHEMA = {"type": "string", "minLength": 1}


def _count(name: str, default: str, about: str, low: int = 1) -> FieldSpec:
    schema = _COUNT_SCHEMA if low else _SIZE_SCHEMA
    kind = "whole number above 0" if low else "whole number from 0"
    return FieldSpec(name, whole(low), kind, default, about, schema)


def _number(name: str, default: str, about: str, *, zero: bool = False) -> FieldSpec:
    bound = {"minimum": 0} if zero else {"exclusiveMinimum": 0}
    kind = "number from 0" if zero else "number above 0"
    return FieldSpec(name, real(zero=zero), kind, default, about, {"type": "number", **bound})


def _energy(name: str) -> FieldSpec:
    low = ENERGY_WINDOW_S
    return FieldSpec(
        name,
        off_or_from(low, "a board's energy counter moves in steps of up to 100 ms"),
        f"0, or a number from {low:g}",
        "0",
        "seconds of calls back to back, for energy_j_per_call; on a GPU",
        {"anyOf": [{"const": 0}, {"type": "number", "minimum": low}]},
    )


def _word(name: str, words: tuple[str, ...], default: str, about: str) -> FieldSpec:
    return FieldSpec(name, word(words), ", ".join(words), default, about, {"enum": list(words)})


def _flag(name: str, about: str) -> FieldSpec:
    return FieldSpec(name, flag, "true, false", "false", about, {"type": "boolean"})


def _text(name: str, default: str, about: str, values: str = "text") -> FieldSpec:
    return FieldSpec(name, text, values, default, about, _TEXT_SCHEMA)


def _share(name: str, default: str, about: str) -> FieldSpec:
    return FieldSpec(name, share, "share: 3% or 0.03", default, about, _SHARE_SCHEMA)


# name: (default, what it means), in the order of Problem; the kinds follow from attnbench.problem.
_PROBLEM: dict[str, tuple[str, str]] = {
    "mode": ("fwd", "forward, backward, or both in one call"),
    "batch": ("1", "sequences"),
    "q_len": ("", "query tokens a sequence"),
    "kv_len": ("q_len", "key tokens a sequence, the new ones included"),
    "requests": ("", "a ragged batch such as 2q2k_8q1s1k, instead of batch, q_len and kv_len"),
    "q_heads": ("", "query heads"),
    "kv_heads": ("q_heads", "KV heads; 1 is MQA, q_heads is MHA"),
    "head_dim": ("", "width of q and k"),
    "v_head_dim": ("head_dim", "width of v and the output"),
    "dtype": ("", "of q and the output"),
    "kv_dtype": ("dtype", "of k and v; a narrower one is a quantised cache with scales"),
    "mask": ("none", "which keys a row sees; window is causal and at most `window` keys"),
    "mask_align": ("bottom_right", "where a causal mask begins if q_len is not kv_len"),
    "window": ("", "keys a row sees, itself included; with mask: window"),
    "sinks": ("0", "first keys that are always seen; with mask: window"),
    "sink_logits": ("false", "one learned logit a head in the denominator, as gpt-oss has"),
    "bias": ("none", "what is added to the scores"),
    "softcap": ("", "scores become softcap * tanh(score / softcap)"),
    "scale": ("1/sqrt(head_dim)", "what the scores are multiplied by"),
    "rope": ("none", "rotary embedding inside the call"),
    "rope_base": ("10000", "with rope"),
    "rope_dim": ("head_dim", "rotated channels; with rope"),
    "append": ("0", "new k, v rows that the call first writes at the end of the cache"),
    "attention": ("softmax", "which mathematics"),
    "feature": ("elu1", "feature map; with attention: linear"),
    "chunk": ("64", "tokens a chunk; with attention: linear"),
    "additive_dim": ("64", "width of the additive score; with attention: additive"),
    "block": ("128", "tokens a block; with attention: block_sparse"),
    "density": ("0.25", "share of the blocks that is kept; with attention: block_sparse"),
    "pattern": ("random", "which blocks; with attention: block_sparse"),
    "kv_layout": ("contiguous", "how the cache lies in memory"),
    "page_size": ("16", "tokens a page; with kv_layout: paged"),
    "page_order": ("shuffled", "of the pages in memory; with kv_layout: paged"),
    "page_format": ("nhd", "axes of a page; with kv_layout: paged"),
    "input_dist": ("normal", "how the inputs are drawn"),
    "seed": ("0", "of the inputs"),
    "latent": ("false", "v is the first v_head_dim columns of k, as in MLA's absorbed form"),
    "model": ("", "a named layout or ./config.json, instead of the head fields"),
    "tp": ("1", "devices that share a model's heads; with model"),
}


def _problem_leaf(name: str) -> FieldSpec:
    default, about = _PROBLEM[name]
    if name in CHOICES:
        return _word(name, CHOICES[name], default, about)
    if name in POSITIVE or name == "tp":
        return _count(name, default, about)
    if name in NOT_NEGATIVE:
        return _count(name, default, about, low=0)
    if name in POSITIVE_NUMBERS:
        return _number(name, default, about)
    if name in FLAGS:
        return _flag(name, about)
    values = "vLLM's batch grammar" if name == "requests" else "name or path"
    return _text(name, default, about, values)


PROBLEM: dict[str, FieldSpec] = {name: _problem_leaf(name) for name in _PROBLEM}

MEASURE: dict[str, FieldSpec] = {
    leaf.name: leaf
    for leaf in (
        _count("processes", "3", "fresh processes"),
        _number("warmup_s", "0.1", "seconds of warm-up, and at least 3 calls", zero=True),
        _number(
            "sample_s", "0.3", "seconds of sampling in a process: 10 to 200 samples, 3 at least"
        ),
        _share("max_noise", "1%", "stop earlier when the in-process interval is under it"),
        _energy("energy_s"),
        _number("case_limit_s", "5", "predicted seconds of a case above which it is skipped"),
        _number("compile_s", "120", "seconds that prepare and the first call may take"),
        _number("deadline_s", "10 + 4 x case_limit_s", "seconds that everything after may take"),
        _word("timer", ("auto", *TIMERS), "auto", "how calls are timed; may be a list"),
        _word("l2", ("auto", *L2_STATES), "auto", "cold on CUDA, warm on a CPU; may be a list"),
        _word("flush", FLUSHES, "read", "how the last-level cache is made cold"),
    )
}
# These two may be lists: each way of timing is measured.
MEASURE_LISTS = ("timer", "l2")

GATE: dict[str, FieldSpec] = {
    leaf.name: leaf
    for leaf in (
        _share("max_slowdown", "2%", "how much slower a case may become"),
        _count("min_processes", "5", "processes without which a case is inconclusive"),
        _word("inconclusive", ("warn", "fail", "pass"), "warn", "what an inconclusive gate does"),
    )
}

LIMIT: dict[str, FieldSpec] = {
    leaf.name: leaf
    for leaf in (
        _text("where", "", "the cases that this limit is for", "FILTER"),
        _share("max_slowdown", "", "how much slower they may become"),
    )
}

PUBLISHED: dict[str, FieldSpec] = {
    leaf.name: leaf
    for leaf in (
        _text("where", "", "the cases that the figure is for", "FILTER"),
        _text("device", "", "what it was measured on"),
        _text("backend", "", "what was measured"),
        _number("latency_us", "", "microseconds a call"),
        _number("tflops", "", "TFLOP/s"),
        _number("gbps", "", "GB/s, 1 GB = 1e9 B"),
    )
}
FIGURES = ("latency_us", "tflops", "gbps")


def markdown(table: Mapping[str, FieldSpec]) -> str:
    """Write a table for docs/suites.md."""
    head = "| key | what it may say | default | meaning |\n|---|---|---|---|\n"
    rows = [
        f"| `{leaf.name}` | {leaf.values} | {leaf.default or '-'} | {leaf.about} |\n"
        for leaf in table.values()
    ]
    return head + "".join(rows)
