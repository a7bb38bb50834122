"""A locked-down container: no /proc, no /sys, one core, no home, no NVML. The run completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import attnbench
from attnbench.device import local
from attnbench.store import ceilings
from attnbench.worker.client import _log_file

# Read by every python of the test, the worker included, before anything else.
CONTAINER = """
import builtins, io, os, sys

def is_hidden(path):
    try:
        return os.fspath(path).startswith(("/proc", "/sys"))
    except TypeError:
        return False

def hiding(opens):
    def opened(path, *rest, **named):
        if is_hidden(path):
            raise FileNotFoundError(2, "hidden", path)
        return opens(path, *rest, **named)
    return opened

builtins.open = io.open = hiding(io.open)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
sys.modules["pynvml"] = None
"""
SUITE = """
suite: small
problem: {q_len: 16, kv_len: 48, q_heads: 2, head_dim: 16, dtype: fp32}
backends:
  naive:
  sdpa:
measure: {processes: 1, warmup_s: 0.01, sample_s: 0.02}
"""


@pytest.mark.torch
@pytest.mark.skipif(sys.platform != "linux", reason="of containers")
def test_a_run_in_a_locked_down_container_completes(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(CONTAINER, encoding="utf-8")
    suite = tmp_path / "small.yaml"
    suite.write_text(SUITE, encoding="utf-8")
    out = tmp_path / "run.parquet"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XDG_CACHE_HOME", "OMP_NUM_THREADS")
    }
    environment |= {
        "HOME": "/dev/null/home",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-m", "attnbench", "run", str(suite), "--out", str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    frame = attnbench.load(out)
    assert list(frame["status"]) == ["ok", "ok"]
    assert set(frame["threads"]) == {1}
    assert frame["llc_bytes"].isna().all()  # nobody told
    assert frame["device_memory_bytes"].iloc[0] > 0
    assert frame["peak_bandwidth_gbps"].notna().all()


@pytest.fixture
def hidden(monkeypatch):
    """No file of /proc or /sys can be read."""
    read_text = Path.read_text

    def refuse(path, *rest, **named):
        if str(path).startswith(("/proc", "/sys")):
            raise PermissionError(13, "refused", str(path))
        return read_text(path, *rest, **named)

    monkeypatch.setattr(Path, "read_text", refuse)


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="of POSIX")
@pytest.mark.usefixtures("hidden")
def test_without_proc_the_memory_is_what_the_system_call_says():
    device = local.describe_cpu()

    assert device.memory_bytes == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < device.free_bytes <= device.memory_bytes // 2
    assert device.llc_bytes is None


@pytest.mark.parametrize(
    ("limit", "used", "left"),
    [("4096000", "96000", 4_000_000), ("max", "5", None), ("10", "50", 0)],
)
def test_a_container_s_own_limit_is_what_is_left_of_memory(
    tmp_path, monkeypatch, limit, used, left
):
    (tmp_path / "memory.max").write_text(f"{limit}\n", encoding="ascii")
    (tmp_path / "memory.current").write_text(f"{used}\n", encoding="ascii")
    monkeypatch.setattr(local, "_GROUP", tmp_path)

    assert local._left_in_group() == left
    if left is not None:
        assert local.available_bytes() == left


def test_a_user_without_a_home_keeps_no_ceilings_and_says_nothing(monkeypatch):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nobody)
    facts = local.environment_of(local.describe_cpu(), threads=1, cuda=None)
    ceilings.store_ceilings(facts, {"read_gbps": 1.0})

    assert ceilings.stored_ceilings(facts) is None


@pytest.mark.skipif(sys.platform != "linux", reason="memfd is Linux's")
def test_a_worker_can_print_where_no_folder_can_be_written(monkeypatch):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", nowhere)
    with _log_file() as log:
        log.write(json.dumps({"said": "so"}).encode())
        log.seek(0)
        assert json.loads(log.read()) == {"said": "so"}
