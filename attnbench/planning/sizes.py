"""What a measurement needs besides the backend itself, in bytes and seconds, without torch.

The planner asks before anything is allocated. The bytes of the inputs are exact and tested against
the tensors that ``inputs.make_inputs`` makes; the bytes of the reference are an upper estimate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from attnbench.problem import DTYPE_BITS, Problem
from attnbench.problem.batch import Request
from attnbench.problem.pairs import alignment_offset

FULL_CHECK_SCORES = 2**28  # above this many scores only sampled rows are checked
SAMPLED_ROWS = 256
REDRAWN_ROWS = 64
CHUNK_SCORES = 2**21  # scores that the reference holds at a time: 16 MB in fp64
_COPIES = 5  # tensors of CHUNK_SCORES that live at once in the reference
_COPIES_BACKWARD = 9
_PASSES = 16  # times that a score goes through memory in the reference, element-wise work included
_PASSES_AN_ADDEND = 4  # of additive attention: a sum, a tanh, a product, a sum again
_FP32_BYTES, _FP64_BYTES, _INT32_BYTES = 4, 8, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceCost:
    """What the reference of a problem takes: fp64 FLOP, bytes moved, and bytes held at its peak."""

    flops: int
    moved_bytes: int
    workspace_bytes: int
    kept_bytes: int

    def seconds(self, *, fp64_flops: float, bandwidth: float) -> float:
        """Predict the time at these rates, FLOP/s in fp64 and bytes/s."""
        return self.flops / fp64_flops + self.moved_bytes / bandwidth


def pages_of(problem: Problem, request: Request) -> int:
    """Pages that hold one sequence."""
    assert problem.page_size is not None
    return -(-request.kv_len // problem.page_size)


def count_pages(problem: Problem) -> int:
    """Pages allocated: those in use and one that no sequence owns, full of poison."""
    return sum(n * pages_of(problem, one) for n, one in problem.request_groups) + 1


def count_rows(problem: Problem) -> int:
    """Query tokens of all requests."""
    return sum(count * request.q_len for count, request in problem.request_groups)


def count_slots(problem: Problem) -> int:
    """Key tokens that the cache has room for: whole pages where it is paged."""
    if problem.page_size is not None:
        return count_pages(problem) * problem.page_size
    return sum(count * request.kv_len for count, request in problem.request_groups)


def count_requests(problem: Problem) -> int:
    """Sequences of the batch."""
    return sum(count for count, _ in problem.request_groups)


def max_lengths(problem: Problem) -> tuple[int, int]:
    """Return the largest q_len and the largest kv_len."""
    requests = [request for _, request in problem.request_groups]
    return max(one.q_len for one in requests), max(one.kv_len for one in requests)


def rope_starts(problem: Problem, request: Request) -> tuple[int, int]:
    """Return the positions of row 0 and of key 0.

    Row i stands at key i + offset, as the mask sees it; where that is below 0 the keys move up
    instead, because only the distance counts.
    """
    offset = alignment_offset(problem, request)
    return max(0, offset), max(0, -offset)


def predict_input_bytes(problem: Problem) -> int:
    """Bytes of every tensor that ``make_inputs`` allocates, exactly."""
    rows, requests = count_rows(problem), count_requests(problem)
    bits = DTYPE_BITS[problem.dtype]
    slots = count_slots(problem) * problem.n_kv_heads
    width = problem.head_dim + (0 if problem.latent else problem.v_dim)
    total = rows * problem.q_heads * problem.head_dim * bits // 8
    total += slots * width * DTYPE_BITS[problem.stored_dtype] // 8
    if problem.is_quantized:
        tensors = (1 if problem.latent else 2) * (2 if problem.kv_dtype == "int4" else 1)
        total += slots * tensors * _FP32_BYTES
    total += requests * problem.append * problem.n_kv_heads * width * bits // 8
    if problem.mode != "fwd":
        total += rows * problem.q_heads * problem.v_dim * bits // 8
    if problem.attention == "layer":
        total -= slots * width * DTYPE_BITS[problem.stored_dtype] // 8  # x alone, and weights
    total += sum(map(math.prod, weight_shapes(problem).values())) * bits // 8
    return total + _small_tensor_bytes(problem, requests)


def weight_shapes(problem: Problem) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights that the inputs carry, by name; none where attention has no weights."""
    q_heads, kv_heads, dim = problem.q_heads, problem.n_kv_heads, problem.head_dim
    if problem.attention == "layer":
        hidden = q_heads * dim
        shared = (kv_heads * dim, hidden)
        return {"w_q": (hidden, hidden), "w_k": shared, "w_v": shared, "w_o": (hidden, hidden)}
    if problem.attention == "additive":
        assert problem.additive_dim is not None
        width = problem.additive_dim
        return {
            "w_q": (q_heads, dim, width),
            "w_k": (kv_heads, dim, width),
            "w_score": (q_heads, width),
        }
    return {}


