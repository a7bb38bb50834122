"""Attention by its definition: row after row, key after key, from the raw inputs."""

from __future__ import annotations

import pytest

from attnbench.problem.pairs import alignment_offset, kept_blocks


@pytest.fixture(scope="session")
def by_definition():
    """A function from Inputs to (request, head, row) -> (o, lse) in fp64, with a gradient."""
    return _by_definition


def _by_definition(inputs, q=None):
    q = inputs.q if q is None else q
    answers = {}
    for number, request in enumerate(inputs.problem.request_list):
        for head in range(inputs.problem.q_heads):
            for row in range(request.q_len):
                query = _row(inputs, q, number, head, row)
                answers[number, head, row] = _answer(inputs, number, request, head, row, query)
    return answers


def _answer(inputs, number, request, head, row, query):
    import torch

    problem = inputs.problem
    kv_head = head * problem.n_kv_heads // problem.q_heads
    place = row + alignment_offset(problem, request)
    keys = [key for key in range(request.kv_len) if _sees(problem, request, row, place, key)]
    shift = max(0, -alignment_offset(problem, request)) if problem.append else 0
    scores = []
    for key in keys:
        vector = _key(inputs, "k", number, request, kv_head, key)
        turned = vector if problem.append else _turn(problem, vector, key)
        score = inputs.scale * (_turn(problem, query, place + shift) * turned).sum()
        if problem.softcap is not None:
            score = problem.softcap * torch.tanh(score / problem.softcap)
        if inputs.alibi_slopes is not None:
            score = score - float(inputs.alibi_slopes[head]) * abs(place - key)
        scores.append(score)
    sink = [] if inputs.sink_logits is None else [inputs.sink_logits[head].double()]
    if not keys:
        empty = sink[0] if sink else torch.tensor(float("-inf"))
        return torch.zeros(problem.v_dim, dtype=torch.float64), empty
    lse = torch.stack([*scores, *sink]).logsumexp(0)
    values = [_key(inputs, "v", number, request, kv_head, key) for key in keys]
    o = sum(torch.exp(score - lse) * value for score, value in zip(scores, values, strict=True))
    return o, lse


def _sees(problem, request, row, place, key):
    if problem.mask != "none" and key > place:
        return False
    if problem.window is not None and key <= place - problem.window and key >= problem.sinks:
        return False
    if problem.attention == "block_sparse":
        kept = dict(kept_blocks(problem, request))
        return key // problem.block in kept[row // problem.block]
    return True


def _row(inputs, q, number, head, row):
    if inputs.cu_seqlens_q is not None:
        return q[int(inputs.cu_seqlens_q[number]) + row, head].double()
    return q[number, head, row].double()


def _key(inputs, name, number, request, kv_head, key):
    """The values of one key, in the cache or about to be appended to it."""
    problem = inputs.problem
    if problem.latent and name == "v":
        return _key(inputs, "k", number, request, kv_head, key)[: problem.v_dim]
    if (new := key - request.kv_len + problem.append) >= 0:
        return _new_key(inputs, name, number, request, kv_head, new)
    codes = _stored(inputs, name, number, kv_head, key)
    if not problem.is_quantized:
        return codes.double()
    scale = _stored(inputs, f"{name}_scale", number, kv_head, key).double()
    zero = _stored(inputs, f"{name}_zero", number, kv_head, key)
    return (_unpack(problem, codes) - (0 if zero is None else zero.double())) * scale


def _stored(inputs, name, number, kv_head, key):
    problem = inputs.problem
    if inputs.page_table is not None:
        page = int(inputs.page_table[number, key // problem.page_size])
        slot = key % problem.page_size
        if name in ("k", "v"):
            pages = getattr(inputs, f"{name}_pages")
            nhd = problem.page_format == "nhd"
            return pages[page, slot, kv_head] if nhd else pages[page, kv_head, slot]
        scales = getattr(inputs, name)
        return None if scales is None else scales[page, kv_head, slot]
    tensor = getattr(inputs, name)
    if tensor is None:
        return None
    if inputs.cu_seqlens_k is not None:
        return tensor[int(inputs.cu_seqlens_k[number]) + key, kv_head]
    return tensor[number, kv_head, key]


def _unpack(problem, codes):
    import torch

    if problem.kv_dtype != "int4":
        return codes.double()
    nibbles = [half for byte in codes.tolist() for half in (byte % 16, byte // 16)]
    return torch.tensor(nibbles, dtype=torch.float64)


def _new_key(inputs, name, number, request, kv_head, new):
    """What the cache holds after the append: rotated, rounded or quantised."""
    import torch

    problem = inputs.problem
    rows = inputs.k_new if name == "k" else inputs.v_new
    if problem.is_ragged:
        values = rows[number * problem.append + new, kv_head].double()
    else:
        values = rows[number, kv_head, new].double()
    if name == "k":
        shift = max(0, -alignment_offset(problem, request))
        values = _turn(problem, values, request.kv_len - problem.append + new + shift)
    kinds = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    if not problem.is_quantized:
        return values.to(kinds[problem.kv_dtype]).double()
    values = values.float()
    if problem.kv_dtype == "int4":
        scale = (values.max() - values.min()) / 15
        return ((values - values.min()) / scale).round().double() * scale + values.min().double()
    most = values.abs().max()
    if problem.kv_dtype == "int8":
        return (values / most * 127).round().double() * most.double() / 127
    kind = {"fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}[problem.kv_dtype]
    scale = most / torch.finfo(kind).max
    return (values / scale).to(kind).double() * scale.double()


def _turn(problem, vector, place):
    """Rotate pairs as complex numbers."""
    import torch

    if problem.rope == "none":
        return vector
    pairs = problem.rope_dim // 2
    turned = list(vector)
    for pair in range(pairs):
        angle = torch.tensor(place * problem.rope_base ** (-pair / pairs), dtype=torch.float64)
        gptj = problem.rope == "gptj"
        one, two = (2 * pair, 2 * pair + 1) if gptj else (pair, pair + pairs)
        x, y = vector[one], vector[two]
        turned[one] = x * angle.cos() - y * angle.sin()
        turned[two] = x * angle.sin() + y * angle.cos()
    return torch.stack(turned)
