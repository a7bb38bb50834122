"""Cold caches: read twice the last-level cache before a call.

A read, not a write: dirty lines would be written back during the next kernel and be charged to it.
"""

from __future__ import annotations

import torch

from attnbench.device.base import Driver
from attnbench.method import UNKNOWN_CACHE_BYTES

_FLOAT_BYTES = 4


class Flush:
    """A buffer of twice the last-level cache that is summed before each sample."""

    def __init__(self, driver: Driver, llc_bytes: int | None) -> None:
        self.nbytes = 2 * (llc_bytes or UNKNOWN_CACHE_BYTES)
        self._buffer = torch.ones(self.nbytes // _FLOAT_BYTES, device=driver.torch_name)

    def __call__(self) -> None:
        """Read the whole buffer on the current stream."""
        self._buffer.sum()
