"""The plan: reasons in words, in the order unsupported, memory, time."""

from __future__ import annotations

import re
from typing import Any

from attnbench.case import BUILT_IN, Case
from attnbench.device.rates import Ceilings, lookup
from attnbench.environment import Device
from attnbench.library import Library
from attnbench.method import Measure
from attnbench.planning.plan import Plan, describe_backends, make_plan
from attnbench.planning.prediction import Predictor
from attnbench.plugin import BackendDescription, Capabilities
from attnbench.problem import Problem

CPU = Device(
    kind="cpu", name="a CPU", arch="x86_64", memory_bytes=16 * 10**9, free_bytes=8 * 10**9, cores=2
)
CEILINGS = Ceilings(copy_gbps=20, tflops={"fp32": 0.2})


def case(kv_len: int, **changes: object) -> Case:
    fields = {"q_len": 1, "kv_len": kv_len, "q_heads": 8, "head_dim": 64, "dtype": "fp32"}
    return Case(problem=Problem(**{**fields, **changes}), backend="naive")  # type: ignore[arg-type]


def backend(**rules: Any) -> BackendDescription:
    return BackendDescription(
        name="naive", source=BUILT_IN, **{"capabilities": Capabilities(), **rules}
    )


def plan_of(*cases: Case, known: BackendDescription | None = None, **settings: object) -> Plan:
    known = known or backend()
    return make_plan(
        cases,
        Predictor(CPU, CEILINGS),
        Measure(**settings),  # type: ignore[arg-type]
        {("naive", BUILT_IN): known},
    )


def test_a_small_case_runs() -> None:
    plan = plan_of(case(128))
    assert [one.status for one in plan.planned] == ["run"]
    assert plan.seconds == 3 * plan.planned[0].predicted_s


def test_what_the_backend_cannot_do_comes_first() -> None:
    plan = plan_of(case(2**24, batch=64, mask="causal"))
    assert plan.planned[0].status == "unsupported"
    assert plan.planned[0].reason == "mask causal is not one of none"


def test_memory_comes_before_time_and_says_the_figures() -> None:
    plan = plan_of(case(2**20, batch=64))
    assert plan.planned[0].status == "skipped"
    reason = plan.planned[0].reason
    assert reason is not None
    assert re.fullmatch(r"needs 2\d\d GB, 8\.00 GB is half of what is available", reason)


def test_time_says_the_prediction_and_the_limit() -> None:
    plan = plan_of(case(2**18), case_limit_s=0.5)
    reason = plan.planned[0].reason
    assert reason is not None
    assert reason.startswith("about ")
    assert reason.endswith(" a process, over case_limit_s 0.5")


def test_a_backends_workspace_counts() -> None:
    hungry = backend(workspace_bytes=lambda _: 9 * 10**9)
    assert plan_of(case(128), known=hungry).planned[0].status == "skipped"


def test_a_rule_that_depends_on_options_is_asked_with_them() -> None:
    def why_not(problem: Problem, device: Device, *, splits: int = 1) -> str | None:
        assert device is CPU
        return f"{problem.phase} has no 8 splits" if splits == 8 else None

    one = case(128)
    split = Case(problem=one.problem, backend="naive", options=(("splits", 8),))
    known = backend(why_not=why_not)
    plan = plan_of(one, split, known=known)
    assert [row.status for row in plan.planned] == ["run", "unsupported"]


def test_a_third_party_backend_that_was_not_probed_is_let_through() -> None:
    plan = plan_of(case(128, mask="causal"), known=backend(capabilities=None))
    assert plan.planned[0].status == "run"


def test_each_method_is_planned() -> None:
    plan = plan_of(case(128), l2_states=("cold", "warm"))
    assert [one.method.l2 for one in plan.planned] == ["cold", "warm"]
    assert len({one.method.id for one in plan.planned}) == 2


def test_one_plan_serves_a_datasheet_device() -> None:
    sheet = lookup("h200")
    predictor = Predictor(sheet.device, sheet.ceilings)
    backends = {("naive", BUILT_IN): backend()}
    big = case(131072, batch=64, dtype="bf16", kv_heads=8)
    plan = make_plan([big], predictor, Measure(), backends)
    assert plan.planned[0].status == "run"
    assert plan.planned[0].method.timer == "event"


def test_seconds_for_energy_are_foreseen_on_a_gpu_and_skip_no_case() -> None:
    sheet = lookup("h200")
    predictor = Predictor(sheet.device, sheet.ceilings)
    backends = {("naive", BUILT_IN): backend()}
    one, cpu = case(1024, dtype="bf16"), plan_of(case(128), energy_s=9.0)

    plans = [
        make_plan([one], predictor, Measure(case_limit_s=5, energy_s=seconds), backends)
        for seconds in (0.0, 9.0)
    ]

    without, asked = (plan.planned[0] for plan in plans)
    assert without.status == asked.status == "run"
    assert asked.predicted_s == without.predicted_s + 9
    assert cpu.planned[0].predicted_s < 1


def test_a_backend_without_graphs_is_unsupported_under_that_timer_alone() -> None:
    known = backend(capabilities=Capabilities(graph=False))
    plan = plan_of(case(128), known=known, timers=("wall", "graph"))
    assert [one.status for one in plan.planned] == ["run", "unsupported"]
    assert plan.planned[1].reason == (
        "timer graph: the backend's call cannot be captured in a CUDA graph"
    )


def test_a_missing_library_is_reported_last_and_with_what_to_type() -> None:
    library = Library(
        module="x", distribution="no-such-thing", install="pip install x", checked="1"
    )
    known = backend(library=library)

    (missing,) = plan_of(case(128), known=known).planned
    (cannot,) = plan_of(case(128, mask="causal"), known=known).planned

    assert missing.status == cannot.status == "unsupported"
    assert missing.reason == "no-such-thing is not installed: pip install x"
    assert cannot.reason == "mask causal is not one of none"


def test_a_plan_for_another_machine_takes_libraries_for_installed() -> None:
    one = Case(problem=case(128).problem, backend="flash_attn")
    key = ("flash_attn", BUILT_IN)

    assert describe_backends([one])[key].library is not None
    assert describe_backends([one], elsewhere=True)[key].library is None
