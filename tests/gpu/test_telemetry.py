"""Telemetry is that of the device which was measured, however it was made visible."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.gpu, pytest.mark.torch]

FIELDS = "uuid,clocks.max.sm,clocks.max.mem,power.limit,temperature.gpu,driver_version"
LONG = "{q_len: 8k, q_heads: 32, head_dim: 128, dtype: bf16}"
ONE_RUN = """
import sys, attnbench
attnbench.run("quick", backends=["sdpa"], filter="decode", processes=1, out=sys.argv[1])
"""


@pytest.fixture
def board():
    """What nvidia-smi says of the first device."""
    command = ["nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits", "-i", "0"]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"nvidia-smi does not answer: {error}")
    values = (one.strip() for one in answer.stdout.splitlines()[0].split(","))
    return dict(zip(FIELDS.split(","), values, strict=True))


def only_ok(frame):
    assert set(frame["status"]) == {"ok"}, frame["reason"].tolist()
    return frame


def test_rows_name_the_chip_and_driver_that_nvidia_smi_names(place, board):
    frame = only_ok(place.measured("sdpa:"))

    assert set(frame["device_uuid"]) == {board["uuid"]}
    assert set(frame["driver"]) == {board["driver_version"]}


def test_clocks_and_power_are_within_what_the_board_can(place, board):
    row = only_ok(place.measured("sdpa:", problem=LONG)).iloc[0]
    if "NO_TELEMETRY" in row["notes"]:
        pytest.skip("NVML tells neither clock nor what lowers it here")

    assert 0 < row["sm_clock_mhz"] <= float(board["clocks.max.sm"])
    assert 0 < row["mem_clock_mhz"] <= float(board["clocks.max.mem"])
    assert 0 < row["power_w"] <= 1.1 * float(board["power.limit"])
    assert row["temperature_c"] == pytest.approx(float(board["temperature.gpu"]), abs=25)


def test_a_device_made_visible_by_uuid_is_found_by_it(tmp_path, monkeypatch, board):
    import attnbench

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", board["uuid"])
    out = tmp_path / "by-uuid.parquet"
    command = [sys.executable, "-c", ONE_RUN, str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    assert set(only_ok(attnbench.load(out))["device_uuid"]) == {board["uuid"]}
