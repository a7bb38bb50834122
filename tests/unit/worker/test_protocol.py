"""Messages survive the pipe: every operation and every reply, with real values."""

from __future__ import annotations

import json

import pytest

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Device, Environment
from attnbench.method import Measure, Method
from attnbench.plugin import Capabilities
from attnbench.problem import Problem
from attnbench.worker import protocol
from attnbench.worker.protocol import Message, decode, encode

PROBLEM = Problem(q_len=1, kv_len=4096, q_heads=8, kv_heads=2, head_dim=64, dtype="bf16")
CASE = Case(problem=PROBLEM, backend="sdpa", options=(("kernel", "math"),))
GPU = Device(kind="cuda", name="NVIDIA H200", arch="sm_90", memory_bytes=10**11, free_bytes=10**10)
CEILINGS = Ceilings(read_gbps=4100.0, copy_gbps=4000.0, tflops={"bf16": 720.5})
MESSAGES = [
    protocol.DeviceOpened(environment=Environment(device=GPU, host="node", python="3.12.4")),
    protocol.BackendProbed(
        capabilities=Capabilities(modes={"fwd", "bwd"}, masks={"causal"}, head_dims={64, 128}),
        is_triton=True,
    ),
    protocol.BackendProbed(error="no module named x", hint="pip install x"),
    protocol.ImportedFiles(files=["/a/b.py"]),
    protocol.CeilingsMeasured(ceilings=CEILINGS),
    protocol.SelfTestDone(tests=[{"name": "spin", "passed": True}], ceilings=CEILINGS),
    protocol.CanariesTimed(at=1.5, us={"copy": 640.0}, warmup_s=1.25, flat=None),
    protocol.CaseDone(done={"status": "ok", "samples_us": [18.25]}, alive=True),
    protocol.Failed(error="InternalError", message="Traceback: µ", hint=None),
    protocol.StageEntered(stage="check"),
    protocol.Heartbeat(stage="sample"),
    protocol.OpenDevice(device="cuda:1"),
    protocol.ProbeBackend(name="mine", source="/x/mine.py"),
    protocol.ListImported(folders=["/x", "/y"]),
    protocol.MeasureCeilings(repeats=5),
    protocol.SustainCeilings(ceilings=CEILINGS),
    protocol.RunSelfTest(ceilings=None, brief=True),
    protocol.TimeCanaries(warm=False),
    protocol.RunCase(
        case=CASE,
        method=Method(timer="event", l2="cold"),
        measure=Measure(processes=5, max_noise=0.02),
        ceilings=CEILINGS,
        purpose=protocol.CHECK,
    ),
    protocol.ConformCase(case=CASE, way="guarded"),
    protocol.Exit(),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_a_message_comes_out_of_the_pipe_as_it_went_in(message):
    line = encode(message)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == message


def test_every_operation_and_reply_is_among_them():
    abstract = {"Request"}
    assert {type(one).__name__ for one in MESSAGES} == set(Message.types) - abstract


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'"Exit"',
        b"null",
        b"\xff",
        b"{}",
        b'{"type": "Nonsense"}',
        b'{"type": "TimeCanaries"}',
        b'{"type": "TimeCanaries", "wram": 1}',
        b'{"type": "ConformCase", "case": {}, "way": "guarded"}',
    ],
)
def test_a_line_that_is_no_message_is_refused(line):
    with pytest.raises((KeyError, TypeError, ValueError)):
        decode(line)


def test_a_request_names_its_operation_once():
    assert json.loads(encode(protocol.TimeCanaries(warm=True))) == {
        "type": "TimeCanaries",
        "warm": True,
    }
