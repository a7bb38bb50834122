"""Profile one case: select it, build the command, run it and read the result."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnbench.case import Case
from attnbench.errors import EnvironmentProblem, InputError, NameTakenError, OptionError
from attnbench.method import Measure
from attnbench.profile.profiled import Profiled
from attnbench.profile.tools import TOOLS, Tool
from attnbench.store.atomic import check_writable, writing
from attnbench.suite import Suite
from attnbench.worker.client import worker_environment

FOLDER = Path("results") / "profiles"
_LISTED = 10
_TAIL = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileRequest:
    """One case under one profiler; ``out`` is the file that the profiler writes."""

    case: Case
    settings: Measure
    tool: Tool
    device: str = "auto"
    out: Path | None = None

    @property
    def place(self) -> Path:
        """Where the profiler's file goes, as an absolute path."""
        named = self.out or FOLDER / f"{self.case.backend}-{self.case.id}{self.tool.suffix}"
        return named.absolute()

    @property
    def cold(self) -> bool:
        """Whether the last-level cache is flushed before the call, as in its first method."""
        return self.settings.l2_states[0] != "warm"

    def command(self, *, out: Path | None = None, answer: Path | None = None) -> list[str]:
        """Return the whole command, including the profiler's.

        ``out`` replaces ``place`` until the file is complete; ``answer`` is where the profiled
        process reports.
        """
        out = out or self.place
        job: dict[str, Any] = {
            "case": self.case.to_dict(),
            "measure": self.settings.to_dict(),
            "device": self.device,
            "tool": self.tool.name,
            "out": str(out),
        }
        if answer is not None:
            job["answer"] = str(answer)
        text = json.dumps(job, separators=(",", ":"))
        target = [sys.executable, "-P", "-m", "attnbench.profile.target", text]
        return self.tool.command(target, out, cold=self.cold)


def tool_named(name: str) -> Tool:
    """Return a profiler by name.

    Raises:
        OptionError: there is none with this name.

    """
    if name not in TOOLS:
        raise OptionError(f"no profiler {name!r}", hint=f"it is one of {', '.join(TOOLS)}")
    return TOOLS[name]


def the_one_case(suite: Suite) -> Case:
    """Return the only case of a suite.

    Raises:
        InputError: there are several; it lists them.

    """
    cases = list({one.id: one for one in suite.cases}.values())
    if len(cases) == 1:
        return cases[0]
    shown = [f"  {one.id}  {one.label}" for one in cases[:_LISTED]]
    if more := len(cases) - _LISTED:
        shown += [f"  and {more} more: attnbench plan {suite.name} --all"] if more > 0 else []
    raise InputError(
        "\n".join([f"profile looks at one case, and {len(cases)} are selected:", *shown]),
        hint=f"name one: -k {cases[0].id}",
    )


def profile_case(request: ProfileRequest) -> Profiled:
    """Run one case once under a profiler, in a process of its own.

    Raises:
        EnvironmentProblem: the profiler is missing, refused by the driver, or cannot look at this
            device; or the process died.
        InputError: the profiler left a file that cannot be read.
        NameTakenError: ``out`` exists.

    """
    if lack := request.tool.lacks():
        raise EnvironmentProblem(f"--tool {request.tool.name}: {lack[0]}", hint=lack[1])
    place = request.place
    if request.out is not None and place.exists():
        raise NameTakenError(f"{request.out} exists already", hint="choose another with --out")
    check_writable(place.parent, room_bytes=0)
    with tempfile.TemporaryDirectory() as folder:
        made, answer_file = Path(folder) / place.name, Path(folder) / "answer"
        said = _run(request, request.command(out=made, answer=answer_file))
        answer = _answer(answer_file, made, request, said)
        common: dict[str, Any] = {
            "case": request.case,
            "tool": request.tool.name,
            "command": tuple(request.command()),
            "device": answer["device"],
        }
        if answer["status"] != "ok":
            return Profiled(**common, status=answer["status"], reason=answer["reason"])
        _require_no_refusal(request.tool, made, said)
        if not made.exists():
            raise EnvironmentProblem(
                f"{request.tool.name} left no file", hint="another profiler may hold the device"
            )
        with made.open("rb") as source, writing(place) as target:
            shutil.copyfileobj(source, target)
    return Profiled(**common, kernels=request.tool.read(place, answer), files=(place,))


def _run(request: ProfileRequest, command: list[str]) -> str:
    """Run the command; return what it printed."""
    settings = request.settings
    limit_s = request.tool.slowdown * (settings.compile_s + settings.deadline)
    # A profiler that writes 1.234,5 would be misread.
    environment = {**worker_environment(interpret=False), "LC_ALL": "C"}
    try:
        done = subprocess.run(  # noqa: S603  the profiler and our own module, no shell
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentProblem(
            f"no end of {request.case.label} under {request.tool.name} after {limit_s:.0f} s",
            hint="take a smaller case, or raise compile_s in the suite's measure block",
        ) from error
    return done.stdout


def _answer(path: Path, made: Path, request: ProfileRequest, said: str) -> dict[str, Any]:
    """Read the report of the profiled process, or raise why there is none."""
    printed = said.strip()[-_TAIL:] or "nothing"
    if not path.exists():
        _require_no_refusal(request.tool, made, said)
        raise EnvironmentProblem(f"the profiled process died; it printed: {printed}")
    answer: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "error" in answer:
        raise EnvironmentProblem(answer["error"], hint=answer["hint"])
    return answer


def _require_no_refusal(tool: Tool, made: Path, said: str) -> None:
    if refusal := tool.refusal(made, said):
        raise EnvironmentProblem(refusal[0], hint=refusal[1])
