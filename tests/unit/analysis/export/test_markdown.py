"""The table for issues: one line a case, and no number that is not true."""

from __future__ import annotations

from attnbench.analysis.export.tables import to_markdown
from attnbench.store import load

RATES = {"bandwidth_gbps": 4310.0, "tflops": 29.44}
HEAD = "| case | latency | bandwidth | compute | status |\n| --- | ---: | ---: | ---: | --- |\n"


def table(path, rows, write):
    return to_markdown(load(write(path / "x.parquet", rows)))


def test_one_process_shows_its_own_interval(tmp_path, store_row, finished_run):
    row = store_row(0, latency_low_us=18.1, latency_high_us=18.5, **RATES)

    assert table(tmp_path, [row], finished_run) == HEAD + (
        "| decode #0 · naive | 18.2 µs [18.1 µs, 18.5 µs] | 4.31 TB/s | 29.4 TFLOP/s | ok |\n"
    )


def test_processes_are_one_line_with_their_range(tmp_path, store_row, finished_run):
    rows = [
        store_row(0, process, latency_us=latency, notes=notes, **RATES)
        for process, latency, notes in ((0, 10.0, []), (1, 40.0, ["NOISY"]), (2, 20.0, ["NOISY"]))
    ]

    line = table(tmp_path, rows, finished_run).splitlines()[2]

    assert "| 20.0 µs [10.0 µs, 40.0 µs of 3 processes] |" in line
    assert line.endswith("| ok NOISY |")


def test_equal_processes_have_a_mean_inside_their_range(tmp_path, store_row, finished_run):
    rows = [store_row(0, process, latency_us=18.25) for process in (0, 1)]

    assert "| 18.2 µs [18.2 µs, 18.2 µs of 2 processes] |" in table(tmp_path, rows, finished_run)


def test_a_case_with_one_bad_process_has_no_number(tmp_path, store_row, finished_run):
    reason = "signal 11 | SIGSEGV\nmore words"
    rows = [store_row(0, 0, **RATES), store_row(0, 1, status="crashed", reason=reason)]

    assert table(tmp_path, rows, finished_run) == HEAD + (
        "| decode #0 · naive |  |  |  | crashed: signal 11 \\| SIGSEGV |\n"
    )


def test_a_long_reason_is_shortened_and_rates_may_be_unknown(tmp_path, store_row, finished_run):
    rows = [store_row(0), store_row(1, None, status="skipped", reason="x" * 200)]

    lines = table(tmp_path, rows, finished_run).splitlines()

    assert lines[2] == "| decode #0 · naive | 18.2 µs |  |  | ok |"
    assert lines[3].endswith(f"| skipped: {'x' * 79}… |")


def test_several_runs_are_named(tmp_path, store_row, finished_run):
    finished_run(tmp_path / "a.parquet", [store_row(0)])
    finished_run(tmp_path / "b.parquet", [store_row(0, run_id="r2", run_name="decode-h200")])

    lines = to_markdown(load(tmp_path)).splitlines()

    assert lines[0].startswith("| run | case |")
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| decode-cpu", "| decode-h200"]
