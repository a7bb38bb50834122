"""What GitHub reads of a log is one line, whatever it quotes."""

from __future__ import annotations

from attnbench.case import Case
from attnbench.cli.plain import annotated
from attnbench.measurement import Measurement
from attnbench.problem import Problem
from attnbench.render.workflow_command import command


def test_a_command_escapes_what_would_end_it():
    assert command("error", "50%\r\nx::y", title="a: b, c") == (
        "::error title=a%3A b%2C c::50%25%0D%0Ax::y"
    )
    assert command("warning", "plain") == "::warning::plain"
    assert command("endgroup") == "::endgroup::"


def test_a_command_holds_no_control_characters():
    assert command("warning", "\x1b[31mred\x07", title="\x00t") == "::warning title=t::[31mred"


def test_a_run_annotates_a_reason_in_the_same_words():
    case = Case(problem=Problem(q_len=4, q_heads=1, head_dim=8, dtype="fp32"), backend="b")
    failed = Measurement(case=case, status="failed", reason="50% \x1b[31m of it\nmore")

    assert list(annotated([failed])) == [
        f"::warning title=attnbench::1 failed, the first: {case.label}: 50%25 [31m of it"
    ]
