"""Torch profiler traces: memory over time, and the names of what ran.

Code that inductor generates for a CPU calls its kernels as plain functions, which a trace does not
show. torch can generate code that reports each kernel (``cpp.enable_kernel_profile``), but it would
then do so in every sample too. ``named_kernels`` reports them from outside, only during the
profiled call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from types import ModuleType
from typing import Any

_MEMORY = "[memory]"
_OWN = ("aten::", "prims::", "triton", "cpp_fused")
# Operators that move no data: they allocate memory or view it differently.
_BOOKKEEPING = frozenset(
    f"aten::{name}"
    for name in (
        *("as_strided", "view", "_unsafe_view", "_reshape_alias", "reshape", "expand", "slice"),
        *("transpose", "permute", "t", "unsqueeze", "squeeze", "select", "narrow", "unflatten"),
        *("flatten", "detach", "alias", "empty", "empty_like", "empty_strided", "resolve_conj"),
        *("resolve_neg", "unbind", "split", "split_with_sizes", "chunk", "view_as", "expand_as"),
        *("lift_fresh", "result_type", "is_nonzero", "item", "_local_scalar_dense", "movedim"),
        *("swapaxes", "diagonal", "real", "resize_", "set_", "to", "_to_copy", "contiguous", "mT"),
    )
)
# Operators that a kernel may use internally; they count only if nothing encloses them.
_LIGHT = frozenset(
    f"aten::{name}"
    for name in (
        *("copy_", "fill_", "zero_", "clone", "scalar_tensor", "zeros", "zeros_like", "ones"),
        *("ones_like", "full"),
    )
)


def memory_use(events: Iterable[Any]) -> tuple[int, int]:
    """Return peak and final bytes relative to the start, from a trace's ``[memory]`` events."""
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == _MEMORY)
    levels = list(accumulate(nbytes for _, nbytes in changes))
    return max([0, *levels]), levels[-1] if levels else 0


@dataclass(slots=True)
class _Span:
    name: str
    end: int
    inside: list[_Span] = field(default_factory=list)


def leaf_operators(events: Iterable[Any]) -> tuple[str, ...]:
    """Return the names of the operators that did the work on a CPU, each once, in order.

    An operator did the work itself if nothing inside it computes: there is only bookkeeping, or
    copies and fills for its own use.
    """
    root = _Span("", 0)
    stack = [root]
    for start, negative_length, name in sorted(
        (e.start_ns(), -e.duration_ns(), e.name()) for e in events if e.name() != _MEMORY
    ):
        while len(stack) > 1 and stack[-1].end <= start:
            stack.pop()
        span = _Span(name, start - negative_length)
        stack[-1].inside.append(span)
        stack.append(span)
    return tuple(dict.fromkeys(_workers(root)))


def _workers(span: _Span) -> Iterator[str]:
    for one in span.inside:
        if _computes(one.name) and not any(map(_holds_work, one.inside)):
            yield one.name
        else:
            yield from _workers(one)


def _computes(name: str) -> bool:
    return name.startswith(_OWN) and name not in _BOOKKEEPING


def _holds_work(span: _Span) -> bool:
    if _computes(span.name) and span.name not in _LIGHT:
        return True
    return any(map(_holds_work, span.inside))


def device_span_s(events: Iterable[Any], device_type: object) -> float | None:
    """Return the seconds from a device's first activity to its last; None if it did nothing.

    Copies and fills count; host annotations that the trace repeats on the device do not.
    """
    ran: list[tuple[int, int]] = [
        (e.start_ns(), e.start_ns() + e.duration_ns())
        for e in events
        if e.device_type() == device_type and not e.is_user_annotation()
    ]
    if not ran:
        return None
    return (max(end for _, end in ran) - min(start for start, _ in ran)) * 1e-9


def device_kernels(events: Iterable[Any], device_type: object) -> tuple[str, ...]:
    """Return the names of the kernels that ran on a device, in launch order, each once."""
    ran = sorted(
        (e.start_ns(), e.name())
        for e in events
        if e.device_type() == device_type
        and not e.is_user_annotation()
        and not e.name().startswith(("Memcpy", "Memset"))
    )
    return tuple(dict.fromkeys(name for _, name in ran))


Span = Callable[[str], AbstractContextManager[Any]]

_PREFIX = "cpp_fused"


@contextmanager
def named_kernels(span: Span) -> Iterator[None]:
    """Wrap each kernel that is compiled so far in a ``span`` of its name."""
    found = [
        (module, name, kernel)
        for module in _generated()
        for name, kernel in vars(module).items()
        if name.startswith(_PREFIX) and callable(kernel)
    ]
    for module, name, kernel in found:
        setattr(module, name, _in_span(name, kernel, span))
    try:
        yield
    finally:
        for module, name, kernel in found:
            setattr(module, name, kernel)


def _in_span(name: str, kernel: Callable[..., Any], span: Span) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with span(name):
            return kernel(*arguments)

    return call


def _generated() -> tuple[ModuleType, ...]:
    """Return the modules of generated code; none if torch keeps them elsewhere."""
    cache = getattr(sys.modules.get("torch._inductor.codecache"), "PyCodeCache", None)
    return tuple(getattr(cache, "modules", ()))
