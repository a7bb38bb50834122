"""What a run looks like, from a scripted list of events: on a terminal, in a log, in CI."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path

import pytest

from attnbench.case import Case
from attnbench.cli.json_events import JsonView
from attnbench.cli.run_stats import SuiteTitle
from attnbench.cli.run_view import LiveView, PlainView
from attnbench.environment import Device, Environment
from attnbench.execute.events import (
    Beat,
    CaseFinished,
    CaseStarted,
    ProcessStarted,
    Remark,
    RunFinished,
    RunStarted,
)
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.planning.plan import Plan, PlannedCase
from attnbench.problem import Problem
from attnbench.render.screen import screen
from attnbench.stats.latency import Rank
from attnbench.stats.summary import summarize

METHOD = Method(timer="event", l2="cold", flush="read")
SHOWN = SuiteTitle(
    name="decode", about="One new token against a cache.", repro="decode", version="1.2.3"
)
DEVICE = Device(
    kind="cuda",
    name="NVIDIA H200",
    arch="sm_90",
    memory_bytes=150_100_000_000,
    free_bytes=148_000_000_000,
    driver="580.65",
)
ENVIRONMENT = Environment(
    device=DEVICE,
    host="node",
    python="3.12.4",
    torch_version="2.13.0",
    triton_version="3.7.1",
    cuda="13.0",
)
OUT = Path("results/decode-h200-20261121-014200.parquet")


def case(backend, *, kv_len=4096, kv_heads=8, options=(), **fields):
    problem = Problem(
        batch=16,
        q_len=1,
        kv_len=kv_len,
        q_heads=32,
        kv_heads=kv_heads,
        head_dim=128,
        dtype="bf16",
        mask="causal",
        **fields,
    )
    return Case(problem=problem, backend=backend, options=options)


FLASH = (("kernel", "flash"),)
CUDNN = (("kernel", "cudnn"),)
OK = [
    (case("sdpa", options=FLASH), 71.0, ()),
    (case("triton_decode"), 66.4, ()),
    (case("sdpa", options=FLASH, kv_len=131072, kv_heads=32), 9120.0, ("NOISY",)),
    (case("triton_decode", kv_len=131072, kv_heads=32), 8990.0, ()),
]
WRONG = case("sdpa", options=CUDNN)
TOO_LARGE = case("naive", kv_len=131072, kv_heads=32)
CANNOT = case("sdpa", options=CUDNN, kv_len=131072, kv_heads=32)


def planned(one, status="run", reason=None):
    return PlannedCase(
        case=one,
        method=METHOD,
        status=status,
        reason=reason,
        predicted_bytes=10**9,
        predicted_s=2.0,
    )


def finished(one, latency, notes, position, *, left):
    samples = tuple(latency * (1 + 0.001 * (i % 5 - 2)) for i in range(30))
    measurement = Measurement(
        case=one,
        status="ok",
        process=0,
        samples_us=samples,
        check="passed",
        notes=notes,
        peak_bandwidth_gbps=4310.0,
        peak_tflops=800.0,
    )
    return CaseFinished(
        measurement=measurement,
        method=METHOD,
        summary=summarize(samples),
        position=position,
        total=5,
        seconds_left=left,
    )


def script(*, interrupted=False):
    plan = Plan(
        device=DEVICE,
        planned=(
            *(planned(one) for one, _, _ in OK),
            planned(WRONG),
            planned(TOO_LARGE, "skipped", "about 63 s a process, over case_limit_s 5"),
            planned(CANNOT, "unsupported", "mask causal is not one of none"),
        ),
        processes=1,
    )
    yield Remark(text="calibration: a few calls, to predict how long the rest takes")
    yield RunStarted(run_name=OUT.stem, out=OUT, environment=ENVIRONMENT, plan=plan, processes=1)
    yield ProcessStarted(process=0, processes=1)
    for position, (one, latency, notes) in enumerate(OK, start=1):
        yield CaseStarted(case=one, method=METHOD, process=0, position=position, total=5)
        yield Beat(doing="sample", position=position, total=5, elapsed_s=20.0, seconds_left=400.0)
        yield finished(one, latency, notes, position, left=400.0 - 90 * position)
    wrong = Measurement(
        case=WRONG,
        status="incorrect",
        process=0,
        reason="error 0.31 is 124 x that of plain PyTorch, 2.5 is allowed\nrow \x1b[31m(0, 3, 17)",
    )
    yield CaseFinished(
        measurement=wrong, method=METHOD, summary=None, position=5, total=5, seconds_left=0.0
    )
    yield RunFinished(
        run_name=OUT.stem,
        out=OUT,
        counts={"ok": 4, "incorrect": 1, "skipped": 1, "unsupported": 1},
        seconds=1241.0,
        rows=7,
        interrupted=interrupted,
        fastest=[
            Rank(label="triton_decode", ratio=1.0, n=2, wins=2),
            Rank(label="sdpa[kernel=flash]", ratio=1.027, n=2, wins=0),
        ],
    )


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    encoding = "utf-8"

    def isatty(self):
        return True


class Log(io.StringIO):
    encoding = "utf-8"


class AsciiLog(io.StringIO):
    encoding = "ascii"


def ticking(step=20.0):
    return itertools.count(0, step).__next__


def log_of(environ=(), *, stream=None, folds=False, events=None):
    stream = stream or Log()
    view = PlainView(
        screen(stream, dict(environ)),
        SHOWN,
        folds=folds,
        now=ticking(),
        clock=lambda: "01:43:07",
    )
    with view:
        for event in events or script():
            view(event)
    return stream.getvalue()


def test_a_run_in_a_log(golden):
    golden("run_log", log_of())


def test_a_run_in_a_log_that_knows_ascii_alone(golden):
    text = log_of(stream=AsciiLog())

    assert text.isascii()
    golden("run_log_ascii", text)


def test_a_run_in_github_actions(golden):
    golden("run_github", log_of(folds=True))


def test_a_run_that_was_interrupted(golden):
    golden("run_interrupted", log_of(events=script(interrupted=True)).partition("stopped")[2])


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE", "CLICOLOR_FORCE"])
def test_no_variable_puts_control_characters_into_a_log(name):
    text = log_of({name: "1"})

    assert not any(ord(letter) < 32 and letter != "\n" for letter in text)
    assert text == log_of()


def test_under_ci_a_terminal_is_a_log_too():
    stream = Terminal()

    text = log_of({"CI": "true", "FORCE_COLOR": "1", "COLUMNS": "100"}, stream=stream)

    assert "\x1b" not in text
    assert not screen(stream, {"CI": "true"}).live


@pytest.mark.parametrize("width", [80, 120])
def test_rows_on_a_terminal(golden, width):
    stream = Log()
    view = LiveView(screen(stream, {"COLUMNS": str(width)}), SHOWN, now=ticking())
    with view:
        for event in script():
            view(event)

    text = stream.getvalue()

    rows = [line for line in text.splitlines() if line.endswith(("% mem", "% flop", "of peak"))]
    assert len(rows) == 5
    assert max(map(len, rows)) <= width
    golden(f"run_terminal_{width}", text)


def test_the_lines_that_are_redrawn(golden):
    view = LiveView(screen(Log(), {"COLUMNS": "100"}), SHOWN, now=ticking(90.0))
    drawn = []
    with view:
        for event in script():
            view(event)
            drawn += [*view.footer(), ""] if isinstance(event, Beat) else []

    golden("run_footer", "\n".join(line.rstrip() for line in drawn))


def test_a_terminal_is_redrawn_at_most_once_a_second():
    stream = Terminal()
    times = iter([0.0, *(1.0 + 0.01 * i for i in range(100))])
    view = LiveView(screen(stream, {"COLUMNS": "100"}), SHOWN, now=times.__next__)
    events = [*script()]
    with view:
        for event in events[:3]:
            view(event)
        before = len(stream.getvalue())
        beat = next(event for event in events if isinstance(event, Beat))
        view(beat)
        once = len(stream.getvalue())
        for _ in range(20):
            view(beat)

        assert once > before
        assert len(stream.getvalue()) == once


def test_an_error_leaves_no_bar_behind():
    stream = Terminal()
    view = LiveView(screen(stream, {"COLUMNS": "100"}), SHOWN)

    def broken():
        with view:
            for event in [*script()][:5]:
                view(event)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()

    assert view._footer is None
    assert "\x1b[?25h" in stream.getvalue()


def test_a_program_gets_one_object_an_event():
    lines = []
    with JsonView(lines.append, "decode") as view:
        for event in script():
            view(event)

    objects = [json.loads(line) for line in lines]

    assert {one["schema_version"] for one in objects} == {1}
    assert [one["event"] for one in objects[:5]] == [
        "remark",
        "run_started",
        "process_started",
        "case_started",
        "beat",
    ]
    assert objects[1]["cases"] == {"run": 5, "skipped": 1, "unsupported": 1}
    rows = [one for one in objects if one["event"] == "case_finished"]
    assert [row["status"] for row in rows] == ["ok"] * 4 + ["incorrect"]
    assert rows[0]["latency_us"] == pytest.approx(71.0, rel=1e-3)
    assert objects[-1]["fastest"][0]["label"] == "triton_decode"
