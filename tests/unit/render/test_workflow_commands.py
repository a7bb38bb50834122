"""What GitHub reads of a log is one line, whatever it quotes."""

from __future__ import annotations

from attnbench.case import Case
from attnbench.cli.run_view import annotation_lines
from attnbench.measurement import Measurement
from attnbench.problem import Problem
from attnbench.render.ruling_markup import workflow_command


def test_a_command_escapes_what_would_end_it():
    assert workflow_command("error", "50%\r\nx::y", title="a: b, c") == (
        "::error title=a%3A b%2C c::50%25%0D%0Ax::y"
    )
    assert workflow_command("warning", "plain") == "::warning::plain"
    assert workflow_command("endgroup") == "::endgroup::"


def test_a_command_holds_no_control_characters():
    assert (
        workflow_command("warning", "\x1b[31mred\x07", title="\x00t")
        == "::warning title=t::[31mred"
    )


def test_a_run_annotates_a_reason_in_the_same_words():
    case = Case(problem=Problem(q_len=4, q_heads=1, head_dim=8, dtype="fp32"), backend="b")
    failed = Measurement(case=case, status="failed", reason="50% \x1b[31m of it\nmore")

    assert list(annotation_lines([failed])) == [
        f"::warning title=attnbench::1 failed, the first: {case.label}: 50%25 [31m of it"
    ]
