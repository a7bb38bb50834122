"""The tensors of a problem: seeded, in the layout that ``plugin.Inputs`` describes, and poisoned.

Every tensor has its own random stream, derived from the seed and the tensor's name, so that its
values do not depend on the other tensors of the problem; CPU and CUDA streams differ. What no
correct backend may read is NaN: unused pages, page tails, and the slots that an append must write.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from attnbench.kv_cache import TORCH_DTYPES, Quantized, by_slot, page_table, quantize, slots_of
from attnbench.measure.random_inputs import DRAWN_AT_ONCE, Channels, fill, stream, values
from attnbench.planning import sizes
from attnbench.plugin import Inputs
from attnbench.problem import Problem


def make_inputs(
    problem: Problem, device: str, *, seed: int | None = None, poison: bool = True
) -> Inputs:
    """Allocate and fill every tensor of a problem; in a backward mode q, k and v require gradients.

    Args:
        problem: what the tensors are for.
        device: torch's name of the device, such as ``cpu`` or ``cuda:0``.
        seed: replaces the problem's seed.
        poison: False leaves ordinary numbers in unused pages and page tails.

    """
    seed = problem.seed if seed is None else seed
    maker = _Maker(problem, device, seed)
    longest_q, longest_kv = sizes.max_lengths(problem)
    grad_out = None
    if problem.mode != "fwd":
        grad_out = maker.draw("grad_out", maker.rows(problem.v_dim))
    assert problem.scale is not None
    inputs = Inputs(
        problem=problem,
        scale=problem.scale,
        q=maker.queries(),
        max_q_len=longest_q,
        max_kv_len=longest_kv,
        grad_out=grad_out,
        **({} if problem.attention == "layer" else maker.cache()),
        **maker.weights(),
        **maker.lengths(),
        **maker.position_and_bias(),
        **maker.appended(),
    )
    if problem.page_size is not None and poison:
        poison_pages(inputs)
    poison_appended(inputs)
    if problem.mode != "fwd":
        for tensor in (inputs.q, inputs.k, inputs.v):
            assert tensor is not None
            tensor.requires_grad_()
    return inputs


def redraw(inputs: Inputs, name: str = "q", *, back: bool = False, seed: int | None = None) -> None:
    """Redraw ``q`` or ``grad_out`` in place, and poison again what an append must write.

    Args:
        inputs: the inputs to change.
        name: q or grad_out.
        back: restore what ``make_inputs`` drew, for the next backend.
        seed: replaces the problem's seed.

    """
    problem = inputs.problem
    seed = problem.seed if seed is None else seed
    generator = stream(inputs.q.device, seed, name if back else f"{name} again")
    tensor = getattr(inputs, name)
    dist = "normal" if name == "grad_out" else problem.input_dist
    with torch.no_grad():
        fill(tensor, dist, generator)
        poison_appended(inputs)


def tensors_of(inputs: Inputs) -> dict[str, Tensor]:
    """Return every tensor of the inputs, by field name."""
    found = {one.name: getattr(inputs, one.name) for one in fields(inputs)}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def input_bytes(inputs: Inputs) -> int:
    """Return the bytes of the inputs; a view of another tensor counts as 0."""
    return sum(storage.numel() for storage in _storages(tensors_of(inputs)).values())


def checksum(inputs: Inputs, *, whole: bool = False) -> int:
    """Sum every byte that a call must leave as it was; an append may write the cache.

    ``whole`` includes the cache where NaN marks the slots of an append: all but integer values.
    """
    kept = tensors_of(inputs)
    if inputs.problem.append:
        for name in CACHE_FIELDS:
            if not (whole and name in kept and kept[name].is_floating_point()):
                kept.pop(name, None)
    total = 0
    for storage in _storages(kept).values():
        words = storage.view(torch.int32) if storage.numel() % 4 == 0 else storage
        total += int(words.sum(dtype=torch.int64))
    return total


@contextmanager
def matmul_precision(problem: Problem) -> Iterator[None]:
    """Allow tf32 in torch's fp32 products if, and only if, the dtype of the problem is tf32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if problem.dtype == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def alibi_slopes(heads: int) -> list[float]:
    """Return the ALiBi slopes 2^(-8(h+1)/H), interpolated if H is not a power of two.

    Press et al. 2022, arXiv 2108.12409; head h of H.
    """
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
    return slopes + [2 ** (-8 * (2 * head + 1) / (2 * power)) for head in range(heads - power)]


