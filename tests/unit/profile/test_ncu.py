"""ncu: its command, its CSV (hand-made files after the documented format), its refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.errors import InputError
from attnbench.profile import ncu
from attnbench.profile.ncu import Ncu, kernels_of

FILES = Path(__file__).parents[2] / "fixtures" / "profilers"


def read(name):
    return Ncu().read(FILES / name, {})


def test_the_launches_of_a_kernel_are_summed_and_the_slowest_comes_first():
    split, combine = read("ncu_raw.csv")

    assert (split.name, split.calls) == ("split_kernel(__half *, int)", 2)
    assert split.total_s == pytest.approx(4e-6)
    assert split.counters["dram_read_bytes"] == 2_100_000
    assert split.counters["dram_written_bytes"] == 40_000
    assert (combine.calls, combine.total_s) == (1, pytest.approx(1e-6))


def test_shares_of_the_limits_are_means_weighted_by_time():
    split, combine = read("ncu_raw.csv")

    assert split.counters["memory_pct"] == pytest.approx((80.5 * 3 + 60.5 * 1) / 4)
    assert split.counters["sm_pct"] == pytest.approx((12.5 * 3 + 8.5 * 1) / 4)
    assert combine.counters["l2_pct"] == pytest.approx(15)


def test_scaled_units_and_thousands_separators_are_read_as_what_they_say():
    (flash,) = read("ncu_scaled.csv")

    assert flash.total_s == pytest.approx(1.25e-3)
    assert flash.counters["dram_read_bytes"] == pytest.approx(1_234_500_000)
    assert flash.counters["dram_written_bytes"] == pytest.approx(512_000)


def changed(before, after):
    text = (FILES / "ncu_raw.csv").read_text(encoding="utf-8")
    assert before in text
    return iter(text.replace(before, after).splitlines(keepends=True))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"Kernel Name"', '"Name"', "no table"),
        ('"ns"', '"cycle"', "no time"),
        ('"byte","byte"', '"sector","byte"', "not in bytes"),
        ("dram__bytes_read.sum", "dram__sectors_read.sum", "no figure for dram__bytes_read.sum"),
        ('"1000000"', '"n/a"', "no figure for dram__bytes_read.sum"),
    ],
)
def test_what_is_missing_or_in_another_unit_is_said_and_never_guessed(before, after, words):
    with pytest.raises(InputError, match=words):
        kernels_of(changed(before, after), "x.csv")


def test_a_table_without_a_launch_is_no_result():
    lines = (FILES / "ncu_raw.csv").read_text(encoding="utf-8").splitlines(keepends=True)[:7]
    with pytest.raises(InputError, match="no kernel"):
        kernels_of(iter(lines), "x.csv")


def test_the_command_asks_for_the_marked_stretch_with_an_empty_cache(tmp_path):
    words = Ncu().command(["python", "x.py"], tmp_path / "a.csv", cold=True)

    assert words[-2:] == ["python", "x.py"]
    assert words[words.index("--cache-control") + 1] == "all"
    assert words[words.index("--profile-from-start") + 1] == "off"
    assert words[words.index("--log-file") + 1] == str(tmp_path / "a.csv")
    warm = Ncu().command(["python"], tmp_path / "a.csv", cold=False)
    assert warm[warm.index("--cache-control") + 1] == "none"


PERMISSION = (
    "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU "
    "Performance Counters on the target device 0.\n"
)


@pytest.mark.parametrize(
    ("said", "message", "advice"),
    [
        (PERMISSION, "ERR_NVGPUCTRPERM", "NVreg_RestrictProfilingToAdminUsers=0"),
        ("==WARNING== No kernels were profiled.\n", "saw no kernel", "--tool torch"),
        ("==ERROR== Profiling is not supported\n", "ncu failed: Profiling is not", None),
    ],
)
def test_a_refusal_is_translated_into_what_to_do(tmp_path, said, message, advice):
    log = tmp_path / "a.csv"
    log.write_text(said, encoding="utf-8")
    found, hint = Ncu().refusal(log, "")

    assert message in found
    assert (hint is None) if advice is None else (advice in hint)


def test_a_file_that_is_there_and_complains_of_nothing_is_no_failure():
    assert Ncu().refusal(FILES / "ncu_raw.csv", "") is None


def test_a_missing_program_comes_with_how_to_install_it(monkeypatch):
    monkeypatch.setattr(ncu, "program", lambda: None)
    message, hint = Ncu().lacks()

    assert "not installed" in message
    assert "nsight-compute" in hint
