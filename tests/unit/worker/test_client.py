"""A worker process seen from the parent, played by small scripts."""

from __future__ import annotations

import os
import sys
import time

import pytest

from attnbench.case import BUILT_IN, Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Device, Environment
from attnbench.errors import (
    BackendImportError,
    DeviceMissing,
    EnvironmentProblem,
    TorchMissing,
)
from attnbench.plugin import Capabilities
from attnbench.problem import Problem
from attnbench.worker import protocol
from attnbench.worker.client import (
    CaseTimeout,
    Limits,
    Stopped,
    WorkerDied,
    WorkerHandle,
    WorkerProcess,
    WorkerSpec,
    _exchange,
    worker_environment,
)
from attnbench.worker.protocol import CaseDone, ConformCase, Failed, Heartbeat, StageEntered

CASE = Case(problem=Problem(q_len=4, q_heads=2, head_dim=16, dtype="fp32"), backend="naive")
TRIAL = ConformCase(case=CASE, way="guarded")
CPU = Device(kind="cpu", name="c", arch="x86_64", memory_bytes=1, free_bytes=1)
OPENED = protocol.DeviceOpened(environment=Environment(device=CPU, host="h", python="3.11"))

SCRIPT = """#!{python}
import json, os, signal, sys, time
read, write = os.fdopen(int(sys.argv[-2])), os.fdopen(int(sys.argv[-1]), "w")
def say(type="Heartbeat", **message):
    message["type"] = type
    write.write(json.dumps(message) + "\\n")
    write.flush()
for line in read:
    message = json.loads(line)
{body}
"""


@pytest.fixture
def worker(tmp_path):
    """Start a worker whose answer to each message is some lines of Python."""
    started = []

    def start(body):
        script = tmp_path / f"worker{len(started)}"
        indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
        script.write_text(SCRIPT.format(python=sys.executable, body=indented))
        script.chmod(0o755)
        started.append(WorkerProcess(WorkerSpec("cpu", python=str(script))))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def dispatch(connection, *, compile_s=30.0, deadline_s=30.0, must_stop=lambda: False):
    """Have an opened worker do a case; return its answer and the beats that were heard."""
    handle = WorkerHandle(lambda _: connection, WorkerSpec("cpu"))
    handle._connection = connection
    beats = []
    limits = Limits(compile_s, deadline_s)
    done = handle.dispatch(TRIAL, limits, must_stop=must_stop, on_beat=beats.append)
    return done, beats


def test_a_reply_comes_back_whole(worker):
    one = worker("say('CaseDone', done={'echo': message, 'big': 'x' * 200_000}, alive=True)")
    reply = _exchange(one, TRIAL)
    assert reply.done["echo"] == {"type": "ConformCase", "case": CASE.to_dict(), "way": "guarded"}
    assert len(reply.done["big"]) == 200_000


def test_several_messages_in_one_read_stay_apart(worker):
    one = worker("say(stage='1'); say('StageEntered', stage='2'); say(stage='3')")
    one.send(TRIAL)
    expected = [Heartbeat(stage="1"), StageEntered(stage="2"), Heartbeat(stage="3")]
    assert [one.receive(30), one.receive(30), one.receive(30)] == expected
    assert one.receive(0.01) is None


def test_a_death_says_how_and_what_was_printed(worker):
    one = worker(
        "print('half a', flush=True); print('traceback', file=sys.stderr, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSEGV)"
    )
    with pytest.raises(WorkerDied) as caught:
        _exchange(one, TRIAL)
    assert str(caught.value) == (
        "the worker ended with signal SIGSEGV; it printed: half a\ntraceback"
    )


def test_only_the_end_of_a_long_output_is_kept(worker):
    one = worker("print('x' * 10_000 + 'END', flush=True); sys.exit(3)")
    with pytest.raises(WorkerDied) as caught:
        _exchange(one, TRIAL)
    said = str(caught.value)
    assert said.startswith("the worker ended with exit code 3; it printed: xxx")
    assert said.endswith("END")
    assert len(said) < 4200


def test_silence_is_a_time_out(worker, monkeypatch):
    monkeypatch.setattr(ConformCase, "limit_s", 0.2)
    one = worker("time.sleep(60)")
    with pytest.raises(TimeoutError, match="did not answer within 0 s"):
        _exchange(one, TRIAL)


def test_kill_takes_what_the_worker_started(worker):
    one = worker(
        "import subprocess; p = subprocess.Popen(['sleep', '60'])\n"
        "say('CaseDone', done={'pid': p.pid}, alive=True)"
    )
    child = _exchange(one, TRIAL).done["pid"]
    one.kill()
    deadline = time.monotonic() + 10
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _is_running(child)


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123  a kernel file
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_compiling_and_the_rest_have_limits_of_their_own(worker):
    slow_compile = worker("say('StageEntered', stage='prepare'); time.sleep(60)")
    with pytest.raises(CaseTimeout, match=r"no end of prepare after .* \(compile_s 0.6\)"):
        dispatch(slow_compile, compile_s=0.6)
    slow_rest = worker(
        "say('StageEntered', stage='first_call'); say('StageEntered', stage='check')\n"
        "time.sleep(60)"
    )
    with pytest.raises(CaseTimeout, match=r"no end of check after .* \(deadline_s 0.6\)"):
        dispatch(slow_rest, deadline_s=0.6)


def test_beats_are_reported_but_never_while_it_samples(worker):
    one = worker(
        "say('StageEntered', stage='check'); time.sleep(0.7)\n"
        "say('StageEntered', stage='sample'); time.sleep(1.2)\n"
        "say('CaseDone', done={}, alive=True)"
    )
    done, beats = dispatch(one)
    assert done == CaseDone(done={}, alive=True)
    assert "check" in beats
    assert "sample" not in beats


