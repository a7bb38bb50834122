"""From multi-head projections to grouped ones: each group's heads become their mean.

Ainslie et al. 2023 (arXiv 2305.13245, section 2.1): the K and V projections of the heads that are
to share a KV head are averaged. It is where uptraining starts, not a model by itself.
"""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeVar

from attnbench.errors import InputError


class ArrayLike(Protocol):
    """What a numpy array and a torch tensor have in common, as far as it is needed here."""

    @property
    def shape(self) -> Any:
        """Sizes of the axes."""
        ...

    def reshape(self, *shape: int) -> Self:
        """The same elements in order under another shape."""
        ...

    def mean(self, axis: int, /) -> Self:
        """Means along an axis, which is gone."""
        ...


Array = TypeVar("Array", bound=ArrayLike)


def mean_pool_heads(projection: Array, *, heads: int, kv_heads: int) -> Array:
    """Average the K or V projection of ``heads`` heads down to ``kv_heads``.

    Args:
        projection: a weight ``[heads * head_dim, hidden]`` as ``torch.nn.Linear`` and Hugging Face
            keep it, or its bias ``[heads * head_dim]``; a numpy array or a torch tensor. Heads that
            will share a KV head are adjacent, as everywhere here: head h shares h // (heads /
            kv_heads).
        heads: heads that the projection has.
        kv_heads: heads that it is to have: 1 makes MQA, ``heads`` changes nothing.

    Returns:
        ``[kv_heads * head_dim, hidden]``, or a bias ``[kv_heads * head_dim]``, of the same kind and
        dtype.

    Raises:
        InputError: heads that do not divide, or rows that are no whole heads.

    """
    rows, *rest = (int(one) for one in projection.shape)
    if heads < 1 or kv_heads < 1 or heads % kv_heads:
        raise InputError(
            f"{heads} heads cannot be pooled to {kv_heads} kv_heads",
            hint=f"kv_heads is a divisor of {heads}",
        )
    if rows % heads:
        raise InputError(f"{rows} rows of a projection are not {heads} heads of one width")
    if kv_heads == heads:
        return projection
    head_dim = rows // heads
    grouped = projection.reshape(kv_heads, heads // kv_heads, head_dim, *rest)
    return grouped.mean(1).reshape(kv_heads * head_dim, *rest)
