"""What a backend may do wrong, and that it costs its own cases alone."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.torch

HONEST = """
def prepare(inputs: Inputs):
    return lambda: honest(inputs)
"""


def rows_of(frame, name):
    return frame[frame["backend"] == name]


def statuses(frame, name):
    return list(rows_of(frame, name)["status"])


def test_each_fault_is_its_own_row_and_the_honest_one_is_measured(bed):
    bed.backend("good", HONEST)
    bed.backend(
        "raises",
        """
        def prepare(inputs: Inputs):
            def call():
                raise ValueError("the kernel broke")
            return call
        """,
    )
    bed.backend(
        "dies",
        """
        def prepare(inputs: Inputs):
            import os, signal, sys
            def call():
                print("CUDA error: an illegal memory access", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            return call
        """,
    )
    bed.backend(
        "wrong",
        """
        def prepare(inputs: Inputs):
            return lambda: honest(inputs) * 1.01
        """,
    )
    bed.backend(
        "refuses",
        """
        def prepare(inputs: Inputs):
            def call():
                raise Unsupported("too short for it")
            return honest if inputs.problem.kv_len > 16 and False else call
        """,
    )
    names = ("./good.py", "./raises.py", "./dies.py", "./wrong.py", "./refuses.py")
    finished, frame = bed.run(*names, lengths="[16, 48, 80]")

    assert finished.counts == dict.fromkeys(
        ("ok", "failed", "crashed", "incorrect", "unsupported"), 3
    )
    assert statuses(frame, "good") == ["ok"] * 6  # three lengths, two processes
    # What ended other than ok is not tried again in the next process.
    assert statuses(frame, "raises") == ["failed"] * 3
    assert set(rows_of(frame, "raises")["reason"]) == {
        "ValueError: the kernel broke (raises.py:12)"
    }
    (reason,) = set(rows_of(frame, "dies")["reason"])
    assert reason.startswith("the worker ended with signal SIGKILL; it printed: ")
    assert reason.endswith("CUDA error: an illegal memory access")
    assert all("times what plain PyTorch" in one for one in rows_of(frame, "wrong")["reason"])
    assert set(rows_of(frame, "refuses")["reason"]) == {"too short for it"}
    not_ok = frame[frame["status"] != "ok"]
    assert not_ok["latency_us"].isna().all()
    assert not_ok["samples_us"].isna().all()
    # One crash was in calibration; of the other two at least one was followed by another case.
    assert any("RESTARTED" in notes for notes in frame["notes"])


def test_a_hang_is_a_timeout_and_the_run_goes_on(bed):
    bed.backend("good", HONEST)
    bed.backend(
        "hangs",
        """
        def prepare(inputs: Inputs):
            import time
            return lambda: time.sleep(3600)
        """,
    )
    measure = "{processes: 1, warmup_s: 0.01, sample_s: 0.02, compile_s: 8}"
    finished, frame = bed.run("./hangs.py", "./good.py", measure=measure, lengths="[16]")

    assert finished.counts == {"timeout": 1, "ok": 1}
    (reason,) = rows_of(frame, "hangs")["reason"]
    assert reason.startswith("no end of first_call after ")
    assert reason.endswith("(compile_s 8)")


def test_a_hang_after_the_first_calls_runs_into_the_deadline(bed):
    bed.backend(
        "tires",
        """
        def prepare(inputs: Inputs):
            import time
            calls = []
            def call():
                calls.append(1)
                if len(calls) > 20:
                    time.sleep(3600)
                return honest(inputs)
            return call
        """,
    )
    measure = "{processes: 1, warmup_s: 0.5, sample_s: 0.02, deadline_s: 2}"
    finished, frame = bed.run("./tires.py", measure=measure, lengths="[16]")

    assert finished.counts == {"timeout": 1}
    assert "(deadline_s 2)" in frame["reason"][0]


def test_memory_that_runs_out_skips_what_is_larger(bed):
    bed.backend(
        "hungry",
        """
        def prepare(inputs: Inputs):
            def call():
                if inputs.problem.kv_len >= 32:
                    raise MemoryError("can't allocate memory: you tried to allocate a lot")
                return honest(inputs)
            return call
        """,
    )
    finished, frame = bed.run("./hungry.py", lengths="[16, 32, 64, 128]")

    found = dict(zip(frame["kv_len"], frame["status"], strict=True))
    assert found[16] == "ok"
    assert set(found.values()) <= {"ok", "oom", "skipped"}
    oom = min(length for length, status in found.items() if status == "oom")
    for length, status in found.items():
        if status == "skipped":
            assert length > oom
    assert finished.counts["ok"] == 1

    bed.out = bed.out.with_name("all.parquet")
    finished, _ = bed.run("./hungry.py", lengths="[16, 32, 64, 128]", oom_skip=False)
    assert finished.counts == {"ok": 1, "oom": 3}


def test_a_remembered_answer_is_incorrect(bed):
    bed.backend(
        "remembers",
        """
        def prepare(inputs: Inputs):
            kept = []
            def call():
                if not kept:
                    kept.append(honest(inputs))
                return kept[0].clone()
            return call
        """,
    )
    finished, frame = bed.run("./remembers.py", lengths="[64]")

    assert finished.counts == {"incorrect": 1}
    assert frame["reason"][0].startswith("after q was drawn again: ")


def test_a_call_that_writes_its_inputs_is_incorrect(bed):
    bed.backend("good", HONEST)
    bed.backend(
        "writes",
        """
        def prepare(inputs: Inputs):
            calls = []
            def call():
                o = honest(inputs)
                calls.append(1)
                if len(calls) == 10:
                    inputs.v.flatten()[0] += 1e-7
                    inputs.v.mul_(1 + 1e-7)
                return o
            return call
        """,
    )
    finished, _ = bed.run("./writes.py", "./good.py", lengths="[64]")

    assert finished.counts == {"incorrect": 1, "ok": 1}


def test_a_call_that_does_nothing_cannot_be_fast(bed):
    """The check cannot see that an answer was kept for each q; the ceilings can."""
    bed.backend(
        "cheats",
        """
        def prepare(inputs: Inputs):
            seen = {}
            def call():
                key = float(inputs.q.flatten()[0])
                if key not in seen:
                    seen[key] = honest(inputs)
                return seen[key]
            return call
        """,
    )
    measure = "{processes: 1, warmup_s: 0.01, sample_s: 0.05, case_limit_s: 60}"
    suite = bed.suite("./cheats.py", lengths="[16384]", measure=measure)
    text = suite.read_text().replace("q_len: 16, q_heads: 2", "q_len: 64, q_heads: 8")
    suite.write_text(text)
    import attnbench

    finished = attnbench.run(suite, device="cpu", out=bed.out)
    frame = attnbench.load(bed.out)

    assert finished.counts == {"implausible": 1}
    assert "cannot have" in frame["reason"][0]


def test_a_plugin_that_does_not_import_is_said_before_anything_is_measured(bed):
    bed.backend("good", HONEST)
    (bed.folder / "broken.py").write_text(
        "import no_such_library\n"
        "from attnbench.plugin import Capabilities, Inputs\n"
        "capabilities = Capabilities()\n"
        "def prepare(inputs):\n    return None\n"
    )
    from attnbench import BackendImportError

    with pytest.raises(BackendImportError, match=r"broken.*no_such_library"):
        bed.run("./broken.py", "./good.py")
    assert not bed.out.exists()