def test_who_must_stop_kills_the_case(worker):
    one = worker("say('StageEntered', stage='sample'); time.sleep(60)")
    with pytest.raises(Stopped):
        dispatch(one, must_stop=lambda: True)
    assert not _is_running(one.pid)


def test_a_bug_in_the_worker_is_not_a_result(worker):
    one = worker("say('Failed', error='InternalError', message='Traceback: our own')")
    with pytest.raises(RuntimeError, match="our own"):
        dispatch(one)


def test_a_worker_is_quiet_and_its_threads_are_fixed(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = worker_environment(interpret=False)
    assert "TRITON_INTERPRET" not in found
    assert found["KINETO_LOG_LEVEL"] == "99"
    assert found["OMP_NUM_THREADS"] == str(len(os.sched_getaffinity(0)))
    assert worker_environment(interpret=True)["TRITON_INTERPRET"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert worker_environment(interpret=False)["OMP_NUM_THREADS"] == "1"


class Scripted:
    """A connection with one reply to everything but opening; an exception is raised."""

    pid = 1

    def __init__(self, reply, opened=OPENED):
        self._replies = [opened, reply]
        self.kills = 0

    def send(self, request):
        """Take it."""

    def receive(self, _timeout_s):
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def tail(self):
        return ""

    def kill(self):
        self.kills += 1

    close = kill


def handle_of(*connections, python=None):
    """A handle whose workers are these, in their order."""
    waiting = list(connections)
    return WorkerHandle(lambda _: waiting.pop(0), WorkerSpec("cuda:0", python=python))


@pytest.mark.parametrize(
    "reply",
    [
        Failed(error="InternalError", message="Traceback ... the words of the worker"),
        WorkerDied("the worker ended with signal SIGSEGV; it printed: the words of the worker"),
        TimeoutError("the words of the worker"),
    ],
    ids=["internal", "died", "late"],
)
@pytest.mark.parametrize(
    "request_",
    [protocol.MeasureCeilings(repeats=5), protocol.SustainCeilings(ceilings=Ceilings())],
    ids=["ceilings", "sustained"],
)
def test_what_a_worker_cannot_measure_is_said_in_its_words(reply, request_):
    connection = Scripted(reply)
    with pytest.raises(EnvironmentProblem, match="the words of the worker"):
        handle_of(connection).ask(request_)
    assert connection.kills == (0 if isinstance(reply, Failed) else 1)


def test_a_worker_that_died_is_replaced_when_it_is_needed():
    first = Scripted(WorkerDied("signal SIGKILL"))
    second = Scripted(protocol.ImportedFiles(files=["a.py"]))
    handle = handle_of(first, second)

    assert handle.imported_below(["/x"]) == []
    assert not handle.is_open
    assert handle.imported_below(["/x"]) == ["a.py"]
    assert (first.kills, second.kills) == (1, 0)


@pytest.mark.parametrize(
    ("opened", "error", "words"),
    [
        (
            Failed(error=protocol.TORCH_MISSING, message="no torch"),
            TorchMissing,
            "pip install torch",
        ),
        (
            Failed(error=protocol.DEVICE_MISSING, message="no GPU", hint="h"),
            DeviceMissing,
            "no GPU",
        ),
        (Failed(error=protocol.INTERNAL_ERROR, message="ours"), RuntimeError, "ours"),
        (WorkerDied("exit code 1"), EnvironmentProblem, "could not start: exit code 1"),
        (TimeoutError("late"), EnvironmentProblem, "could not start: late"),
    ],
)
def test_a_device_that_cannot_be_opened_is_said_and_the_worker_is_gone(opened, error, words):
    connection = Scripted(None, opened=opened)
    with pytest.raises(error) as caught:
        handle_of(connection, python="/their/python").open()
    assert words in f"{caught.value} {getattr(caught.value, 'hint', '')}"
    assert connection.kills == 1


def test_third_party_backends_are_probed_and_built_in_ones_are_not():
    theirs = Case(problem=CASE.problem, backend="theirs", source="theirs.py")
    can = Capabilities(modes={"fwd"})
    handle = handle_of(Scripted(protocol.BackendProbed(capabilities=can)))
    assert CASE.source == BUILT_IN
    assert handle.capabilities([CASE, theirs]) == {("theirs", "theirs.py"): can}

    broken = handle_of(Scripted(protocol.BackendProbed(error="no module x", hint="pip install x")))
    with pytest.raises(BackendImportError, match=r"theirs .* cannot be imported: no module x"):
        broken.capabilities([theirs])


def test_a_worker_that_dies_of_a_probe_is_the_reason():
    assert handle_of(Scripted(WorkerDied("signal SIGSEGV"))).probe("x", "x.py").error == (
        "signal SIGSEGV"
    )


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"Nonsense"}',
        b'"Nonsense"',
        # A problem that cannot be is an error of another family.
        (
            b'{"type":"ConformCase","way":"Nonsense","case":{"backend":"x","problem":'
            b'{"q_len":1,"q_heads":0,"head_dim":16,"dtype":"fp32"}}}'
        ),
    ],
    ids=["type", "object", "problem"],
)
def test_a_line_that_is_no_request_is_answered_at_once_and_the_next_is_read(line):
    one = WorkerProcess(WorkerSpec("cpu"))
    try:
        os.write(one._write_fd, line + b"\n")
        reply = one.receive(60)
        one.send(protocol.TimeCanaries(warm=False))  # no device is open: its reply is a failure too
        after = one.receive(60)
    finally:
        one.kill()
    assert isinstance(reply, Failed)
    assert "not a request" in reply.message
    assert "Nonsense" in reply.message
    assert isinstance(after, Failed)
