"""The one worker of a device: opened when it is needed, replaced when it died."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from attnbench.case import BUILT_IN, Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Environment
from attnbench.errors import (
    BackendImportError,
    DeviceMissing,
    EnvironmentProblem,
    TorchMissing,
)
from attnbench.execute.local import LocalWorker, WorkerDied
from attnbench.plugin import Capabilities

_OPEN_S = 180.0  # importing torch from a cold network disk
_CEILINGS_S = 120.0
_INSTALL = 'python -m pip install "attnbench[torch]"'


@dataclass(slots=True)
class WorkerHandle:
    """Opens workers on one device; at most one lives at a time.

    ``python`` is the interpreter that they run in (None: this one) and ``search`` what they import
    from first; see ``worker_environment``.
    """

    device: str
    interpret: bool = False
    python: str | None = None
    search: tuple[str, ...] = ()
    _worker: LocalWorker | None = None
    _environment: Environment | None = field(default=None)

    @property
    def is_open(self) -> bool:
        """True while a worker lives."""
        return self._worker is not None

    def worker(self) -> LocalWorker:
        """Return the living worker, opening one where there is none.

        Raises:
            TorchMissing: torch cannot be imported.
            DeviceMissing: torch sees no such device.
            EnvironmentProblem: the worker could not start at all.

        """
        if self._worker is None:
            worker = LocalWorker(
                self.device,
                python=self.python or sys.executable,
                interpret=self.interpret,
                search=self.search,
            )
            try:
                answer = worker.ask({"op": "hello", "device": self.device}, _OPEN_S)
                self._environment = _environment_of(answer, self.python)
            except (WorkerDied, TimeoutError) as error:
                worker.kill()
                raise EnvironmentProblem(f"a worker could not start: {error}") from error
            except BaseException:
                worker.kill()
                raise
            self._worker = worker
        return self._worker

    @property
    def environment(self) -> Environment:
        """What the first worker said of the device, host and software."""
        self.worker()
        assert self._environment is not None
        return self._environment

    def lost(self) -> None:
        """Note that the worker is dead or must not be used any more."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def dismiss(self) -> None:
        """End the worker in good order: the next process gets a fresh process."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def ceilings(self, repeats: int) -> Ceilings:
        """Measure the device's best rates, each the best of so many calls.

        Raises:
            EnvironmentProblem: the worker did not live to answer, or could not.

        """
        answer = self._ask("ceilings", {"op": "ceilings", "repeats": repeats})
        return Ceilings(**answer["ceilings"])

    def sustained(self, ceilings: Ceilings) -> Ceilings:
        """Measure what the device holds for a second each, beside these bursts.

        Raises:
            EnvironmentProblem: the worker did not live to answer.

        """
        message = {"op": "sustained", "ceilings": ceilings.to_dict()}
        answer = self._ask("sustained rates", message)
        return Ceilings(**answer["ceilings"])

    def selftest(self, ceilings: dict[str, Any] | None, *, brief: bool = False) -> dict[str, Any]:
        """Have known things timed: {"selftest": [facts of each], "ceilings": what it went by}.

        Raises:
            EnvironmentProblem: the worker did not live to answer.

        """
        return self._ask("self-test", {"op": "selftest", "ceilings": ceilings, "brief": brief})

    def canaries(self, *, warm: bool) -> dict[str, Any]:
        """Have unchanging things timed: {"at": …, "us": …}; ``warm`` drives the device first.

        Raises:
            EnvironmentProblem: the worker did not live to answer.

        """
        return self._ask("canaries", {"op": "canaries", "warm": warm})

    def _ask(self, what: str, message: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self.worker().ask(message, _CEILINGS_S)
        except (WorkerDied, TimeoutError) as error:
            self.lost()
            raise EnvironmentProblem(f"no answer from the {what}: {error}") from error
        if "error" in answer:
            raise EnvironmentProblem(f"the {what} failed: {answer['message']}")
        return answer

    def capabilities(self, cases: list[Case]) -> dict[tuple[str, str], Capabilities]:
        """Import the third-party backends of some cases and return what they can do.

        Raises:
            BackendImportError: one cannot be imported; said before anything is measured.

        """
        wanted = {(one.backend, one.source) for one in cases if one.source != BUILT_IN}
        if not wanted:
            return {}
        found = {}
        for name, source in sorted(wanted):
            answer = self.probe(name, source)
            if "error" in answer:
                raise BackendImportError(
                    f"backend {name} ({source}) cannot be imported: {answer['error']}",
                    hint=answer["hint"] or "leave it out with --backend, or mend it",
                )
            sets = answer["capabilities"]
            found[name, source] = Capabilities(**sets)
        return found

    def imported_below(self, folders: Sequence[str]) -> list[str]:
        """Files below these folders that the living worker has imported, this package's left out.

        A worker that died answers nothing, and whatever comes next finds it dead.
        """
        try:
            message = {"op": "imported", "below": list(folders)}
            found: list[str] = self.worker().ask(message, _OPEN_S)["files"]
        except (WorkerDied, TimeoutError):
            self.lost()
            return []
        return found

    def probe(self, name: str, source: str) -> dict[str, Any]:
        """Import one backend: {"capabilities": …} or {"error": …, "hint": …}."""
        try:
            message = {"op": "probe", "backends": [{"name": name, "source": source}]}
            answer: dict[str, Any] = self.worker().ask(message, _OPEN_S)["backends"][0]
        except (WorkerDied, TimeoutError) as error:
            self.lost()
            return {"error": str(error), "hint": None}
        return answer


def _environment_of(answer: dict[str, Any], python: str | None) -> Environment:
    error = answer.get("error")
    if error == "TorchMissing":
        install = _INSTALL if python is None else f"{python} -m pip install torch"
        raise TorchMissing(
            f"measuring needs torch: {answer['message']}", hint=f"install it: {install}"
        )
    if error == "DeviceMissing":
        raise DeviceMissing(answer["message"], hint=answer["hint"])
    if error is not None:
        raise RuntimeError(answer["message"])
    return Environment.from_dict(answer["environment"])
