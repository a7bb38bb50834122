"""What must be known before a run can be planned: device, ceilings, and what backends can do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Environment
from attnbench.execute.crew import WorkerHandle
from attnbench.execute.plan import Known, known_backend
from attnbench.registry import Registry
from attnbench.store.ceilings import store_ceilings, stored_ceilings

_REPEATS, _REPEATS_AGAIN = 5, 1  # a run looks again: the first time may have been a busy one
Backends = dict[tuple[str, str], Known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The ground a run stands on."""

    environment: Environment
    ceilings: Ceilings
    backends: Backends


def survey(cases: list[Case], crew: WorkerHandle) -> Preflight:
    """Open the device, import third-party backends in the worker, have the ceilings measured once.

    Raises:
        EnvironmentProblem: no torch, no device, or a third-party backend that cannot be imported.

    """
    environment = crew.environment
    backends = known_backends(cases, crew)
    return Preflight(environment=environment, ceilings=ceilings_of(crew), backends=backends)


def known_backends(
    cases: list[Case], crew: WorkerHandle | None = None, *, elsewhere: bool = False
) -> Backends:
    """Say what may be asked of each backend of some cases; third-party ones only through a crew.

    ``elsewhere`` plans for a device of another machine.
    """
    probed = crew.capabilities(cases) if crew is not None else {}
    found: Backends = {}
    for case in cases:
        key = (case.backend, case.source)
        if key not in found:
            reference = case.source if case.source.endswith(".py") else case.backend
            facts = Registry().describe(reference, folder=Path.cwd(), name=case.backend)
            found[key] = known_backend(facts, probed.get(key), elsewhere=elsewhere)
    return found


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