def _small_tensor_bytes(problem: Problem, requests: int) -> int:
    """Lengths, tables, slopes, sinks and the rope's angles."""
    total = 0
    if problem.is_ragged:
        total += (1 if problem.page_size else 2) * (requests + 1) * _INT32_BYTES
    if problem.page_size is not None:
        longest = max(pages_of(problem, request) for _, request in problem.request_groups)
        total += requests * (longest + 1) * _INT32_BYTES  # the table, and kv_lens
    if problem.bias == "alibi":
        total += problem.q_heads * _FP32_BYTES
    if problem.sink_logits:
        total += problem.q_heads * _FP32_BYTES
    if problem.rope_dim is not None:
        total += max(max_lengths(problem)) * problem.rope_dim * _FP32_BYTES  # cos and sin
    return total


def predict_output_bytes(problem: Problem) -> int:
    """Bytes of what one call returns: o, or in a backward mode also o's gradients dq, dk, dv."""
    bits = DTYPE_BITS[problem.dtype]
    rows = count_rows(problem) * problem.q_heads
    output = rows * problem.v_dim * bits // 8
    if problem.mode == "fwd":
        return output
    keys = count_slots(problem) * problem.n_kv_heads
    kv_bits = DTYPE_BITS[problem.stored_dtype]
    gradients = rows * problem.head_dim * bits // 8
    gradients += keys * (problem.head_dim + problem.v_dim) * kv_bits // 8
    return output + gradients


def count_scores(problem: Problem) -> int:
    """Scores of all query heads, masked or not."""
    return problem.q_heads * sum(n * r.q_len * r.kv_len for n, r in problem.request_groups)


def is_sampled(problem: Problem) -> bool:
    """Whether the problem is too large to check every row; a row of a layer needs all its heads."""
    return count_scores(problem) > FULL_CHECK_SCORES and problem.attention != "layer"


def reference_cost(problem: Problem) -> ReferenceCost:
    """Predict what the reference, its counterpart and the check take."""
    requests = [request for _, request in problem.request_groups]
    longest = max(request.kv_len for request in requests)
    rows = count_rows(problem) * problem.q_heads
    keys_read = kept_keys = count_slots(problem) * problem.n_kv_heads
    scores = count_scores(problem)
    if is_sampled(problem):
        rows = min(rows, SAMPLED_ROWS)
        scores = rows * longest
        keys_read, kept_keys = min(keys_read, rows * longest), longest
        if problem.mode != "fwd":  # dk and dv need every row of the heads they are checked in
            scores += problem.group_size * max(r.q_len * r.kv_len for r in requests)
    dim, v_dim = problem.head_dim, problem.v_dim
    flops, copies, kept = 2 * scores * (dim + v_dim), _COPIES, rows * v_dim
    if problem.mode != "fwd":
        flops += 2 * scores * (3 * dim + 2 * v_dim)
        copies = _COPIES_BACKWARD
        kept += rows * dim + kept_keys * (dim + v_dim)
    held_keys = min(keys_read, max(longest, CHUNK_SCORES // (dim + v_dim)))
    chunk = copies * (min(scores, CHUNK_SCORES) + held_keys * (dim + v_dim))
    passes = _PASSES * (1 if problem.mode == "fwd" else 2)
    passes += _PASSES_AN_ADDEND * (problem.additive_dim or 0)
    traffic = passes * scores + 2 * keys_read * (dim + v_dim)
    # The counterpart does the same again, fp64 counted for both; its outputs live until compared.
    return ReferenceCost(
        flops=2 * flops,
        moved_bytes=traffic * _FP64_BYTES,
        workspace_bytes=chunk * _FP64_BYTES + kept * _FP32_BYTES,
        kept_bytes=kept * (_FP64_BYTES if problem.dtype in ("fp32", "tf32") else _FP32_BYTES),
    )
