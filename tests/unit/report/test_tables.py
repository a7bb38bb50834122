"""The tables of a page: all cases, the failures by reason, and where a run comes from."""

from __future__ import annotations

from attnbench.report.page import make_report_data
from attnbench.report.points import gather
from attnbench.report.tables import case_table, failures, provenance
from attnbench.store import load, read


def report_data(*paths):
    return make_report_data(gather(load(list(paths))), {})


def test_a_line_has_texts_to_read_and_values_to_sort_by(made):
    rows = [
        *made.ok_rows(made.decode(), "sdpa", latency_us=100.0, noise=0.0),
        *made.ok_rows(made.decode(), "naive", latency_us=250.0, noise=0.0),
    ]
    table = case_table(report_data(made.run(rows)))
    names = [column.name for column in table.columns]
    lines = {
        line[names.index("backend")][0]: dict(zip(names, line, strict=True)) for line in table.rows
    }

    assert lines["naive"]["vs_best"] == ("2.50x", 2.5)
    assert lines["sdpa"]["latency_us"] == ("100", 100.0)
    assert lines["sdpa"]["kv_len"] == ("4k", 4096)


def test_a_run_is_a_column_only_where_there_are_several(made):
    one = made.run(made.ok_rows(made.decode(), "sdpa"))
    other = made.run(made.ok_rows(made.decode(), "sdpa", who=made.identity(run_id="r2")))

    assert case_table(report_data(one)).columns[0].name == "problem"
    assert case_table(report_data(one, other)).columns[0].name == "run"


def test_reasons_that_differ_in_figures_alone_are_one_group(made):
    rows = [
        made.other_row(
            made.decode(kv_len=1024 << n), "naive", "skipped", f"about {n + 5} s a process"
        )
        for n in range(4)
    ]
    rows.append(made.other_row(made.decode(), "sdpa", "failed", "boom"))
    groups = failures(gather(load(made.run(rows))))

    assert [(one.status, one.backend, len(one.labels)) for one in groups] == [
        ("failed", "sdpa", 1),
        ("skipped", "naive", 4),
    ]


def test_what_is_needed_to_repeat_a_run_is_said(made):
    path = made.run(made.sweep(lengths=1, batches=(1,), heads=(8,)), method={"sample_s": 0.3})
    (one,) = provenance(gather(load(path)), {"r1": read(path).metadata})
    facts = dict(one.facts)

    assert facts["device"] == "NVIDIA H200, sm_90, 150 GB"
    assert facts["driver"] == "580.65"
    assert facts["torch"] == "2.13.0"
    assert facts["method"] == "sample_s 0.3"
    assert facts["ceilings"] == "memory 4.29 TB/s, bf16 720 TFLOP/s (measured)"
    assert facts["SM clock"].startswith("1970 to 1980 MHz")
    assert one.suite_text.startswith("suite: made")


def test_what_is_not_known_is_left_out(made):
    path = made.run(made.ok_rows(made.decode(), "sdpa"))
    (one,) = provenance(gather(load(path)), {})

    assert one.suite_text is None
    assert "triton" not in dict(one.facts)
    assert all(text for _, text in one.facts)
