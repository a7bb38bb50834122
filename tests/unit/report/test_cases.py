"""The table of all cases, and what did not finish."""

from __future__ import annotations

from attnbench.report.cases import case_table, failures
from attnbench.report.page import make_subject
from attnbench.report.points import gather
from attnbench.store import load


def subject(*paths):
    return make_subject(gather(load(list(paths))), {}, baseline=None, colours={})


def test_a_line_has_texts_to_read_and_values_to_sort_by(made):
    rows = [
        *made.ok_rows(made.decode(), "sdpa", latency_us=100.0, noise=0.0),
        *made.ok_rows(made.decode(), "naive", latency_us=250.0, noise=0.0),
    ]
    table = case_table(subject(made.run(rows)))
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

    assert case_table(subject(one)).columns[0].name == "problem"
    assert case_table(subject(one, other)).columns[0].name == "run"


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
