"""A backend bound to inputs: the call that is timed, for each mode, and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch

from attnbench.plugin import Inputs, notes_of

if TYPE_CHECKING:
    from torch import Tensor

Gradients = tuple["Tensor", "Tensor", "Tensor"]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a backend computed; ``lse`` and ``gradients`` (dq, dk, dv) are None if not returned."""

    o: Tensor | None
    lse: Tensor | None
    gradients: Gradients | None

    def tensors(self) -> list[Tensor]:
        """Return every tensor that is not None."""
        return [one for one in (self.o, self.lse, *(self.gradients or ())) if one is not None]

    def same_bits(self, other: Outputs) -> bool:
        """Return whether both are equal to the bit; NaN equals NaN."""
        mine, theirs = self.tensors(), other.tensors()
        return len(mine) == len(theirs) and all(map(_same_bits, mine, theirs))

    @staticmethod
    def nbytes_of(returned: Any) -> int:
        """Return the bytes of all tensors in what a call returned."""
        if isinstance(returned, torch.Tensor):
            return returned.nbytes
        return sum(map(Outputs.nbytes_of, returned)) if isinstance(returned, tuple | list) else 0


class Prepared:
    """One backend bound to inputs: the timed call, and how to get its outputs.

    ``timed`` is the forward; in ``bwd`` only the gradient (``torch.autograd.grad`` over a forward
    that is made once while preparing, whose graph is kept); in ``fwd_bwd`` both.

    Args:
        module: the backend, with ``prepare`` and perhaps ``prepare_backward`` and ``teardown``.
        inputs: the tensors of the problem.
        options: keyword arguments of ``prepare``.

    """

    def __init__(self, module: ModuleType, inputs: Inputs, options: Mapping[str, Any]) -> None:
        self._module = module
        self._inputs = inputs
        self._mode = inputs.problem.mode
        self._forward: Callable[[], Any] | None = None
        self._own_backward: Callable[[], Gradients] | None = None
        self._o: Tensor | None = None
        if self._mode != "fwd" and hasattr(module, "prepare_backward"):
            self._own_backward = module.prepare_backward(inputs, **options)
        if self._mode != "bwd" or self._own_backward is None:
            self._forward = module.prepare(inputs, **options)
        if self._mode == "bwd" and self._own_backward is None:
            self._o = _output_of(self._run_forward())[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Note codes that the backend attaches to its call, such as FALLBACK."""
        return tuple(code for call in self._calls() for code in notes_of(call))

    @property
    def redrawn(self) -> str:
        """The input that may be redrawn in place between calls.

        A backend's own backward keeps o and lse, which belong to q, so grad_out is redrawn.
        """
        return "q" if self._own_backward is None else "grad_out"

    def teardown(self) -> None:
        """Let the backend undo side effects of ``prepare`` outside its own tensors."""
        undo = getattr(self._module, "teardown", None)
        if undo is not None:
            for call in self._calls():
                undo(call)

    def _calls(self) -> list[Callable[[], Any]]:
        return [one for one in (self._forward, self._own_backward) if one is not None]

    def timed(self) -> Any:
        """Make the call whose time is the case's latency."""
        if self._mode == "fwd":
            return self._run_forward()
        if self._mode == "bwd":
            return self._gradients_of_kept()
        if self._own_backward is not None:
            return self._run_forward(), self._own_backward()
        return self._gradients(_output_of(self._run_forward())[0])

    def outputs(self) -> Outputs:
        """Compute everything that can be checked, from the current inputs."""
        if self._mode == "fwd":
            return Outputs(*_output_of(self._run_forward()), None)
        if self._own_backward is not None:
            o, lse = _output_of(self._run_forward()) if self._forward else (None, None)
            return Outputs(o, lse, self._own_backward())
        o, lse = _output_of(self._run_forward())
        self._o = o
        return Outputs(o, lse, self._gradients(o))

    def _run_forward(self) -> Any:
        assert self._forward is not None
        return self._forward()

    def _gradients_of_kept(self) -> Gradients:
        if self._own_backward is not None:
            return self._own_backward()
        assert self._o is not None
        return self._gradients(self._o)

    def _gradients(self, o: Tensor) -> Gradients:
        inputs = self._inputs
        assert inputs.k is not None and inputs.v is not None and inputs.grad_out is not None  # noqa: PT018
        wanted = (inputs.q, inputs.k, inputs.v)
        dq, dk, dv = torch.autograd.grad(o, wanted, inputs.grad_out, retain_graph=True)
        return dq, dk, dv


def _output_of(returned: Any) -> tuple[Tensor, Tensor | None]:
    """Accept ``o`` or ``(o, lse)``; anything else is an error of the backend."""
    if isinstance(returned, torch.Tensor):
        return returned, None
    if isinstance(returned, tuple) and len(returned) == 2:  # noqa: PLR2004
        o, lse = returned
        if isinstance(o, torch.Tensor) and (lse is None or isinstance(lse, torch.Tensor)):
            return o, lse
    raise TypeError(f"the call returns o or (o, lse), not {type(returned).__name__}")


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return torch.equal(
        one.detach().contiguous().view(torch.uint8), other.detach().contiguous().view(torch.uint8)
    )
