"""What the fields of a problem may not be together: (field, whether it is wrong, in words)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attnbench.problem import Problem


def head_rules(problem: Problem) -> Iterator[tuple[str, bool, str]]:
    """Heads that do not divide, and what only some heads can have."""
    q_heads, kv_heads, head_dim = problem.q_heads, problem.n_kv_heads, problem.head_dim
    ratio = f"{q_heads}/{kv_heads} = {q_heads / kv_heads:.4g}"
    shared = f"{q_heads} q_heads cannot be shared by {kv_heads} kv_heads ({ratio})"
    yield "kv_heads", q_heads % kv_heads > 0, shared
    rope_dim, is_odd = problem.rope_dim or 0, head_dim % 2 or problem.v_dim % 2
    rope_words = f"rope_dim is even and at most head_dim; got {rope_dim}"
    yield "rope_dim", rope_dim % 2 > 0 or rope_dim > head_dim, rope_words
    odd_words = "int4 packs two codes a byte along head_dim, which must be even"
    yield "kv_dtype", problem.kv_dtype == "int4" and bool(is_odd), odd_words
    latent_words = "latent takes V from K's first columns: v_head_dim is at most head_dim"
    yield "latent", problem.latent and problem.v_dim > head_dim, latent_words


def mask_rules(problem: Problem) -> Iterator[tuple[str, bool, str]]:
    """Masks, windows and sinks that contradict each other or the lengths."""
    is_window, has_window = problem.mask == "window", problem.window is not None
    needs = "mask: window needs window, how many keys a row sees, itself included"
    yield "mask", is_window and not has_window, needs
    yield "window", has_window and not is_window, "window needs mask: window"
    sink_words = "sinks needs mask: window; any other mask sees the first keys anyway"
    yield "sinks", problem.sinks > 0 and not is_window, sink_words
    softmax_words = f"sinks needs attention: softmax, not {problem.attention}"
    yield "sinks", problem.sinks > 0 and problem.attention != "softmax", softmax_words
    shortest = min(min(one.q_len, one.kv_len) for _, one in problem.request_groups)
    append_words = f"append is at most q_len and kv_len ({shortest}); got {problem.append}"
    yield "append", problem.append > shortest, append_words


def attention_rules(problem: Problem) -> Iterator[tuple[str, bool, str]]:
    """What each mathematics has no meaning for."""
    if problem.attention in ("linear", "additive", "layer"):
        forward_only = f"{problem.attention} attention is priced forward only: mode fwd"
        yield "mode", problem.mode != "fwd", forward_only
    if problem.attention == "layer":
        yield from layer_rules(problem)
    if problem.attention == "linear":
        is_cross = any(one.q_len != one.kv_len for _, one in problem.request_groups)
        yield "kv_len", is_cross, "linear attention runs over one sequence: kv_len equals q_len"
        for field in ("window", "softcap", "sink_logits", "bias"):
            is_set = getattr(problem, field) not in (None, False, "none")
            yield field, is_set, f"linear attention has no scores for {field} to act on"


def layer_rules(problem: Problem) -> Iterator[tuple[str, bool, str]]:
    """A layer computes q, k and v from one input: there is no cache, and no second sequence."""
    for field, is_wrong, what in (
        ("requests", problem.is_ragged, "packed requests"),
        ("kv_len", problem.kv_len != problem.q_len, "a kv_len of its own"),
        ("v_head_dim", problem.v_head_dim != problem.head_dim, "a v_head_dim of its own"),
        ("kv_dtype", problem.kv_dtype != problem.dtype, "a kv_dtype of its own"),
        ("kv_layout", problem.kv_layout == "paged", "a paged cache"),
        ("append", problem.append > 0, "append"),
        ("latent", problem.latent, "a latent cache"),
    ):
        yield field, is_wrong, f"attention: layer computes q, k and v itself; it has no {what}"


def backward_rules(problem: Problem) -> Iterator[tuple[str, bool, str]]:
    """What has no gradient."""
    for field, is_set, what in (
        ("kv_layout", problem.kv_layout == "paged", "a paged cache"),
        ("kv_dtype", problem.is_quantized, "a quantised cache"),
        ("append", problem.append > 0, "append"),
        ("latent", problem.latent, "a latent cache"),
    ):
        words = f"{what} has no gradient: mode {problem.mode} needs it off"
        yield field, problem.mode != "fwd" and is_set, words
