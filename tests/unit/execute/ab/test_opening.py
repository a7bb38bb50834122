"""Opening the two sides: on workers that are played, what each imports and which device it has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from attnbench.device.rates import Ceilings
from attnbench.environment import Device, Environment
from attnbench.errors import DeviceMissing, EnvironmentProblem, NotComparable, TorchMissing
from attnbench.execute.ab.opening import open_sides, refuse_foreign_imports
from attnbench.execute.ab.request import AbRequest
from attnbench.execute.ab.sides import Asked
from attnbench.execute.case_runner import Interrupt
from attnbench.execute.events import AbStarted, Remark
from attnbench.execute.session import Job, Preflight, Progress, Session
from attnbench.plugin import Capabilities
from attnbench.store.journal import read_rows
from attnbench.worker.client import Stopped, WorkerProcess, WorkerSpec, worker_environment
from attnbench.worker.protocol import (
    DEVICE_MISSING,
    TORCH_MISSING,
    BackendProbed,
    CaseDone,
    CeilingsMeasured,
    DeviceOpened,
    Failed,
    ImportedFiles,
    ListImported,
    MeasureCeilings,
    OpenDevice,
    ProbeBackend,
    RunCase,
)

BACKEND = """
from beside import answer
from attnbench.plugin import Capabilities
capabilities = Capabilities()
def prepare(inputs):
    return answer
"""
FILE = """
from attnbench.plugin import Capabilities
capabilities = Capabilities()
def prepare(inputs):
    return lambda: None
