"""The preflight: what must be known before a run can be planned."""

from __future__ import annotations

from dataclasses import dataclass

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Environment
from attnbench.execute.crew import WorkerHandle
from attnbench.planning.plan import Backends, describe_backends
from attnbench.store.ceilings import store_ceilings, stored_ceilings

_REPEATS, _REPEATS_AGAIN = 5, 1  # a run looks again: the first time may have been a busy one


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The device, its ceilings, and what each backend can do."""

    environment: Environment
    ceilings: Ceilings
    backends: Backends


def survey(cases: list[Case], crew: WorkerHandle) -> Preflight:
    """Open the device, import third-party backends in the worker, have the ceilings measured once.

    Raises:
        EnvironmentProblem: no torch, no device, or a third-party backend that cannot be imported.

    """
    environment = crew.environment
    backends = describe_backends(cases, crew.capabilities(cases))
    return Preflight(environment=environment, ceilings=ceilings_of(crew), backends=backends)


def ceilings_of(crew: WorkerHandle) -> Ceilings:
    """Measure the device's ceilings and keep the best that was ever seen of it.

    What is stored was measured once with care; a run looks again, in case that was a busy moment.
    """
    environment = crew.environment
    stored = stored_ceilings(environment)
    if stored is None:
        best = crew.ceilings(_REPEATS)
    else:
        best = crew.ceilings(_REPEATS_AGAIN).best_of(Ceilings(**stored))
    store_ceilings(environment, best.to_dict())
    return best
