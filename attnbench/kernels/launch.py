"""How a kernel is called: one value that is run on a device, interpreted, or compiled offline.

Because a backend makes ``Launch`` values and everything else takes them, what `attnbench inspect`
compiles without a GPU is what runs on one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a plan needs to know of a GPU: ``arch`` is 90 for sm_90; bandwidth in bytes/s."""

    arch: int
    sms: int
    bandwidth: float


# SMs and datasheet bandwidth of the part each architecture is best known by; a plan made without a
# device (interpreted, offline) is made for it. The bandwidth only weighs splits against each other.
_KNOWN = {
    80: Target(arch=80, sms=108, bandwidth=2.0e12),
    86: Target(arch=86, sms=84, bandwidth=0.9e12),
    89: Target(arch=89, sms=142, bandwidth=0.86e12),
    90: Target(arch=90, sms=132, bandwidth=4.0e12),
    100: Target(arch=100, sms=148, bandwidth=7.0e12),
    120: Target(arch=120, sms=170, bandwidth=1.7e12),
}


def assumed_target(arch: int = 90) -> Target:
    """Return a well-known part of this architecture; of the nearest older one where it is new."""
    older = [one for one in _KNOWN if one <= arch]
    like = _KNOWN[max(older, default=min(_KNOWN))]
    return Target(arch=arch, sms=like.sms, bandwidth=like.bandwidth)


def target_of(tensor: Tensor) -> Target:
    """Return the device that a tensor is on; a tensor on the CPU is interpreted as for sm_90."""
    if tensor.device.type != "cuda":
        return assumed_target()
    return _cuda_target(tensor.device.index or 0)


@lru_cache(maxsize=16)
def _cuda_target(index: int) -> Target:
    import torch

    facts = torch.cuda.get_device_properties(index)
    arch = 10 * facts.major + facts.minor
    like = assumed_target(arch)
    return Target(arch=arch, sms=facts.multi_processor_count, bandwidth=like.bandwidth)


def is_interpreted() -> bool:
    """Whether kernels run in Triton's interpreter, which knows no inline assembly."""
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One kernel with everything it is called with.

    ``arguments`` maps every parameter's name to a tensor, a number, or None where the problem lacks
    it; ``options`` are the compiler's (num_warps, num_stages, maxnreg).
    """

    kernel: Any
    grid: tuple[int, ...]
    arguments: Mapping[str, Any]
    options: Mapping[str, int]

    @property
    def name(self) -> str:
        """The kernel's name, as a profiler shows it."""
        return str(self.kernel.__name__)

    def run(self) -> None:
        """Queue the kernel on the current stream."""
        options = {} if is_interpreted() else self.options
        self.kernel[self.grid](**self.arguments, **options)


@dataclass(frozen=True, slots=True)
class Planned(Generic[Result]):
    """A prepared call: ``make`` allocates the outputs and says which kernels fill them."""

    make: Callable[[], tuple[list[Launch], Result]]

    def __call__(self) -> Result:
        """Queue every kernel and return what they fill."""
        launches, result = self.make()
        for launch in launches:
            launch.run()
        return result
