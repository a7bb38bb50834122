"""What a problem costs, exactly: pairs, FLOPs, bytes by class (cost model 1).

Everything is counted in whole numbers from the lengths, nothing is approximated, and a formula that
changes changes ``COST_MODEL``. ``pairs`` is the number of (row, key) pairs that one query head
sees, so that causal masks with either alignment, windows, sinks and ragged batches are one formula.
Explained with figures in docs/cost.md; tested against enumeration in tests/unit/test_cost.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.problem import DTYPE_BITS, Problem
from attnbench.problem.pairs import len_of, request_pairs, used_keys

COST_MODEL = 1
_FP32_BYTES = 4
_INT32_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """FLOP and bytes of one call of a problem.

    ``flops`` counts the two products of the pairs that the mask lets through; softmax, bias and
    softcap are not counted. ``flops_dense`` gives no credit for the mask. ``min_bytes`` is the
    least traffic any implementation needs: each input that is used is read once, each output
    written once.
    """

    pairs: int
    flops: int
    flops_dense: int
    bytes_q: int
    bytes_k: int
    bytes_v: int
    bytes_o: int
    bytes_lse: int
    bytes_scales: int
    bytes_table: int
    kv_cache_bytes: int
    cost_model: int = COST_MODEL

    @property
    def min_bytes(self) -> int:
        """All classes together."""
        moved = self.bytes_q + self.bytes_k + self.bytes_v + self.bytes_o
        return moved + self.bytes_lse + self.bytes_scales + self.bytes_table

    @property
    def intensity(self) -> float:
        """FLOP per byte of the least traffic."""
        return self.flops / self.min_bytes


def compute_cost(problem: Problem) -> Cost:
    """Price one call of a problem under cost model 1."""
    pairs = dense = q_rows = keys = used = appended = table = cached_keys = 0
    for count, request in problem.request_groups:
        pairs += count * request_pairs(problem, request)
        dense += count * request.q_len * request.kv_len
        q_rows += count * request.q_len
        keys += count * request.kv_len
        seen = used_keys(problem, request)
        used += count * len_of(seen)
        appended += count * problem.append
        table += count * _pages_read(problem, seen)
        cached_keys += count * _stored_keys(problem, request.kv_len)
    rows = q_rows * problem.q_heads
    traffic = _traffic(problem, rows=rows, keys=keys, used=used, appended=appended)
    projected = _projection_flops(problem, q_rows)
    return Cost(
        pairs=pairs,
        flops=_flops(problem, pairs, keys) + projected,
        flops_dense=_flops(problem, dense, keys) + projected,
        bytes_table=table * _INT32_BYTES,
        kv_cache_bytes=_cache_bytes(problem, cached_keys),
        **traffic,
    )


def _flops(problem: Problem, pairs: int, keys: int) -> int:
    """2·pairs·(D + Dv) a head forward; 2·pairs·(3D + 2Dv) backward (recomputed scores)."""
    dim, v_dim, heads = problem.head_dim, problem.v_dim, problem.q_heads
    if problem.attention == "linear":
        return heads * (4 * keys * dim * v_dim + 2 * _chunk_pairs(problem) * (dim + v_dim))
    if problem.attention == "additive":
        assert problem.additive_dim is not None
        return 2 * pairs * (problem.additive_dim + v_dim) * heads
    forward, backward = 2 * pairs * (dim + v_dim) * heads, 2 * pairs * (3 * dim + 2 * v_dim) * heads
    return {"fwd": forward, "bwd": backward, "fwd_bwd": forward + backward}[problem.mode]


def _projection_flops(problem: Problem, tokens: int) -> int:
    """2 · tokens · hidden · width of the projections of a whole layer, in and out."""
    return 2 * tokens * sum(_weights(problem))


def _weights(problem: Problem) -> tuple[int, int, int, int]:
    """Elements of a layer's projections to q, k and v and of the one after attention, else 0.

    The hidden size is q_heads · head_dim.
    """
    if problem.attention != "layer":
        return 0, 0, 0, 0
    hidden = problem.q_heads * problem.head_dim
    shared = problem.n_kv_heads * problem.head_dim * hidden
    return hidden * hidden, shared, shared, hidden * hidden


def _chunk_pairs(problem: Problem) -> int:
    """Causal pairs inside the chunks of chunked linear attention, over all requests."""
    assert problem.chunk is not None
    if problem.mask == "none":
        return 0  # every row takes the whole state; nothing is left to do inside a chunk
    total = 0
    for count, request in problem.request_groups:
        whole, rest = divmod(request.kv_len, problem.chunk)
        triangle = problem.chunk * (problem.chunk + 1) // 2
        total += count * (whole * triangle + rest * (rest + 1) // 2)
    return total


def _traffic(problem: Problem, *, rows: int, keys: int, used: int, appended: int) -> dict[str, int]:
    """Bytes by class; ``rows`` counts query heads, keys do not."""
    bits, kv_bits = DTYPE_BITS[problem.dtype], DTYPE_BITS[problem.stored_dtype]
    kv_heads, dim, v_dim = problem.n_kv_heads, problem.head_dim, problem.v_dim
    w_q, w_k, w_v, w_o = (count * bits // 8 for count in _weights(problem))
    q, o = rows * dim * bits // 8 + w_q, rows * v_dim * bits // 8 + w_o
    read_k, read_v = used * kv_heads * dim * kv_bits // 8, used * kv_heads * v_dim * kv_bits // 8
    if problem.latent:
        read_v = 0  # V lies inside K
    if problem.attention == "layer":
        read_k, read_v = w_k, w_v  # K and V are the layer's own; what it reads are weights
    # Gradients are written for every key, seen or not.
    grad_k, grad_v = keys * kv_heads * dim * kv_bits // 8, keys * kv_heads * v_dim * kv_bits // 8
    lse = rows * _FP32_BYTES
    written_k = appended * kv_heads * dim * kv_bits // 8
    written_v = 0 if problem.latent else appended * kv_heads * v_dim * kv_bits // 8
    forward = {
        "bytes_q": q,
        "bytes_k": read_k + written_k,
        "bytes_v": read_v + written_v,
        "bytes_o": o,
        "bytes_lse": 0,
        "bytes_scales": _scale_bytes(problem, used + appended),
    }
    backward = {
        "bytes_q": 2 * q,
        "bytes_k": read_k + grad_k,
        "bytes_v": read_v + grad_v,
        "bytes_o": 2 * o,
        "bytes_lse": lse,
        "bytes_scales": 0,
    }
    if problem.mode == "fwd":
        return forward
    if problem.mode == "bwd":
        return backward
    both = {name: forward[name] + backward[name] for name in forward}
    return {**both, "bytes_lse": 2 * lse}  # written by the forward, read by the backward


def _scale_bytes(problem: Problem, keys: int) -> int:
    """One fp32 scale a token, KV head and tensor; int4 also a zero point."""
    if not problem.is_quantized:
        return 0
    tensors = (1 if problem.latent else 2) * (2 if problem.kv_dtype == "int4" else 1)
    return keys * problem.n_kv_heads * tensors * _FP32_BYTES


def _stored_keys(problem: Problem, kv_len: int) -> int:
    """Keys of one sequence as the cache holds them: whole pages."""
    if problem.page_size is None:
        return kv_len
    return -(-kv_len // problem.page_size) * problem.page_size


def _pages_read(problem: Problem, used: tuple[range, ...]) -> int:
    """Page-table entries of the pages that hold a used key."""
    if problem.page_size is None:
        return 0
    pages, next_page = 0, 0
    for keys in used:
        first = max(next_page, keys.start // problem.page_size)
        next_page = (keys.stop - 1) // problem.page_size + 1
        pages += next_page - first
    return pages


def _cache_bytes(problem: Problem, keys: int) -> int:
    """K and V of this one layer, scales included, whole pages."""
    width = problem.head_dim + (0 if problem.latent else problem.v_dim)
    codes = keys * problem.n_kv_heads * width * DTYPE_BITS[problem.stored_dtype] // 8
    return codes + _scale_bytes(problem, keys)