"""
SUITE = """
suite: s
problem: {q_len: 16, q_heads: 2, head_dim: 16, dtype: fp32}
sweep: {kv_len: [16, 48]}
backends: {./mine.py: , sdpa: }
gate: {max_slowdown: 5%}
"""
CEILINGS = Ceilings(read_gbps=10.0, copy_gbps=10.0, triad_gbps=10.0, tflops={"fp32": 0.1})
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def environment(name="Xeon"):
    device = Device(
        kind="cpu", name=name, arch="x86_64", memory_bytes=8 * 10**9, free_bytes=3 * 10**9, cores=2
    )
    return Environment(device=device, host="n", python="3.12", git_commit="1a", git_dirty=True)


class Player:
    """An executor whose workers answer from ``answers``, by the kind of request.

    ``devices`` names the devices of the workers that are opened, one after the other; ``ended``
    counts the workers that were closed or killed.
    """

    def __init__(self, *devices):
        self.devices = list(devices)
        self.specs = []
        self.ended = 0
        self.answers = {
            ProbeBackend: BackendProbed(capabilities=Capabilities()),
            MeasureCeilings: CeilingsMeasured(ceilings=CEILINGS),
            RunCase: CaseDone(done={"status": "ok", "reason": None, "call_s": 0.1}, alive=True),
            ListImported: ImportedFiles(files=[]),
        }

    def connect(self, spec):
        name = self.devices.pop(0) if self.devices else "Xeon"
        self.specs.append(spec)
        answers = {OpenDevice: DeviceOpened(environment=environment(name)), **self.answers}
        waiting = []

        def end():
            self.ended += 1

        return SimpleNamespace(
            pid=1,
            send=lambda request: waiting.append(answers[type(request)]),
            receive=lambda _timeout_s: waiting.pop(0),
            tail=lambda: "",
            kill=end,
            close=end,
        )


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A repository with a suite and a file backend."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "s.yaml").write_text(SUITE)
    if shutil.which("git"):
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"]):
            subprocess.run(["git", "-c", "user.email=a@b", "-c", "user.name=n", *words], check=True)
    return tmp_path


@pytest.fixture
def opening(place):
    """Open two sides on the workers of a player; keep them open until the test ends."""
    with ExitStack() as stack:

        def run(player, base="sdpa", new="mine", listener=lambda _event: None, interrupt=None):
            request = AbRequest(
                asked=Asked(place / "s.yaml"), base=base, new=new, device="cpu", out=place / "x"
            )
            progress = Progress(listener)
            return open_sides(request, progress, interrupt or Interrupt(), stack, player)

        yield run


def test_a_worker_lists_what_it_imported_below_a_folder(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "beside.py").write_text("answer = 42\n")
    (theirs / "mine.py").write_text(BACKEND)
    worker = WorkerProcess(WorkerSpec("cpu", search=(str(theirs),)))

    def ask(request):
        worker.send(request)
        return worker.receive(60)

    try:
        before = ask(ListImported(folders=[str(theirs)]))
        ask(ProbeBackend(name="mine", source=str(theirs / "mine.py")))
        after = ask(ListImported(folders=[str(theirs)]))
        elsewhere = ask(ListImported(folders=[str(tmp_path / "the")]))
    finally:
        worker.kill()

    assert before.files == elsewhere.files == []
    assert after.files == [str(theirs / "beside.py"), str(theirs / "mine.py")]


def test_a_commits_side_that_imports_from_the_working_tree_is_refused():
    def refuse(found, tops=("/theirs",), *, is_open=True):
        side = SimpleNamespace(role="base", words="git:main", tops=tops)
        worker = SimpleNamespace(is_open=is_open, imported_below=lambda _tops: found)
        refuse_foreign_imports(side, SimpleNamespace(worker=worker))

    refuse([])
    refuse(["/theirs/pkg/a.py"], tops=())
    refuse(["/theirs/pkg/a.py"], is_open=False)  # it died; no other is opened to ask it

    with pytest.raises(
        EnvironmentProblem, match=r"--base git:main: .*imports /theirs/pkg/a\.py, which is not that"
    ):
        refuse(["/theirs/pkg/a.py"])


@needs_git
def test_foreign_imports_are_refused_before_any_file_is_begun(opening, place):
    player = Player()
    player.answers[ListImported] = ImportedFiles(files=[str(place / "mine.py")])

    with pytest.raises(EnvironmentProblem, match="which is not that commit's file"):
        opening(player, "git:main", None)

    assert not list(place.glob("x.*"))


def test_a_commits_rows_carry_the_commit_and_others_their_own():
    def session(commit):
        preflight = Preflight(environment=environment(), ceilings=CEILINGS, backends={})
        job = Job(suite=None, settings=None, commit=commit)
        return Session(job, preflight, None, Interrupt(), Progress(lambda _event: None))

    assert session("9b1d").environment.git_commit == "9b1d"
    assert session("9b1d").environment.git_dirty is False
    assert session(None).environment == environment()


@needs_git
def test_each_side_has_a_session_with_its_commit_and_a_file_with_its_plan(opening):
    events = []
    player = Player()

    opened = opening(player, "git:main", None, events.append)

    base, new = opened.sessions["base"], opened.sessions["new"]
    assert base.environment.git_commit == opened.sides["base"].commit
    assert new.environment.git_commit == "1a"
    assert (base.job.side, new.job.side) == ("base", "new")
    assert [pair.runs for pair in opened.case_pairs] == [True, True]
    assert not base.worker.is_open  # each process is a fresh one
    assert player.ended == 2
    runs = [session.writer.run for session in (base, new)]
    assert [run["run_name"] for run in runs] == ["x.base", "x.new"]
    assert runs[0]["run_id"] == runs[1]["run_id"]
    assert [run["ab"]["side"] for run in runs] == ["base", "new"]
    assert runs[0]["environment"]["git_commit"] == opened.sides["base"].commit
    (started,) = [event for event in events if isinstance(event, AbStarted)]
    assert started.commits == (opened.sides["base"].commit, None)
    assert [event.text for event in events if isinstance(event, Remark)][-2:] == [
        "base: opening git:main",
        "new: opening the suite as it is",
    ]


def test_a_case_that_is_lost_in_calibration_has_its_row_before_the_first_round(opening, place):
    player = Player()
    crashed = {"status": "crashed", "reason": "it did", "call_s": None}
    player.answers[RunCase] = CaseDone(done=crashed, alive=True)

    opened = opening(player)

    for role, session in opened.sessions.items():
        rows = list(read_rows(place / f"x.{role}.journal"))
        # Both cases, for each was the smallest of its kind of problem.
        found = [(row["status"], row["reason"], row["process"]) for row in rows]
        assert found == [("crashed", "it did", 0)] * 2
        assert all(map(session.recorder.has_ended, session.plan.planned))


def test_what_keeps_a_side_from_opening_is_reported_with_the_side(opening):
    player = Player()
    player.answers[OpenDevice] = Failed(error=DEVICE_MISSING, message="no device 'cuda'")

    with pytest.raises(DeviceMissing, match="--base sdpa: no device 'cuda'"):
        opening(player)

    assert player.ended == 1


def test_torch_is_missing_in_the_python_that_is_named(opening):
    player = Player()
    player.answers[OpenDevice] = Failed(error=TORCH_MISSING, message="No module named 'torch'")

    with pytest.raises(TorchMissing, match=f"--base python:{sys.executable}: measuring") as raised:
        opening(player, f"python:{sys.executable}", None)

    assert raised.value.hint == f"install it: {sys.executable} -m pip install torch"
    assert player.specs[0].python == sys.executable


def test_sides_on_different_devices_are_not_compared(opening, place):
    opening(Player("Xeon", "Xeon"))
    for path in place.glob("x.*"):
        path.unlink()

    with pytest.raises(NotComparable, match="different devices: Xeon and NVIDIA H200"):
        opening(Player("Xeon", "NVIDIA H200"))
    assert not list(place.glob("x.*"))


def test_ctrl_c_opens_no_worker(opening):
    player = Player()
    interrupt = Interrupt()
    interrupt._on_signal(2, None)

    with pytest.raises(Stopped):
        opening(player, interrupt=interrupt)

    assert player.specs == []


def test_what_a_worker_imports_from_first_comes_before_what_was_given(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "given")

    found = worker_environment(interpret=False, search=["one", "two"])["PYTHONPATH"]

    assert found.split(os.pathsep) == ["one", "two", "given"]
