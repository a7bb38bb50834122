"""What is asked of a run, and where its file goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attnbench.case import Case
from attnbench.environment import Device
from attnbench.errors import InputError, NothingSelected
from attnbench.method import Measure
from attnbench.store.resume import Redo, unfinished_runs
from attnbench.suite import Suite

RESULTS = Path("results")
Keeps = Callable[[Case], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One execution of a suite; what is None comes from the suite or is chosen.

    ``keeps`` selects cases (-k). ``repro`` is how the suite was named on the command line with
    whatever changed it, so that a row can say how to measure itself alone.
    """

    suite: Suite
    device: str = "auto"
    out: Path | None = None
    name: str | None = None
    processes: int | None = None
    budget_s: float | None = None
    resume: bool = False
    redo: Redo = "none"
    keeps: Keeps | None = None
    oom_skip: bool = True
    seed: int = 0
    run_args: str = "{}"
    repro: str = ""
    folder: Path = field(default=RESULTS)

    @property
    def settings(self) -> Measure:
        """The suite's measure block with what the command line says instead."""
        measure = self.suite.measure
        if self.processes is None:
            return measure
        return Measure(**{**measure.to_dict(), "processes": self.processes})

    def cases(self) -> list[Case]:
        """The suite's cases that are selected.

        Raises:
            NothingSelected: none is.

        """
        kept = [one for one in self.suite.cases if self.keeps is None or self.keeps(one)]
        if not kept:
            raise NothingSelected(
                f"nothing to run: none of the {len(self.suite.cases)} cases of "
                f"{self.suite.name} is selected",
                hint=f"see them: attnbench plan {self.suite.name} --all",
            )
        return kept

    def place(self, device: Device) -> tuple[Path, bool]:
        """Return where the result file goes, and whether that run exists and is resumed."""
        named = self.out or (self.folder / f"{self.name}.parquet" if self.name else None)
        if named is not None and named.suffix != ".parquet":
            raise InputError(f"--out {named} is not a .parquet file", hint=f"write {named}.parquet")
        if self.resume:
            from attnbench.store.journal import journal_path

            if named is not None:
                return named, named.exists() or journal_path(named).exists()
            for run in unfinished_runs(self.folder):
                if _is_this(run.header.run, self.suite, device):
                    return run.path, True
        return named or self.folder / f"{self._fresh_name(device)}.parquet", False

    def _fresh_name(self, device: Device) -> str:
        moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        return f"{self.suite.name}-{device_word(device)}-{moment}"


def device_word(device: Device) -> str:
    """A short word for a device in a file's name: h200, or cpu."""
    if device.kind == "cpu":
        return "cpu"
    plain = device.name.removeprefix("NVIDIA ").removeprefix("GeForce ")
    word = "".join(c if c.isalnum() else "-" for c in plain.lower())
    return "-".join(filter(None, word.split("-")))


def _is_this(run: Mapping[str, Any], suite: Suite, device: Device) -> bool:
    return run.get("suite") == suite.name and run.get("device_id") == device.id
