"""Two sides that are scripted: no worker, no torch, and real files."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Device, Environment
from attnbench.execute.ab import rounds as rounds_module
from attnbench.execute.ab.opening import CasePair, Opened, begin_files
from attnbench.execute.ab.pairs import Pair
from attnbench.execute.ab.request import AbRequest
from attnbench.execute.ab.sides import ROLES, Asked, Side
from attnbench.execute.session import Job, Preflight, Session
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.planning.plan import Plan, PlannedCase
from attnbench.problem import Problem
from attnbench.suite import Gate, Suite
from attnbench.worker.protocol import CanariesTimed, RunSelfTest, SelfTestDone

METHOD = Method(timer="wall", l2="warm")
DEVICE = Device(
    kind="cpu", name="Xeon", arch="x86_64", memory_bytes=8 * 10**9, free_bytes=3 * 10**9, cores=2
)
ENVIRONMENT = Environment(device=DEVICE, host="node", python="3.12.4", torch_version="2.13.0")
TEXT = (
    "suite: made\nproblem: {q_len: 1, q_heads: 1, head_dim: 8, dtype: fp32}\nbackends: {sdpa: }\n"
)


def make_case(number, backend="sdpa"):
    problem = Problem(q_len=1, kv_len=16 + number, q_heads=8, head_dim=64, dtype="fp32")
    return Case(problem=problem, backend=backend)


class Bed:
    """A machine on which ``latency(role, number of the case, round)`` says what comes of a case.

    It returns a latency in µs, or a status. ``order`` tells afterwards what ran, and
    ``closed`` whose worker ended.
    """

    def __init__(self, folder, latency, *, cases=8, statuses=None):
        self.folder = folder
        self.latency = latency
        self.order = []
        self.events = []
        self.closed = []
        self.numbers = {make_case(one).problem.id: one for one in range(cases)}
        self.statuses = statuses or {}
        self.before_case = lambda: None
        self.selftest = []
        self.canaries_us = lambda _role: {"copy": 100.0, "gemm": 200.0, "softmax": 50.0}

    def run(self, **settings):
        limit = settings.pop("limit", 0.05)
        request = AbRequest(
            asked=Asked(Path("made.yaml")),
            base="sdpa",
            new="naive",
            out=self.folder / "x",
            **settings,
        )

        def open_sides(request, progress, interrupt, stack, _executor):
            progress.began = time.monotonic()  # of a clock that a test may have replaced
            return self.opened(request, limit, progress, interrupt, stack)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rounds_module, "open_sides", open_sides)
            return rounds_module.measure(request, self.events.append)

    def opened(self, request, limit, progress, interrupt, stack):
        suite = Suite(name="made", text=TEXT, sha256="0" * 64, folder=self.folder, cases=())
        pairs = [Pair(make_case(n, "sdpa"), make_case(n, "naive")) for n in self.numbers.values()]
        sides, sessions = {}, {}
        for role, words in zip(ROLES, ("sdpa", "naive"), strict=True):
            cases = tuple(pair.base if role == "base" else pair.new for pair in pairs)
            sides[role] = Side(
                role=role, words=words, suite=suite, cases=cases, options={}, whole=False
            )
            session = Session(
                Job(suite=suite, settings=suite.measure, side=role),
                Preflight(environment=ENVIRONMENT, ceilings=Ceilings(), backends={}),
                self.worker(role),
                interrupt,
                progress,
            )
            stack.callback(session.close)
            planned = tuple(self.planned(role, number, case) for number, case in enumerate(cases))
            session.plan = Plan(device=DEVICE, planned=planned, processes=1)
            session.runner = SimpleNamespace(measure=self.measurer(role))
            sessions[role] = session
        plans = [sessions[role].plan.planned for role in ROLES]
        opened = Opened(
            sides=sides,
            sessions=sessions,
            case_pairs=tuple(CasePair(*three) for three in zip(pairs, *plans, strict=True)),
            rule=Gate(max_slowdown=limit, given=True),
            rule_source="a test",
            stem=request.out,
        )
        begin_files(request, opened, pairs)
        return opened

    def planned(self, role, number, case):
        return PlannedCase(
            case=case,
            method=METHOD,
            status=self.statuses.get((role, number), "run"),
            reason="because",
            predicted_bytes=1,
            predicted_s=0.1,
        )

    def worker(self, role):
        def ask(request):
            if isinstance(request, RunSelfTest):
                return SelfTestDone(tests=self.selftest, ceilings=request.ceilings)
            return CanariesTimed(at=0.0, us=self.canaries_us(role))

        return SimpleNamespace(
            is_open=True, environment=ENVIRONMENT, ask=ask, close=lambda: self.closed.append(role)
        )

    def measurer(self, role):
        def measure(planned, number):
            self.before_case()
            self.order.append((number, role, planned.case.problem.id))
            found = self.latency(role, self.numbers[planned.case.problem.id], number)
            if isinstance(found, str):
                return Measurement(case=planned.case, status=found, reason="it did", process=number)
            return Measurement(
                case=planned.case,
                status="ok",
                process=number,
                check="passed",
                samples_us=tuple(found * (1 + 0.001 * (i - 5)) for i in range(11)),
            )

        return measure


@pytest.fixture
def bed(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)  # of thousands of rows

    def make(latency, **settings):
        return Bed(tmp_path, latency, **settings)

    return make


@pytest.fixture
def noisy():
    """Latencies of 100 µs with noise between processes, some cases slower on the new side."""

    def make(sd, slower=None, seed=1):
        dice = random.Random(seed)  # noqa: S311  noise, not a secret
        shift = {number: np.log1p(share) for number, share in (slower or {}).items()}

        def latency(role, number, _round):
            own = shift.get(number, 0.0) if role == "new" else 0.0
            return 100.0 * float(np.exp(own + dice.gauss(0, sd)))

        return latency

    return make
