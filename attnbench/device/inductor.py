"""Kernels that torch.compile made for a CPU, by name in a profiler's trace.

Code of inductor calls its kernels as plain functions, of which a trace knows nothing. torch can
generate code that tells of each (``cpp.enable_kernel_profile``), but then it tells in every sample
too. Here the functions are told of from outside, and in the one profiled call alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

Span = Callable[[str], AbstractContextManager[Any]]

_PREFIX = "cpp_fused"


@contextmanager
def told_by_name(span: Span) -> Iterator[None]:
    """Let each kernel that was compiled so far be a ``span`` of its own name."""
    found = [
        (module, name, kernel)
        for module in _generated()
        for name, kernel in vars(module).items()
        if name.startswith(_PREFIX) and callable(kernel)
    ]
    for module, name, kernel in found:
        setattr(module, name, _told(name, kernel, span))
    try:
        yield
    finally:
        for module, name, kernel in found:
            setattr(module, name, kernel)


def _told(name: str, kernel: Callable[..., Any], span: Span) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with span(name):
            return kernel(*arguments)

    return call


def _generated() -> tuple[ModuleType, ...]:
    """The modules of generated code; none where torch keeps them elsewhere, and names are lost."""
    cache = getattr(sys.modules.get("torch._inductor.codecache"), "PyCodeCache", None)
    return tuple(getattr(cache, "modules", ()))