class _Maker:
    """Draws the tensors of one problem on one device with one seed."""

    def __init__(self, problem: Problem, device: str, seed: int) -> None:
        self.problem = problem
        self.device = torch.device(device)
        self.seed = seed

    def rows(self, width: int) -> tuple[int, ...]:
        """Return the shape of q, or of o if ``width`` is v_head_dim."""
        problem = self.problem
        if problem.is_ragged:
            return sizes.count_rows(problem), problem.q_heads, width
        assert problem.batch is not None
        assert problem.q_len is not None
        return problem.batch, problem.q_heads, problem.q_len, width

    def draw(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Draw a tensor in the problem's dtype from the stream of this name."""
        tensor = torch.empty(shape, dtype=TORCH_DTYPES[self.problem.dtype], device=self.device)
        dist = "normal" if name == "grad_out" else self.problem.input_dist
        channels = self._channels(name, run=math.prod(shape[2:-1]))
        fill(tensor, dist, stream(self.device, self.seed, name), channels)
        return tensor

    def _channels(self, name: str, *, run: int) -> Channels | None:
        """Return the outlier channels of K, the same in the cache and in the appended rows.

        q has none: scores would become so large that plain PyTorch's error grows ten times, and a
        wrong output would pass.
        """
        problem = self.problem
        if problem.input_dist != "outliers" or name not in ("k", "k_new"):
            return None
        generator = stream(self.device, self.seed, "outlier channels")
        return Channels.choose(problem.n_kv_heads, problem.head_dim, run, generator)

    def queries(self) -> Tensor:
        """Draw q; a layer's q is its input, in which the heads of a token are adjacent."""
        q = self.draw("q", self.rows(self.problem.head_dim))
        if self.problem.attention != "layer":
            return q
        return q.transpose(1, 2).contiguous().transpose(1, 2)

    def weights(self) -> dict[str, Tensor]:
        """Draw each weight so that it maps rows of unit variance to unit variance."""
        found = {}
        for name, shape in sizes.weight_shapes(self.problem).items():
            fan_in = 1 if name == "w_score" else self._fan_in()
            drawn = values(shape, "normal", stream(self.device, self.seed, name))
            found[name] = (drawn / math.sqrt(fan_in)).to(TORCH_DTYPES[self.problem.dtype])
        return found

    def _fan_in(self) -> int:
        problem = self.problem
        return problem.head_dim * (problem.q_heads if problem.attention == "layer" else 1)

    def cache(self) -> dict[str, Tensor | None]:
        """Return K and V with their scales; V is a view of K if the problem is latent."""
        problem = self.problem
        k = self._stored("k", problem.head_dim)
        if problem.latent:
            packed = 2 if problem.kv_dtype == "int4" else 1
            v = k._replace(values=k.values[..., : problem.v_dim // packed])
        else:
            v = self._stored("v", problem.v_dim)
        k_name, v_name = ("k", "v") if problem.page_size is None else ("k_pages", "v_pages")
        found: dict[str, Tensor | None] = {k_name: k.values, v_name: v.values}
        if problem.is_quantized:
            found |= {"k_scale": k.scale, "v_scale": v.scale, "k_zero": k.zero, "v_zero": v.zero}
        return found

    def _stored(self, name: str, width: int) -> Quantized:
        """Draw K or V in the layout and dtype of the cache, part by part to bound memory."""
        problem = self.problem
        lead = self._token_shape()
        count, packed = math.prod(lead), 2 if problem.kv_dtype == "int4" else 1
        kind = TORCH_DTYPES[problem.stored_dtype]
        stored = torch.empty(count, width // packed, dtype=kind, device=self.device)
        dist, generator = problem.input_dist, stream(self.device, self.seed, name)
        heads_last = problem.page_format == "nhd"
        channels = self._channels(name, run=1 if heads_last else math.prod(lead[2:]))
        if not problem.is_quantized:
            fill(stored, dist, generator, channels)
            return Quantized(stored.view(*lead, width), stored.new_empty(0), None)
        scale = torch.empty(count, dtype=torch.float32, device=self.device)
        zero = torch.empty_like(scale) if problem.kv_dtype == "int4" else None
        at_once = max(1, DRAWN_AT_ONCE // width)
        for start in range(0, count, at_once):
            part = slice(start, min(start + at_once, count))
            shape = (part.stop - part.start, width)
            wide = values(shape, dist, generator, channels, start)
            drawn = quantize(wide, problem.stored_dtype)
            stored[part], scale[part] = drawn.values, drawn.scale
            if zero is not None and drawn.zero is not None:
                zero[part] = drawn.zero
        return Quantized(
            stored.view(*lead, width // packed),
            self._scale_layout(scale.view(lead)),
            None if zero is None else self._scale_layout(zero.view(lead)),
        )

    def _token_shape(self) -> tuple[int, ...]:
        """Return the shape of the cache without its last axis."""
        problem = self.problem
        heads = problem.n_kv_heads
        if problem.page_size is not None:
            pages, size = sizes.count_pages(problem), problem.page_size
            return (pages, size, heads) if problem.page_format == "nhd" else (pages, heads, size)
        if problem.is_ragged:
            return sizes.count_slots(problem), heads
        assert problem.batch is not None
        assert problem.kv_len is not None
        return problem.batch, heads, problem.kv_len

    def _scale_layout(self, scale: Tensor) -> Tensor:
        """Return scales as ``[pages, kv_heads, page_size]``, in either page format."""
        if self.problem.page_format == "nhd":
            return scale.transpose(1, 2).contiguous()
        return scale

    def lengths(self) -> dict[str, Tensor]:
        """Return cu_seqlens of packed requests; page table and lengths of a paged cache."""
        problem = self.problem
        found: dict[str, Tensor] = {}
        requests = problem.request_list
        if problem.is_ragged:
            found["cu_seqlens_q"] = self._int32([0, *accumulate(r.q_len for r in requests)])
        if problem.page_size is not None:
            found["kv_lens"] = self._int32([request.kv_len for request in requests])
            found["page_table"] = self._page_table()
        elif problem.is_ragged:
            found["cu_seqlens_k"] = self._int32([0, *accumulate(r.kv_len for r in requests)])
        return found

    def _page_table(self) -> Tensor:
        """Return the page table; entries past a sequence's end name the unused page."""
        problem = self.problem
        total = sizes.count_pages(problem)
        order = torch.arange(total)
        if problem.page_order == "shuffled":
            cpu = stream(torch.device("cpu"), self.seed, "page_table")
            order = torch.randperm(total, generator=cpu)
        needed = [sizes.pages_of(problem, request) for request in problem.request_list]
        return page_table(needed, order).to(self.device)

    def position_and_bias(self) -> dict[str, Tensor]:
        """Return ALiBi slopes, sink logits and RoPE's cos and sin, all fp32."""
        problem = self.problem
        found: dict[str, Tensor] = {}
        if problem.bias == "alibi":
            slopes = alibi_slopes(problem.q_heads)
            found["alibi_slopes"] = torch.tensor(slopes, dtype=torch.float32, device=self.device)
        if problem.sink_logits:
            generator = stream(self.device, self.seed, "sink_logits")
            found["sink_logits"] = values((problem.q_heads,), "normal", generator)
        if problem.rope_dim is not None:
            assert problem.rope_base is not None
            pair = torch.arange(problem.rope_dim // 2, dtype=torch.float64)
            speed = problem.rope_base ** (-2 * pair / problem.rope_dim)
            longest = max(sizes.max_lengths(problem))
            angle = torch.arange(longest, dtype=torch.float64).unsqueeze(1) * speed
            found["cos"] = angle.cos().float().to(self.device)
            found["sin"] = angle.sin().float().to(self.device)
        return found

    def appended(self) -> dict[str, Tensor]:
        """Return the rows that the call appends to each sequence, in the problem's dtype."""
        problem = self.problem
        if not problem.append:
            return {}
        heads, count = problem.n_kv_heads, sizes.count_requests(problem)
        dense = (count, heads, problem.append)
        lead = (count * problem.append, heads) if problem.is_ragged else dense
        k_new = self.draw("k_new", (*lead, problem.head_dim))
        if problem.latent:
            return {"k_new": k_new, "v_new": k_new[..., : problem.v_dim]}
        return {"k_new": k_new, "v_new": self.draw("v_new", (*lead, problem.v_dim))}

    def _int32(self, values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int32, device=self.device)


def _storages(tensors: dict[str, Tensor]) -> dict[int, Tensor]:
    """Return the storages of the tensors as bytes, each once, by address."""
    found = {}
    for tensor in tensors.values():
        storage = tensor.detach().untyped_storage()
        found[storage.data_ptr()] = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(
            storage
        )
    return found


NAN = float("nan")
_FP8_NAN = 0x7F  # in e4m3fn and in e5m2
CACHE_FIELDS = ("k", "v", "k_pages", "v_pages", "k_scale", "v_scale", "k_zero", "v_zero")


def poison_pages(inputs: Inputs) -> None:
    """Fill with NaN what no sequence owns: unused pages, and the tails of last pages."""
    pages = inputs.k_pages
    assert pages is not None
    owned = torch.zeros(
        pages.shape[0], inputs.problem.page_size or 1, dtype=torch.bool, device=pages.device
    )
    owned.view(-1)[_slots(inputs)] = True
    _poison(inputs, ~owned)


def poison_appended(inputs: Inputs) -> None:
    """Fill with NaN the slots that the call has to write before it reads them."""
    problem, device = inputs.problem, inputs.q.device
    count = problem.append
    if not count:
        return
    if inputs.k_pages is not None:
        places = torch.zeros(
            inputs.k_pages.shape[0], problem.page_size or 1, dtype=torch.bool, device=device
        )
        places.view(-1)[_slots(inputs, last=count)] = True
    elif inputs.cu_seqlens_k is not None:
        ends = inputs.cu_seqlens_k[1:].long().unsqueeze(1)
        places = torch.zeros(sizes.count_slots(problem), dtype=torch.bool, device=device)
        places[(ends - 1 - torch.arange(count, device=device)).flatten()] = True
    else:
        assert problem.batch is not None
        places = torch.arange(inputs.max_kv_len, device=device) >= inputs.max_kv_len - count
        places = places.expand(problem.batch, -1)
    _poison(inputs, places)


def _poison(inputs: Inputs, places: Tensor) -> None:
    """Write NaN at ``places``, a bool mask of tokens; integer values have it in their scale."""
    paged, dense = inputs.k_pages is not None, inputs.cu_seqlens_k is None
    for name in CACHE_FIELDS:
        tensor = getattr(inputs, name)
        if tensor is None or not tensor.is_floating_point():
            continue
        by_token = tensor
        if paged:
            # Scales of pages are always [pages, kv_heads, page_size].
            by_token = by_slot(tensor, inputs.problem.page_format) if "pages" in name else tensor.mT
        elif dense:
            by_token = tensor.transpose(1, 2)
        poison(by_token, places)


def _slots(inputs: Inputs, *, last: int | None = None) -> Tensor:
    assert inputs.page_table is not None
    assert inputs.kv_lens is not None
    assert inputs.problem.page_size is not None
    return slots_of(inputs.page_table, inputs.kv_lens, inputs.problem.page_size, last=last)


def poison(tensor: Tensor, places: Any) -> None:
    """Write NaN into a floating-point tensor, fp8 included, at an index."""
    if tensor.element_size() == 1:  # fp8: torch cannot fill its numbers, only its bytes
        tensor.view(torch.uint8)[places] = _FP8_NAN
    else:
        tensor[places] = NAN
