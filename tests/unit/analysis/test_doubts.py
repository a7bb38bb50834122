from __future__ import annotations

from attnbench.analysis.doubts import doubts, flattering, single_process
from attnbench.analysis.table import CaseRows
from attnbench.stats.latency import over_processes


def case(*notes, processes=3, status="ok", **row):
    rows = ({"input_dist": "normal", "page_order": None, **row},)
    return CaseRows(
        case_id="c",
        label="decode q1s1k · sdpa",
        backend="sdpa",
        timing="event cold",
        status=status,
        reason=None,
        latency=over_processes([1e-5] * processes) if status == "ok" else None,
        notes=notes,
        rows=rows,
    )


def test_a_calm_case_leaves_no_doubt():
    assert list(doubts([case()])) == []
    assert list(flattering([case()])) == []
    assert list(single_process([case()])) == []


def test_notes_are_counted_among_the_ok_cases():
    (line,) = doubts([case("NOISY"), case(), case("NOISY", status="failed")])

    assert line.startswith("1 of 2 ok cases are noisy")


def test_a_note_that_says_nothing_of_the_latency_is_no_doubt():
    assert list(doubts([case("NO_TELEMETRY", "L2_RESIDENT")])) == []


def test_too_few_processes_are_counted_and_one_alone_is_said():
    (few,) = doubts([case(processes=2), case()])

    assert few.startswith("1 of 2 ok cases have fewer than three processes")
    assert list(single_process([case(processes=1), case(processes=2)])) == []
    assert len(list(single_process([case(processes=1)]))) == 1


def test_zeros_and_ordered_pages_flatter():
    zeros, pages = case(input_dist="zeros"), case(page_order="identity")

    assert [line[:14] for line in flattering([zeros, pages])] == ["1 of 2 ok case"] * 2
    assert list(flattering([case(page_order="shuffled")])) == []
