"""A worker process seen from the parent, played by small scripts."""

from __future__ import annotations

import os
import sys
import time

import pytest
from attnbench.execute.errand import CaseTimeout, Limits, Stopped, send_case
from attnbench.execute.interrupt import Interrupt
from attnbench.execute.local import LocalWorker, WorkerDied, worker_environment

SCRIPT = """#!{python}
import json, os, signal, sys, time
read, write = os.fdopen(int(sys.argv[-2])), os.fdopen(int(sys.argv[-1]), "w")
def say(**message):
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
        started.append(LocalWorker("cpu", python=str(script)))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def errand(worker, *, compile_s=30.0, deadline_s=30.0, interrupt=None):
    beats = []
    answer = send_case(
        worker,
        {"op": "case"},
        Limits(compile_s, deadline_s),
        interrupt=interrupt or Interrupt(),
        on_beat=beats.append,
    )
    return answer, beats


def test_an_answer_comes_back_whole(worker):
    one = worker("say(echo=message, big='x' * 200_000)")
    answer = one.ask({"op": "hello"}, 30)
    assert answer["echo"] == {"op": "hello"}
    assert len(answer["big"]) == 200_000


def test_several_messages_in_one_read_stay_apart(worker):
    one = worker("say(n=1); say(n=2); say(n=3)")
    one.send({})
    assert [one.receive(30), one.receive(30), one.receive(30)] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert one.receive(0.01) is None


def test_a_death_says_how_and_what_was_printed(worker):
    one = worker(
        "print('half a', flush=True); print('traceback', file=sys.stderr, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSEGV)"
    )
    with pytest.raises(WorkerDied) as caught:
        one.ask({}, 30)
    assert str(caught.value) == (
        "the worker ended with signal SIGSEGV; it printed: half a\ntraceback"
    )


def test_only_the_end_of_a_long_output_is_kept(worker):
    one = worker("print('x' * 10_000 + 'END', flush=True); sys.exit(3)")
    with pytest.raises(WorkerDied) as caught:
        one.ask({}, 30)
    said = str(caught.value)
    assert said.startswith("the worker ended with exit code 3; it printed: xxx")
    assert said.endswith("END")
    assert len(said) < 4200


def test_silence_is_a_time_out(worker):
    one = worker("time.sleep(60)")
    with pytest.raises(TimeoutError, match="did not answer within 0 s"):
        one.ask({}, 0.2)


def test_kill_takes_what_the_worker_started(worker):
    one = worker("import subprocess; p = subprocess.Popen(['sleep', '60']); say(pid=p.pid)")
    child = one.ask({}, 30)["pid"]
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
    slow_compile = worker("say(stage='prepare'); time.sleep(60)")
    with pytest.raises(CaseTimeout, match=r"no end of prepare after .* \(compile_s 0.6\)"):
        errand(slow_compile, compile_s=0.6)
    slow_rest = worker("say(stage='first_call'); say(stage='check'); time.sleep(60)")
    with pytest.raises(CaseTimeout, match=r"no end of check after .* \(deadline_s 0.6\)"):
        errand(slow_rest, deadline_s=0.6)


def test_beats_are_told_but_never_while_it_samples(worker):
    one = worker(
        "say(stage='check'); time.sleep(0.7); say(stage='sample'); time.sleep(1.2); say(done=1)"
    )
    answer, beats = errand(one)
    assert answer == {"done": 1}
    assert "check" in beats
    assert "sample" not in beats


def test_the_second_ctrl_c_kills_the_case(worker):
    one = worker("say(stage='sample'); time.sleep(60)")
    interrupt = Interrupt()
    interrupt._count = 2
    with pytest.raises(Stopped):
        errand(one, interrupt=interrupt)


def test_a_bug_in_the_worker_is_not_a_result(worker):
    one = worker("say(error='InternalError', message='Traceback: our own')")
    with pytest.raises(RuntimeError, match="our own"):
        errand(one)


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
