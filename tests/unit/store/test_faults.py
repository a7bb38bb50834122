"""Crashes and full disks, really provoked: what was promised is still there afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest

from attnbench.store import load, repair_run
from attnbench.store.journal import read_rows

WRITES_UNTIL_KILLED = """
import itertools, json, sys
from pathlib import Path
from attnbench.store import RunWriter
row = json.loads(sys.argv[2])
with RunWriter.create(Path(sys.argv[1]), {"run_id": "r1"}) as run:
    for case in itertools.count():
        run.append(row | {"case_id": f"{case:012x}"})
        print(case, flush=True)
"""
# The limit stands in for a disk: a write past it fails half way, as on a full one.
WRITES_UNTIL_FULL = """
import itertools, json, resource, sys
from pathlib import Path
from attnbench.errors import OutputError
from attnbench.store import RunWriter
row = json.loads(sys.argv[2])
run = RunWriter.create(Path(sys.argv[1]), {"run_id": "r1"})
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    for case in itertools.count():
        run.append(row | {"case_id": f"{case:012x}"})
except OutputError as error:
    print(case)
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
run.append(row | {"case_id": "after"})
run.close()
"""
FILLS_A_DISK = """
import json, shutil, subprocess, sys
from pathlib import Path
from attnbench.errors import OutputError
from attnbench.store import RunWriter
disk, kept, row = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
print("mounted")
run = RunWriter.create(disk / "x.parquet", {"run_id": "r1"})
run.append(row)
filler = (disk / "filler").open("wb", buffering=0)
try:
    while True:
        filler.write(bytes(4096))
except OSError:
    filler.close()
try:
    for case in range(1, 1000):
        run.append(row | {"case_id": f"{case:012x}"})
except OutputError as error:
    print(case, error.message)
try:
    run.finish()
except OutputError as error:
    print(error)
print(*sorted(path.name for path in disk.iterdir()))
shutil.copy(disk / "x.journal", kept)
(disk / "filler").unlink()
print(run.finish())
print(*sorted(path.name for path in disk.iterdir()))
"""


def test_a_killed_run_loses_at_most_the_row_in_flight(tmp_path, store_row, fresh_python):
    out = tmp_path / "x.parquet"
    process = fresh_python(WRITES_UNTIL_KILLED, out, json.dumps(store_row()))
    while int(process.stdout.readline()) < 200:
        pass
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    promised = int(rest.split()[-1]) if rest else 200

    repaired = repair_run(out)

    assert process.returncode == -signal.SIGKILL
    assert repaired.rows in (promised + 1, promised + 2)
    cases = [int(case, 16) for case in load(out)["case_id"]]
    assert cases == list(range(repaired.rows))
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_size_limit_keeps_every_row_before_it(tmp_path, store_row, fresh_python):
    out = tmp_path / "x.parquet"
    process = fresh_python(WRITES_UNTIL_FULL, out, json.dumps(store_row()))
    printed, err = process.communicate()
    count, message, hint = printed.splitlines()

    assert err == ""
    assert message.endswith("the file is larger than this process may write (ulimit -f)")
    assert hint.startswith(f"  its {count} rows so far are safe: free some space")
    cases = [row["case_id"] for row in read_rows(tmp_path / "x.journal")]
    assert cases == [*(f"{case:012x}" for case in range(int(count))), "after"]


def test_a_full_disk_keeps_every_row_before_it(tmp_path, store_row, fresh_python):
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, to mount a small disk of its own")
    (disk := tmp_path / "disk").mkdir()
    process = fresh_python(
        *(FILLS_A_DISK, disk, tmp_path / "kept.journal", json.dumps(store_row())),
        prefix=("unshare", "--map-root-user", "--mount"),
    )
    printed, err = process.communicate()
    if not printed.startswith("mounted"):
        pytest.skip(f"this system lets no test mount a disk: {err.splitlines()[-1]}")
    _, appending, finishing, hint, full, rows, after = printed.splitlines()
    count, _, message = appending.partition(" ")

    assert err == ""
    assert message == f"cannot write {disk}/x.journal: no space is left on the disk"
    assert finishing == f"cannot write {disk}/x.parquet: no space is left on the disk"
    assert hint == (
        "  every row is safe in the journal; free some space, then: "
        f"attnbench repair {disk}/x.journal"
    )
    assert full == "filler x.journal x.journal.lock"
    assert len(list(read_rows(tmp_path / "kept.journal"))) == int(count) == int(rows)
    assert after == "x.parquet"
