"""A slice leaves one tar that says what ran, however it ends. No GPU is needed for this."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slices import pack, paths
from slices.plans import SLICES
from slices.step import Step, allotted_s

HERE = Path(__file__).parent
BOUND_S = 60  # generous: what hangs must not hang the suite

# Runs toy steps as slice.py runs real ones; each line of STEPS is a name, a limit and a program.
DRIVER = """
import json, os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
from slices.runner import Place, Slice
from slices.step import Step

made = [
    Step(name=name, answers="", limit_s=limit, command=("{{python}}", "-c", code), needs=needs)
    for name, limit, code, needs in json.loads({steps!r})
]
place = Place(work=Path({work!r}), tar=Path({tar!r}), environment=dict(os.environ), device="cpu")
limits = dict(limit_s={limit}, refresh_s=0.2, patience_s=1.0)
how = dict(place=place, description=dict(dry_run=True), **limits)
sys.exit(Slice(steps=made, **how).run())
"""
QUICK = ("quick", 30, "print('here')", ())
# Says its number, writes a file, and goes on until it is ended.
ENDLESS = (
    "endless",
    30,
    "import os, time; open(os.environ['MARK'], 'w').write(str(os.getpid())); time.sleep(600)",
    (),
)


class Started:
    """A slice of toy steps in a process of its own."""

    def __init__(self, folder, *steps, limit=60):
        self.work, self.tar, self.mark = folder / "work", folder / "out" / "s.tar.gz", folder / "on"
        self.work.mkdir()
        text = DRIVER.format(
            here=str(HERE),
            work=str(self.work),
            tar=str(self.tar),
            steps=json.dumps(steps).replace("{", "{{").replace("}", "}}"),
            limit=limit,
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", text], env={**os.environ, "MARK": str(self.work / "mark")}
        )

    def ended(self):
        return self.process.wait(BOUND_S)

    def child(self):
        """The process id of the endless step, once the tar holds what it wrote."""
        deadline = time.monotonic() + BOUND_S
        while time.monotonic() < deadline:
            if "mark" in names(self.tar):
                return int(members(self.tar)["mark"])
            time.sleep(0.05)
        pytest.fail("the endless step did not begin")

    def states(self):
        return {one["name"]: one["state"] for one in self.manifest()["steps"]}

    def manifest(self):
        return json.loads(members(self.tar)["manifest.json"])


def members(tar):
    with tarfile.open(tar) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}


def names(tar):
    return set(members(tar)) if tar.exists() else set()


def wait_until_gone(pid):
    deadline = time.monotonic() + BOUND_S
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except OSError:
            return
        if stat.rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {pid} lives on")


def test_a_step_that_fails_hangs_or_lacks_something_stops_no_other(tmp_path):
    started = Started(
        tmp_path,
        QUICK,
        ("bad", 30, "raise SystemExit(7)", ()),
        ("slow", 1, "import time; time.sleep(600)", ()),
        ("lacking", 30, "print()", ("verb:nothing", "path:no/such/file", "module:no_such_module")),
        ("last", 30, "print('there')", ()),
    )

    assert started.ended() == 1
    assert started.states() == {
        "quick": "done",
        "bad": "failed",
        "slow": "timeout",
        "lacking": "absent",
        "last": "done",
    }
    found = members(started.tar)
    assert found["logs/01-quick.log"] == b"here\n"
    by_name = {one["name"]: one for one in started.manifest()["steps"]}
    assert by_name["bad"]["exit_code"] == 7
    assert by_name["slow"]["reason"] == "its limit was 1 s"
    assert by_name["lacking"]["reason"].count(";") == 2
    assert started.manifest()["finished"] is True


def test_what_time_does_not_reach_says_so(tmp_path):
    started = Started(tmp_path, QUICK, QUICK, limit=1)

    assert started.ended() == 0
    assert {one["state"] for one in started.manifest()["steps"]} == {"not_reached"}
    assert {one["reason"] for one in started.manifest()["steps"]} == {"no time was left"}


def test_a_slice_that_is_stopped_leaves_a_whole_tar(tmp_path):
    started = Started(tmp_path, QUICK, ENDLESS, QUICK)
    child = started.child()
    started.process.send_signal(signal.SIGTERM)

    assert started.ended() == 130
    wait_until_gone(child)
    quick, endless, last = started.manifest()["steps"]
    assert (quick["state"], endless["state"], last["state"]) == (
        "done",
        "interrupted",
        "not_reached",
    )
    assert last["reason"] == "the slice was stopped by SIGTERM"
    assert started.manifest()["stopped_by"] == "SIGTERM"


def test_a_slice_that_is_killed_leaves_the_tar_of_a_moment_before(tmp_path):
    started = Started(tmp_path, QUICK, ENDLESS)
    child = started.child()
    started.process.kill()

    assert started.ended() == -signal.SIGKILL
    wait_until_gone(child)
    assert started.states() == {"quick": "done", "endless": "running"}
    assert started.manifest()["finished"] is False
    assert {"logs/01-quick.log", "mark"} <= names(started.tar)


def test_a_child_that_is_killed_is_a_failure_and_the_slice_goes_on(tmp_path):
    suicide = ("killed", 30, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ())
    started = Started(tmp_path, suicide, QUICK)

    assert started.ended() == 1
    assert started.states() == {"killed": "failed", "quick": "done"}
    assert started.manifest()["steps"][0]["exit_code"] == -signal.SIGKILL


def test_a_rehearsal_says_that_it_is_one_and_lies_elsewhere(tmp_path):
    environment = {**os.environ, "OUT": str(tmp_path)}
    words = ["2", "--device", "cpu", "--only", "targets", "--wheels", str(tmp_path / "none")]
    command = [sys.executable, str(HERE / "slice.py"), *words]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=BOUND_S, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("DRY RUN")
    (left,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert left == tmp_path / "dry-run" / "slice-2.dry-run.tar.gz"
    manifest = json.loads(members(left)["manifest.json"])
    assert manifest["dry_run"] is True
    assert manifest["tree"]["version"] == paths.tree_version()
    assert b"not measured" in members(left)["logs/01-targets.log"]


def test_a_gpu_that_torch_does_not_see_is_no_rehearsal(tmp_path):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    (tmp_path / "torch.py").write_text("raise ImportError('no driver that fits')\n")
    hidden = {"PYTHONPATH": str(tmp_path), "OUT": str(tmp_path / "out")}
    environment = {**os.environ, **hidden, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = ["2", "--only", "targets", "--wheels", str(tmp_path / "none")]
    command = [sys.executable, str(HERE / "slice.py"), *words]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=BOUND_S, check=False
    )

    assert done.returncode == 1
    assert "torch sees no CUDA device: ImportError: no driver that fits" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", SLICES)
def test_a_slice_fits_into_its_time_and_is_rehearsed_whole(number):
    steps = SLICES[number](dry=False)

    assert sum(one.limit_s for one in steps) <= 540
    assert len({one.name for one in steps}) == len(steps)
    assert [one.name for one in SLICES[number](dry=True)] == [one.name for one in steps]


def test_every_module_that_needs_a_gpu_is_run_by_some_step():
    steps = [step for plan in SLICES.values() for step in plan(dry=False)]
    run = {Path(word).name for step in steps for word in step.command if word.endswith(".py")}
    run.add("test_profile.py")  # behind dram.py, which looks at the clocks first
    needing = [one.name for one in HERE.glob("test_*.py") if "mark.gpu" in one.read_text("utf-8")]

    assert len(needing) > 10
    assert [one for one in needing if one not in run and one != Path(__file__).name] == []


@pytest.mark.parametrize("dry", [True, False])
def test_files_that_steps_name_are_there(dry):
    steps = [step for plan in SLICES.values() for step in plan(dry=dry)]
    surely = [one for one in steps if not any(need.startswith("path:") for need in one.needs)]
    named = {word for one in surely for word in one.command if word.startswith("tests/gpu")}

    assert named
    assert [word for word in named if not (paths.ROOT / word).exists()] == []


@given(
    st.lists(st.tuples(st.floats(1, 300), st.booleans()), min_size=1, max_size=8),
    st.floats(1, 2000),
)
def test_time_to_spare_is_shared_and_no_step_takes_more_than_there_is(limits, left_s):
    steps = [
        Step(name=str(n), command=(), answers="", limit_s=limit, stretches=stretches)
        for n, (limit, stretches) in enumerate(limits)
    ]
    total_s, used_s = left_s, 0.0
    for position, step in enumerate(steps):
        given_s = allotted_s(steps[position:], total_s - used_s)
        assert given_s <= total_s - used_s + 1e-6
        if sum(one.limit_s for one in steps) <= total_s:
            assert given_s >= step.limit_s - 1e-6
        used_s += given_s
    if any(one.stretches for one in steps) and sum(one.limit_s for one in steps) <= total_s:
        assert used_s == pytest.approx(total_s)


class TestTar:
    def test_the_bulkiest_is_left_out_and_named(self, tmp_path):
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "manifest.json").write_text("{}")
        for name, size in (("small.bin", 100), ("large.bin", 90_000)):
            (tmp_path / "work" / name).write_bytes(os.urandom(size))
        left_out = pack.write_tar(tmp_path / "work", tmp_path / "t.tar.gz", limit_bytes=50_000)

        assert left_out == ["large.bin (90,000 bytes)"]
        found = members(tmp_path / "t.tar.gz")
        assert set(found) == {"manifest.json", "small.bin", pack.LEFT_OUT}
        assert b"large.bin" in found[pack.LEFT_OUT]
        assert [one.name for one in tmp_path.iterdir() if one.suffix == ".tmp"] == []

    def test_of_a_long_log_both_ends_are_kept(self, tmp_path):
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "a.log").write_bytes(b"begin" + b"-" * 10**6 + b"end")
        pack.write_tar(tmp_path / "work", tmp_path / "t.tar.gz", limit_bytes=10**6)

        log = members(tmp_path / "t.tar.gz")["a.log"]
        assert log.startswith(b"begin")
        assert log.endswith(b"end")
        assert len(log) < 410_000


class TestPaths:
    def test_wheels_are_found_by_children_of_children(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "made-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr("made_space/inner/__init__.py", "WORD = 'from a namespace in a wheel'")
            wheel.writestr("made-1.dist-info/METADATA", "Name: made\nVersion: 1\n")
        site = tmp_path / "site"
        assert paths.unpack_wheels(tmp_path.glob("*.whl"), site) == ["made-1-py3-none-any.whl"]
        grandchild = "from made_space.inner import WORD; print(WORD)"
        child = (
            f"import subprocess, sys; subprocess.run([sys.executable, '-P', '-c', {grandchild!r}])"
        )
        done = subprocess.run(
            [sys.executable, "-c", child],
            env=paths.child_environment(site, tmp_path),
            capture_output=True,
            check=True,
            text=True,
        )

        assert done.stdout == "from a namespace in a wheel\n"

    def test_wheels_of_another_python_are_left_alone(self):
        this = f"cp{sys.version_info.major}{sys.version_info.minor}"
        pure, own, packed, foreign = (
            Path(name)
            for name in (
                "pure-1-py3-none-any.whl",
                f"own-1-{this}-{this}-manylinux_2_17_x86_64.whl",
                f"packed-1-{this}-{this}-manylinux_2_17_x86_64.tar.xz",
                "foreign-1-cp27-cp27m-manylinux_2_17_x86_64.whl",
            )
        )

        assert paths.for_this_python([pure, own, packed]) == sorted([pure, own, packed])
        assert paths.for_this_python([pure, own, foreign]) == []

    def test_a_tree_that_is_not_installed_has_its_version(self, tmp_path, monkeypatch):
        def missing(_name):
            raise paths.metadata.PackageNotFoundError

        monkeypatch.setattr(paths.metadata, "version", missing)
        paths.name_the_tree(tmp_path)
        (found,) = paths.metadata.distributions(path=[str(tmp_path)])

        assert (found.metadata["Name"], found.version) == ("attnbench", paths.tree_version())
