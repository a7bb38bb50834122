from __future__ import annotations

import json

import pytest

from attnbench.render import case_detail


@pytest.fixture
def in_folder(run_file, monkeypatch):
    """Stand in the folder whose results/ has the run."""
    monkeypatch.chdir(run_file.parents[1])
    return run_file


@pytest.mark.usefixtures("in_folder")
def test_the_newest_run_as_a_table(attnbench, golden):
    result = attnbench("show")

    assert result.code == 0
    golden("show_run", result.out)


@pytest.mark.usefixtures("in_folder")
def test_on_a_narrow_screen_each_case_is_a_line(attnbench, golden, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")

    golden("show_run_60", attnbench("show", "tiny").out)


@pytest.mark.usefixtures("in_folder")
def test_what_each_case_took_beside_its_latency(attnbench, golden):
    golden("show_timing", attnbench("show", "tiny", "--timing", "kv_len=1k").out)


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize("words", [("tiny", "kv_len=4k", "sdpa"), ("-k", "kv_len=4k sdpa")])
def test_one_case_in_full(attnbench, golden, words):
    golden("show_case", attnbench("show", *words).out)


@pytest.mark.usefixtures("in_folder")
def test_a_case_that_is_not_ok_says_why(attnbench, golden):
    golden("show_case_skipped", attnbench("show", "tiny", "kv_len=16k naive").out)


@pytest.mark.parametrize("name", ["results/tiny.parquet", "results/tiny", "tiny", "tiny.parquet"])
def test_a_run_has_several_names(attnbench, in_folder, name):
    assert in_folder.is_file()
    assert attnbench("show", name).out == attnbench("show").out


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("nope",), 2, "does not exist"),
        (("tiny", "zzz"), 5, "no row matches 'zzz'"),
        (("tiny", "kv_lne=3"), 2, "did you mean 'kv_len'?"),
    ],
)
def test_what_cannot_be_shown(attnbench, words, code, text):
    result = attnbench("show", *words)

    assert result.code == code
    assert text in result.err
    assert result.out == ""


def test_where_nothing_was_measured_the_next_step_is_reported(attnbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = attnbench("show")

    assert result.code == 2
    assert "attnbench run measures the quick suite" in result.err


def test_a_program_gets_numbers(attnbench, run_file):
    facts = json.loads(attnbench("show", run_file, "--json").out)

    by_label = {one["case_label"]: one for one in facts}
    one = by_label["decode q1s4k 8/8x64 fp32 · sdpa"]
    assert one["latency_us"] == pytest.approx(245.3, rel=2e-3)
    assert one["low_us"] < one["latency_us"] < one["high_us"]
    assert one["processes"] == 3
    assert by_label["decode q1s16k 8/8x64 fp32 · sdpa"]["low_us"] is None
    assert by_label["decode q1s4k 8/8x64 fp32 · naive"]["latency_us"] is None


@pytest.mark.usefixtures("in_folder")
def test_an_ascii_terminal_can_read_it(attnbench, monkeypatch):
    monkeypatch.setattr("attnbench.render.screen._has_unicode", lambda _: False)

    assert attnbench("show", "tiny", "kv_len=4k", "sdpa").out.isascii()


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((1, 1), ""),
        ((None,), ""),
        ((7, 7), ", 7 calls per sample"),
        ((9, 1, 12), ", 1 to 12 calls per sample"),
    ],
)
def test_a_case_says_of_how_many_calls_a_sample_is_the_mean(counts, text):
    rows = [{"samples_us": [1.0], "calls_per_sample": one} for one in counts]

    assert case_detail._calls([*rows, {"samples_us": None, "calls_per_sample": None}]) == text


def test_a_case_says_what_of_the_cache_it_touches_and_what_the_host_does():
    row = {
        "llc_bytes": 60_000_000,
        "input_bytes": 134_000_000,
        "output_bytes": 1_000_000,
        "flush_bytes": 402_000_000,
        "launch_overhead_us": 12.5,
    }
    assert list(case_detail._cache_and_launch(row)) == [
        (
            "cache",
            "135 MB touched, 2.25 x the last-level cache; 402 MB read before a call finds it again",
        ),
        ("launch", "12.5 µs of host time per call"),
    ]
    unknown = dict.fromkeys(row) | {"input_bytes": 1}
    assert list(case_detail._cache_and_launch(unknown)) == []
