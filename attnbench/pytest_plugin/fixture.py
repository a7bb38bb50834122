"""Your own kernels under pytest: the marker's problems, and the fixture that checks and times.

::

    @pytest.mark.attnbench(q_len=1, kv_len=["4k", "16k"], q_heads=32, kv_heads=8, head_dim=128,
                           dtype="bf16")
    def test_my_attention(attnbench):
        q, k, v = attnbench.inputs.q, attnbench.inputs.k, attnbench.inputs.v
        attnbench(lambda: my_attention(q, k, v))
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from attnbench.errors import ProblemError
from attnbench.problem import FIELDS, Problem
from attnbench.pytest_plugin.session_device import SessionDevice

if TYPE_CHECKING:
    from attnbench.plugin import Inputs

_EXAMPLE = (
    "@pytest.mark.attnbench(q_len=1, kv_len=4096, q_heads=32, kv_heads=8, head_dim=128, "
    'dtype="bf16")'
)


class Attention:
    """The fixture ``attnbench``: a problem, its inputs, and a call that checks and records.

    Args:
        problem: The problem of the marker.
        device: The session's device.
        benchmark: pytest-benchmark's fixture.

    """

    def __init__(self, problem: Problem, device: SessionDevice, benchmark: Any) -> None:
        self.problem = problem
        self._context = device.context
        self._benchmark = benchmark

    @property
    def inputs(self) -> Inputs:
        """The tensors of the problem, on the device; see ``attnbench.plugin.Inputs``."""
        return self._context.inputs_for(self.problem).inputs

    def __call__(self, call: Callable[[], Any]) -> None:
        """Check what ``call`` returns (``o`` or ``(o, lse)``) and record its time.

        In modes bwd and fwd_bwd, torch's autograd computes the gradients, as in a run. A wrong
        output fails the test in one line, ``Unsupported`` skips it, and any other exception
        propagates.
        """
        from attnbench.errors import Unsupported
        from attnbench.measure.outcome import Incorrect
        from attnbench.pytest_plugin.checked_call import check_and_time

        module = ModuleType("own")
        module.prepare = lambda _: call  # type: ignore[attr-defined]  # a backend is such a module
        try:
            check_and_time(module, self.problem, {}, self._context, self._benchmark)
        except Incorrect as error:
            pytest.fail(f"incorrect: {error}", pytrace=False)
        except Unsupported as error:
            pytest.skip(f"unsupported: {error}")


def refuse_no_problem() -> NoReturn:
    """Fail the test because the fixture has no problem."""
    _refuse(f"the attnbench fixture needs a problem by its fields: {_EXAMPLE}")


def problems_of(marker: pytest.Mark) -> list[Problem]:
    """Return the problems of a test's marker; the last field varies fastest."""
    if marker.args or not marker.kwargs:
        refuse_no_problem()
    spans = [
        [_value(name, one) for one in (value if isinstance(value, list | tuple) else [value])]
        for name, value in marker.kwargs.items()
    ]
    try:
        return [
            Problem(**dict(zip(marker.kwargs, values, strict=True)))
            for values in itertools.product(*spans)
        ]
    except (ProblemError, TypeError) as error:
        _refuse(f"@pytest.mark.attnbench: {error}")


def _value(name: str, value: Any) -> Any:
    """Read a value as a suite reads it."""
    from attnbench.filter import did_you_mean
    from attnbench.suite.fields import PROBLEM, ValueFault

    if name not in FIELDS:
        near = did_you_mean(name, FIELDS)
        _refuse(f"@pytest.mark.attnbench: a problem has no field {name!r}{near and f'; {near}'}")
    try:
        return PROBLEM[name](value)
    except ValueFault as fault:
        advice = f"; {fault.advice}" if fault.advice else ""
        _refuse(f"@pytest.mark.attnbench: {fault.message}{advice}")


def _refuse(text: str) -> NoReturn:
    pytest.fail(text, pytrace=False)
