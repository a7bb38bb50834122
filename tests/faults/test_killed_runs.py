"""A run that is killed, interrupted, or short of disk: nothing measured is lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import attnbench
from attnbench.store.journal import journal_path, read_rows

pytestmark = pytest.mark.torch

SLOWISH = """
def prepare(inputs: Inputs):
    import time
    def call():
        time.sleep(0.01)
        return honest(inputs)
    return call
"""
LENGTHS = "[16, 24, 32, 40, 48, 56, 64, 72]"
MEASURE = "{processes: 2, warmup_s: 0.01, sample_s: 0.1, max_noise: 0.000001}"


def start(bed, *words):
    command = [sys.executable, "-m", "attnbench", "run", str(bed.folder / "bed.yaml")]
    return subprocess.Popen(
        [*command, "--device", "cpu", "--out", str(bed.out), *words],
        cwd=bed.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for_rows(bed, count, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        journal = journal_path(bed.out)
        if journal.exists() and sum(1 for _ in read_rows(journal)) >= count:
            return
        time.sleep(0.05)
    pytest.fail(f"no {count} rows came: {process.communicate()[0]}")


def workers_of(bed):
    """Processes whose command is our worker and whose working directory is the bed's."""
    found = []
    for one in Path("/proc").iterdir():
        if not one.name.isdigit():
            continue
        try:
            command = (one / "cmdline").read_bytes()
            folder = str((one / "cwd").readlink())
        except OSError:
            continue
        if b"attnbench.worker.server" in command and folder == str(bed.folder):
            found.append(int(one.name))
    return found


@pytest.fixture
def slow_bed(bed):
    bed.backend("slowish", SLOWISH)
    bed.suite("./slowish.py", lengths=LENGTHS, measure=MEASURE)
    return bed


def test_kill_9_loses_nothing_and_resume_finishes(slow_bed):
    bed = slow_bed
    process = start(bed)
    wait_for_rows(bed, 5, process)
    process.kill()
    process.communicate()

    before = list(read_rows(journal_path(bed.out)))
    assert len(before) >= 5
    deadline = time.monotonic() + 10
    while workers_of(bed) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers_of(bed) == []  # no orphan holds the device

    again = start(bed, "--resume")
    out, _ = again.communicate(timeout=240)
    assert again.returncode == 0, out

    frame = attnbench.load(bed.out)
    assert not journal_path(bed.out).exists()
    assert set(frame["status"]) == {"ok"}
    assert len(frame) == 16
    kept = {(row["case_id"], row["process"]): row["samples_us"] for row in before}
    for (case_id, process), samples in kept.items():
        (stored,) = frame[(frame["case_id"] == case_id) & (frame["process"] == process)][
            "samples_us"
        ]
        assert list(stored) == pytest.approx(samples)
    assert any("RESUMED" in notes for notes in frame["notes"])


def test_ctrl_c_once_finishes_the_case_and_says_how_to_go_on(slow_bed):
    bed = slow_bed
    process = start(bed)
    wait_for_rows(bed, 3, process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 130, out
    assert "--resume" in out
    rows = list(read_rows(journal_path(bed.out)))
    assert 3 <= len(rows) < 16
    assert {row["status"] for row in rows} == {"ok"}
    assert len(attnbench.load(journal_path(bed.out))) == len(rows)


def test_ctrl_c_twice_stops_at_once(bed):
    bed.backend(
        "endless",
        """
        def prepare(inputs: Inputs):
            import time
            calls = []
            def call():
                calls.append(1)
                if len(calls) > 30:
                    time.sleep(3600)
                return honest(inputs)
            return call
        """,
    )
    bed.backend("slowish", SLOWISH)
    measure = "{processes: 1, warmup_s: 0.5, sample_s: 1, deadline_s: 3000}"
    bed.suite("./slowish.py", "./endless.py", lengths="[16]", measure=measure)
    process = start(bed, "--backend", "./slowish.py", "--backend", "./endless.py")
    wait_for_rows(bed, 0, process)
    time.sleep(6)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)

    assert process.returncode == 130, out
    assert workers_of(bed) == []


def test_two_runs_of_one_name_are_refused(slow_bed):
    bed = slow_bed
    first = start(bed)
    wait_for_rows(bed, 1, first)
    second = start(bed)
    out, _ = second.communicate(timeout=120)
    first.kill()
    first.communicate()

    assert second.returncode == 2
    assert "bed.yaml" in out or str(bed.out) in out or "run.journal" in out


def test_resume_refuses_another_suite(slow_bed):
    bed = slow_bed
    process = start(bed)
    wait_for_rows(bed, 1, process)
    process.kill()
    process.communicate()
    bed.suite("./slowish.py", lengths="[16, 24]", measure=MEASURE)

    again = start(bed, "--resume")
    out, _ = again.communicate(timeout=120)

    assert again.returncode == 2
    assert "suite_sha256" in out


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/results"])
def test_a_folder_that_cannot_be_written_is_said_before_measuring(slow_bed, folder):
    bed = slow_bed
    bed.out = Path(folder) / "run.parquet"
    process = start(bed)
    out, _ = process.communicate(timeout=120)

    assert process.returncode == 4
    assert out.count("Traceback") == 0
    assert "error: " in out


def test_a_full_disk_ends_the_run_and_keeps_what_was_measured(slow_bed):
    bed = slow_bed
    limited = (
        "import resource, sys; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)); "
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from attnbench.cli.app import main; "
        f"sys.exit(main(['run', {str(bed.folder / 'bed.yaml')!r}, '--device', 'cpu', "
        f"'--out', {str(bed.out)!r}]))"
    )
    process = subprocess.run(
        [sys.executable, "-c", limited],
        cwd=bed.folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert process.returncode == 4, process.stdout + process.stderr
    assert "Traceback" not in process.stderr
    assert 1 <= sum(1 for _ in read_rows(journal_path(bed.out))) < 16
