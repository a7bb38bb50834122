"""What ``ab`` looks like: while it measures, and its ruling at 80 and at 120 columns."""

from __future__ import annotations

import importlib.util
import io
import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from attnbench.analysis.ab import rule_ab
from attnbench.case import Case
from attnbench.cli.ab_view import AbView
from attnbench.environment import Device, Environment
from attnbench.execute.ab.pairs import Pair
from attnbench.execute.events import (
    AbMeasured,
    AbStarted,
    Beat,
    CaseFinished,
    CaseStarted,
    Remark,
    RoundFinished,
    Screened,
    SelfTested,
    SideStarted,
)
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.problem import Problem
from attnbench.render.ruling import show_ab
from attnbench.render.screen import screen
from attnbench.suite import Gate

PLACE = Path(__file__).parents[1] / "unit" / "analysis" / "made_ab.py"
SPEC = importlib.util.spec_from_file_location("made_ab", PLACE)
made_ab = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made_ab)

RULE = Gate(max_slowdown=0.05, given=True)
COMMITS = {"base": "9b1d0e2aaaaaaa", "new": "4f2c91abbbbbbb"}
METHOD = Method(timer="event", l2="cold", flush="read")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def stream_of(width):
    stream = io.StringIO()
    return stream, screen(stream, {"COLUMNS": str(width)})


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize(
    ("name", "settings", "cut"),
    [
        ("ab_pass", {}, None),
        (
            "ab_fail",
            {
                "slower": {4: 0.12, 8: -0.1, 10: 0.045},
                "suspects": (4, 10),
                "fresh": 16,
                "statuses": {("new", 3): "oom", ("base", 5): "incorrect"},
            },
            None,
        ),
        ("ab_open", {"noise": 0.03, "cases": 4}, "the budget of 60 s was spent"),
        (
            "ab_machine",
            {"machine": 0.06, "cases": 4, "suspects": (0, 1, 2, 3), "fresh": 8},
            None,
        ),
        (
            "ab_backends",
            {"backends": ("sdpa", "naive"), "base": "sdpa", "new": "naive", "cases": 2},
            None,
        ),
    ],
)
def test_a_ruling_on_a_screen(golden, tmp_path, name, settings, cut, width):
    paths = made_ab.make_sides(tmp_path, commits=COMMITS, **settings)
    ruling = rule_ab(*paths, RULE, "the suite made", cut=cut)
    stream, shown = stream_of(width)

    show_ab(ruling, shown, paths, explain=name == "ab_backends")

    golden(f"{name}_{width}", stream.getvalue())
    assert max(map(len, stream.getvalue().splitlines())) <= width


def events():
    device = Device(
        kind="cuda",
        name="NVIDIA H200",
        arch="sm_90",
        memory_bytes=150_100_000_000,
        free_bytes=148_000_000_000,
        driver="580.65",
    )
    environment = Environment(
        device=device, host="node", python="3.12.4", torch_version="2.13.0", cuda="13.0"
    )
    problem = Problem(
        batch=16, q_len=1, kv_len=4096, q_heads=32, kv_heads=8, head_dim=128, dtype="bf16"
    )
    case = Case(problem=problem, backend="mine")
    place = {"method": METHOD, "position": 1, "total": 8}
    lost = Measurement(case=case, status="crashed", reason="signal SIGKILL", process=0)
    yield Remark(text="base: opening git:main")
    yield AbStarted(
        stem=Path("results/decode-ab"),
        words=("git:main", "the suite as it is"),
        commits=("9b1d0e2aaaaaaaaa", None),
        environments=(environment, replace(environment, torch_version="2.14.0")),
        pairs=4,
        ruled_out=1,
        rounds=2,
        seconds=190.0,
    )
    spin = {"name": "spin", "measured": "900 us", "expected": "1 ms within 1%", "grave": True}
    yield SelfTested(tests=({**spin, "passed": True},))
    yield SelfTested(tests=({**spin, "passed": False},))
    for number, roles in ((1, ("base", "new")), (2, ("new", "base"))):
        for role in roles:
            yield SideStarted(stage="screen", round=number, rounds=2, role=role)
            yield CaseStarted(case=case, process=0, **place)
            yield Beat(doing="check", position=1, total=8, elapsed_s=3.0, seconds_left=None)
            if (number, role) == (1, "new"):
                yield CaseFinished(measurement=lost, summary=None, seconds_left=9.0, **place)
        yield RoundFinished(
            stage="screen", round=number, rounds=2, seconds=95.0, seconds_left=95.0 * (2 - number)
        )
    yield Screened(suspects=(Pair(case, case),), rounds=8)
    yield SideStarted(stage="confirm", round=1, rounds=8, role="base")
    yield SideStarted(stage="confirm", round=1, rounds=8, role="new")
    yield RoundFinished(stage="confirm", round=1, rounds=8, seconds=12.0, seconds_left=84.0)
    yield AbMeasured(
        stem=Path("results/decode-ab"),
        results=(Path("a"), Path("b")),
        seconds=300.0,
        rule=RULE,
        rule_source="",
        cut=None,
    )


def test_a_log_has_a_line_a_round_and_a_heartbeat(golden):
    stream, shown = stream_of(120)
    view = AbView(
        shown,
        "attnbench 1.2.3  ab decode",
        now=itertools.count(0.0, 7.0).__next__,
        clock=lambda: "01:42:00",
    )

    with view:
        for event in events():
            view(event)

    golden("ab_log", stream.getvalue())
    assert "\x1b" not in stream.getvalue()


def test_a_terminal_has_a_bar_with_what_runs_now(golden):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown = screen(Terminal(), {"COLUMNS": "100", "TERM": "xterm"})
    view = AbView(shown, "attnbench 1.2.3  ab decode", now=itertools.count(0.0, 7.0).__next__)
    footers = []

    with view:
        for event in events():
            view(event)
            footers.append("\n".join(view.footer()))

    golden("ab_bar", "\n".join(dict.fromkeys(footers)) + "\n")
