"""One side at work: what its worker may import, and which device it has."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from attnbench.execute.ab.station import SideSession, _told_of
from attnbench.execute.crew import _environment_of
from attnbench.execute.local import LocalWorker, worker_environment

from attnbench.environment import Device, Environment
from attnbench.errors import DeviceMissing, EnvironmentProblem, NotComparable, TorchMissing
from attnbench.execute.ab.opening import _require_one_device

BACKEND = """
from beside import answer
from attnbench.plugin import Capabilities
capabilities = Capabilities()
def prepare(inputs):
    return answer
"""


def station(found, **side):
    named = {"role": "base", "words": "git:main", "tops": ("/theirs",), "commit": None, **side}
    crew = SimpleNamespace(is_open=True, imported_below=lambda _tops: found)
    ground = SimpleNamespace(environment=environment("Xeon"))
    return SideSession(SimpleNamespace(**named), crew, ground, None, None, [], 0.0)


def environment(name):
    device = Device(kind="cpu", name=name, arch="x86_64", memory_bytes=1, free_bytes=1)
    return Environment(device=device, host="n", python="3.12", git_commit="1a", git_dirty=True)


def test_a_worker_tells_what_it_imported_below_a_folder(tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "beside.py").write_text("answer = 42\n")
    (theirs / "mine.py").write_text(BACKEND)
    worker = LocalWorker("cpu", search=[str(theirs)])
    try:
        probe = {"op": "probe", "backends": [{"name": "mine", "source": str(theirs / "mine.py")}]}
        before = worker.ask({"op": "imported", "below": [str(theirs)]}, 60)
        worker.ask(probe, 60)
        after = worker.ask({"op": "imported", "below": [str(theirs)]}, 60)
        elsewhere = worker.ask({"op": "imported", "below": [str(tmp_path / "the")]}, 60)
    finally:
        worker.kill()

    assert before["files"] == elsewhere["files"] == []
    assert after["files"] == [str(theirs / "beside.py"), str(theirs / "mine.py")]


def test_a_commits_side_that_imports_from_the_working_tree_is_refused():
    station([]).refuse_strays()
    station(["/theirs/pkg/a.py"], tops=()).refuse_strays()

    with pytest.raises(EnvironmentProblem, match=r"imports /theirs/pkg/a\.py, which is not that"):
        station(["/theirs/pkg/a.py"]).refuse_strays()


def test_a_commits_rows_carry_the_commit_and_others_their_own():
    assert station([], commit="9b1d").environment.git_commit == "9b1d"
    assert station([], commit="9b1d").environment.git_dirty is False
    assert station([]).environment.git_commit == "1a"


def test_what_keeps_a_side_from_opening_is_told_with_the_side():
    side = SimpleNamespace(role="new", words="python:/x")

    with pytest.raises(DeviceMissing, match="--new python:/x: no device 'cuda'"), _told_of(side):
        raise DeviceMissing("no device 'cuda'")


def test_torch_is_missing_in_the_python_that_is_named():
    answer = {"error": "TorchMissing", "message": "No module named 'torch'"}

    with pytest.raises(TorchMissing) as raised:
        _environment_of(answer, "/venv/bin/python")

    assert raised.value.hint == "install it: /venv/bin/python -m pip install torch"


def test_sides_on_different_devices_are_not_compared():
    def sides(*names):
        grounds = [SimpleNamespace(environment=environment(name)) for name in names]
        return {
            role: SimpleNamespace(ground=ground)
            for role, ground in zip(("base", "new"), grounds, strict=True)
        }

    _require_one_device(sides("Xeon", "Xeon"))
    with pytest.raises(NotComparable, match="different devices: Xeon and NVIDIA H200"):
        _require_one_device(sides("Xeon", "NVIDIA H200"))


def test_what_a_worker_imports_from_first_comes_before_what_was_given(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "given")

    found = worker_environment(interpret=False, search=["one", "two"])["PYTHONPATH"]

    assert found.split(os.pathsep) == ["one", "two", "given"]
