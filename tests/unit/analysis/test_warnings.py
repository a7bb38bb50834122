from __future__ import annotations

from attnbench.analysis.cases import CaseResult
from attnbench.analysis.warnings import input_warnings, note_warnings, process_warnings
from attnbench.stats.latency import over_processes


def case(*notes, processes=3, status="ok", **row):
    rows = ({"input_dist": "normal", "page_order": None, **row},)
    return CaseResult(
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
    assert list(note_warnings([case()])) == []
    assert list(input_warnings([case()])) == []
    assert list(process_warnings([case()])) == []


def test_notes_are_counted_among_the_ok_cases():
    (line,) = note_warnings([case("NOISY"), case(), case("NOISY", status="failed")])

    assert line.startswith("1 of 2 ok cases are noisy")


def test_a_note_that_says_nothing_of_the_latency_is_no_doubt():
    assert list(note_warnings([case("NO_TELEMETRY", "L2_RESIDENT")])) == []


def test_too_few_processes_are_counted_and_one_alone_is_said():
    (few,) = note_warnings([case(processes=2), case()])

    assert few.startswith("1 of 2 ok cases have fewer than three processes")
    assert list(process_warnings([case(processes=1), case(processes=2)])) == []
    assert len(list(process_warnings([case(processes=1)]))) == 1


def test_zeros_and_ordered_pages_flatter():
    zeros, pages = case(input_dist="zeros"), case(page_order="identity")

    assert [line[:14] for line in input_warnings([zeros, pages])] == ["1 of 2 ok case"] * 2
    assert list(input_warnings([case(page_order="shuffled")])) == []
