"""Cold caches: a flush before each call, or calls that rotate over many copies of the inputs.

With rotation, five times the last-level cache is read before a copy is used again. It never uses
fewer copies: if they do not fit into memory there is no rotation, and the row says ``warm``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from attnbench.device.base import Driver
from attnbench.measure.calls import Prepared
from attnbench.measure.inputs import input_bytes, tensors_of
from attnbench.measure.outcome import TooSlow
from attnbench.method import UNKNOWN_CACHE_BYTES, copies_for, read_bytes, rotation_fits
from attnbench.plugin import Inputs

if TYPE_CHECKING:
    from attnbench.measure.context import DeviceContext, ProblemInputs

_USABLE = 0.9  # of the free memory: outputs and workspace of one call need the rest
_FLOAT_BYTES = 4
# All copies have these in common, as the layers of a model do: lengths, and tables of constants
# that no cost model counts. Each copy has its own of what counts, the page table included.
SHARED_FIELDS = (
    *("cu_seqlens_q", "cu_seqlens_k", "kv_lens", "alibi_slopes", "sink_logits", "cos", "sin"),
)


class Flush:
    """A buffer of twice the last-level cache that is summed before each sample.

    It is read, not written: dirty lines would be written back during the next kernel and count
    towards its time.
    """

    def __init__(self, driver: Driver, llc_bytes: int | None) -> None:
        self.nbytes = 2 * (llc_bytes or UNKNOWN_CACHE_BYTES)
        self._buffer = torch.ones(self.nbytes // _FLOAT_BYTES, device=driver.torch_name)

    def __call__(self) -> None:
        """Read the whole buffer on the current stream."""
        self._buffer.sum()


def copy_inputs(inputs: Inputs) -> Inputs:
    """Copy all tensors but the ``SHARED_FIELDS``; a view of a tensor becomes a view of its copy."""
    storages: dict[int, torch.UntypedStorage] = {}
    copies: dict[str, Any] = {}
    for name, tensor in tensors_of(inputs).items():
        if name in SHARED_FIELDS:
            continue
        storage = tensor.detach().untyped_storage()
        address = storage.data_ptr()
        if address not in storages:
            storages[address] = storage.clone()
        empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        layout = tensor.storage_offset(), tensor.size(), tensor.stride()
        copies[name] = empty.set_(storages[address], *layout).requires_grad_(tensor.requires_grad)
    return replace(inputs, **copies)


@dataclass(frozen=True, slots=True)
class Rotation:
    """The call on each copy; the first is the one that was checked and whose memory was measured.

    ``bytes_per_turn`` is what one turn over all copies reads.
    """

    members: tuple[Prepared, ...]
    bytes_per_turn: int


def rotate(
    first: Prepared,
    bind: Callable[[Inputs], Prepared],
    problem_inputs: ProblemInputs,
    device_context: DeviceContext,
    *,
    prepared_bytes: int,
    limit_s: float,
) -> Rotation | None:
    """Bind a backend to as many copies of the inputs as make a cold cache.

    Args:
        first: the backend bound to the inputs themselves.
        bind: binds it to a copy.
        problem_inputs: keeps the copies for the next backend.
        device_context: the device.
        prepared_bytes: what each ``bind`` allocates and keeps.
        limit_s: time limit for binding all copies.

    Returns:
        None if the copies do not fit into memory.

    Raises:
        TooSlow: binding them takes longer than ``limit_s``.

    """
    driver, problem = device_context.driver, problem_inputs.problem
    if not rotation_fits(problem, device_context.device):
        return None
    count = copies_for(problem, device_context.device.llc_bytes)
    driver.release()
    missing = (count - 1 - len(problem_inputs.copies)) * input_bytes(problem_inputs.inputs)
    if missing + (count - 1) * prepared_bytes > _USABLE * driver.describe().free_bytes:
        return None
    members = [first]
    deadline_ns = driver.clock_ns() + limit_s * 1e9
    try:
        for number in range(count - 1):
            members.append(bind(problem_inputs.copy(number)))
            if driver.clock_ns() > deadline_ns:
                raise TooSlow(  # noqa: TRY301  cleaned up like any other failure
                    f"a cold cache needs {count - 1} copies of the inputs, and to prepare "
                    f"{number + 1} of them took case_limit_s, {limit_s:g} s; "
                    "timer: event needs none"
                )
    except Exception as error:
        for one in members[1:]:
            with suppress(Exception):
                one.teardown()
        if not driver.is_out_of_memory(error):
            raise
        problem_inputs.copies.clear()
        return None
    return Rotation(tuple(members), count * read_bytes(problem))
