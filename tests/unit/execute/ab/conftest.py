"""Two sides that are scripted: no worker, no torch, and real files."""

from __future__ import annotations

import os
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from attnbench.execute.ab.station import SideSession
from attnbench.execute.survey import Preflight

from attnbench.case import Case
from attnbench.device.rates import Ceilings
from attnbench.environment import Device, Environment
from attnbench.execute.ab import rounds as rounds_module
from attnbench.execute.ab.opening import CasePair, Opened, _begin_files
from attnbench.execute.ab.pairs import Pair
from attnbench.execute.ab.request import AbRequest
from attnbench.execute.ab.sides import ROLES, Asked, Side
from attnbench.measurement import Measurement
from attnbench.method import Method
from attnbench.planning.plan import Plan, PlannedCase
from attnbench.problem import Problem
from attnbench.suite import Gate, Suite

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

    It returns a latency in µs, or a status. ``order`` tells afterwards what ran.
    """

    def __init__(self, folder, latency, *, cases=8, statuses=None):
        self.folder = folder
        self.latency = latency
        self.order = []
        self.events = []
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
        opened = self.opened(request, limit)

        def listener(event):
            self.events.append(event)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rounds_module, "open_sides", lambda *_: opened)
            try:
                return rounds_module.measure(request, listener)
            finally:
                for station in opened.stations.values():
                    station.close()

    def opened(self, request, limit):
        suite = Suite(name="made", text=TEXT, sha256="0" * 64, folder=self.folder, cases=())
        pairs = [Pair(make_case(n, "sdpa"), make_case(n, "naive")) for n in self.numbers.values()]
        stations, planned = {}, {}
        for role, words in zip(ROLES, ("sdpa", "naive"), strict=True):
            cases = [pair.base if role == "base" else pair.new for pair in pairs]
            planned[role] = [
                PlannedCase(
                    case=case,
                    method=METHOD,
                    status=self.statuses.get((role, number), "run"),
                    reason="because",
                    predicted_bytes=1,
                    predicted_s=0.1,
                )
                for number, case in enumerate(cases)
            ]
            side = Side(
                role=role, words=words, suite=suite, cases=tuple(cases), options={}, whole=False
            )
            stations[role] = SideSession(
                side,
                self.crew(role),
                Preflight(environment=ENVIRONMENT, ceilings=Ceilings(), backends={}),
                Plan(device=DEVICE, planned=tuple(planned[role]), processes=1),
                SimpleNamespace(measure=self.measurer(role)),
                [],
                0.0,
            )
        opened = Opened(
            stations=stations,
            duels=tuple(
                CasePair(*three)
                for three in zip(pairs, planned["base"], planned["new"], strict=True)
            ),
            rule=Gate(max_slowdown=limit, given=True),
            rule_source="a test",
            stem=request.out,
        )
        _begin_files(request, opened, pairs, self.events.append)
        return opened

    def crew(self, role):
        return SimpleNamespace(
            is_open=True,
            environment=ENVIRONMENT,
            lost=lambda: None,
            dismiss=lambda: None,
            selftest=lambda *_, **__: {"selftest": self.selftest},
            canaries=lambda **_: {"at": 0.0, "us": self.canaries_us(role)},
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
