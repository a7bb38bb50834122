"""A cache as FlashInfer takes it: pages with their numbers one sequence after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attnbench.plugin import Inputs

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Pages of K and V, ``layout`` NHD or HND, ``size`` slots each.

    ``starts`` int32 ``[sequences + 1]`` says where a sequence's page numbers start in ``indices``;
    ``last_lengths`` how many slots of its last page are used; ``lengths`` its keys.
    """

    k: Tensor
    v: Tensor
    layout: str
    size: int
    starts: Tensor
    indices: Tensor
    last_lengths: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, inputs: Inputs) -> Pages:
        """Read a page table; contiguous keys ``[batch, kv_heads, kv_len, dim]`` are a page each."""
        import torch

        problem = inputs.problem
        lengths = [one.kv_len for one in problem.request_list]
        size = problem.page_size or inputs.max_kv_len
        counts = [-(-length // size) for length in lengths]
        if inputs.page_table is None:
            k, v, layout = inputs.k, inputs.v, "HND"
            indices = torch.arange(len(lengths), dtype=torch.int32, device=inputs.q.device)
        else:
            k, v, layout = inputs.k_pages, inputs.v_pages, str(problem.page_format).upper()
            table = inputs.page_table
            indices = torch.cat([table[row, :count] for row, count in enumerate(counts)])
        assert k is not None
        assert v is not None
        return cls(
            k=k,
            v=v,
            layout=layout,
            size=size,
            starts=starts_of(counts, inputs.q),
            indices=indices,
            last_lengths=_int32([(length - 1) % size + 1 for length in lengths], inputs.q),
            lengths=_int32(lengths, inputs.q),
        )


def starts_of(lengths: list[int], like: Tensor) -> Tensor:
    """Where each sequence starts, and the end: int32 ``[sequences + 1]`` on ``like``'s device."""
    total, starts = 0, [0]
    for length in lengths:
        total += length
        starts.append(total)
    return _int32(starts, like)


def _int32(values: list[int], like: Tensor) -> Tensor:
    import torch

    return torch.tensor(values, dtype=torch.int32, device=like.device)
