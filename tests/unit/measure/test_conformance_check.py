"""Planted defects: each backend of tests/fixtures/conformance but ``sound`` has one, and is caught.

What is caught is caught in the theme that stands for it, with words that say what is wrong.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from attnbench.conformance import THEMES, WAYS, placeholder_case, trials_of
from attnbench.measure.conformance_check import check_trial, lay_out
from attnbench.measure.context import DeviceContext
from attnbench.measure.inputs import make_inputs, tensors_of
from attnbench.measure.reference import Reference
from attnbench.problem import Problem

pytestmark = pytest.mark.torch
PLANTED = Path(__file__).parents[2] / "fixtures" / "conformance"
# A file: the theme that catches it, the kind of fault, and what is said.
DEFECTS = {
    "drops_the_last_tile": ("lengths", "output", "o is off by"),
    "deals_heads_round": ("heads", "output", "o is off by"),
    "knows_one_scale": ("head_dims", "output", "o is off by"),
    "rounds_to_half": ("dtypes", "output", "times what plain PyTorch"),
    "aligns_top_left": ("masks", "output", "o is off by"),
    "window_off_by_one": ("masks", "output", "o is off by"),
    "fills_empty_rows": ("empty_rows", "output", "rows that see no key"),
    "exp_without_a_maximum": ("magnitudes", "output", "with every score near +120: o has NaN"),
    "takes_strides_for_granted": ("strides", "output", "contiguous inputs are right"),
    "reads_past_the_end": ("lengths", "output", "reads what is not its own"),
    "ignores_softcap": ("features", "output", "o is off by"),
    "slopes_for_powers_of_two": ("features", "output", "o is off by"),
    "turns_only_neox": ("rope", "output", "o is off by"),
    "appends_too_much": ("append", "inputs", "more than the slots that it appends to"),
    "pads_every_request": ("ragged", "output", "o is off by"),
    "believes_pages_in_order": ("paged", "output", "o has NaN or inf in 20 of 40 rows"),
    "reads_whole_pages": ("paged", "output", "reads what is not its own"),
    "swaps_nibbles": ("quantised", "output", "o is off by"),
    "keeps_every_block": ("variants", "output", "o is off by"),
    "wrong_dq": ("gradients", "output", "dq is off by"),
    "wrong_dk": ("gradients", "output", "dk is off by"),
    "wrong_dv": ("gradients", "output", "dv is off by"),
    "adds_in_any_order": ("lengths", "calls", "differ in their bits"),
    "scales_q_in_place": ("lengths", "inputs", "the call wrote its inputs"),
    "remembers_its_answer": ("lengths", "answers", "after q was drawn again in place"),
}
# Caught by the process that runs trials, tests/unit/execute/test_conformance.py.
ELSEWHERE = {"dies_over_groups"}


@pytest.fixture(scope="module")
def bench():
    yield DeviceContext.open("cpu", stage=lambda _: None)
    # What the planted files imported from the same folder.
    sys.modules.pop("sound", None)
    sys.path[:] = [one for one in sys.path if one != str(PLANTED)]


@pytest.fixture
def faults_of(bench):
    """Try a planted backend: the trials that it fails, each with its answer."""

    def faults(name, theme=None, most=None):
        planted = placeholder_case(name, source=str(PLANTED / f"{name}.py"))
        module = bench.module_of(planted)
        found = []
        for trial in trials_of(planted, module.capabilities):
            if theme not in (None, trial.theme):
                continue
            answer = check_trial(trial.case, trial.way, bench)
            if answer["status"] not in ("ok", "unsupported"):
                found.append((trial, answer))
            if len(found) == most:
                break
        return found

    return faults


def test_the_sound_one_passes_every_trial(faults_of):
    assert faults_of("sound") == []


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_caught_in_its_theme(faults_of, name):
    theme, kind, words = DEFECTS[name]

    ((_, answer),) = faults_of(name, theme, most=1)

    assert answer["status"] == "incorrect", answer["reason"]
    assert kind in {word for word, _ in answer["faults"]}
    assert words in answer["reason"]


def test_every_planted_backend_is_listed():
    files = {one.stem for one in PLANTED.glob("*.py")}

    assert files == {"sound", *DEFECTS, *ELSEWHERE}


def test_every_theme_catches_something():
    caught = {theme for theme, _, _ in DEFECTS.values()}

    assert set(THEMES) == caught


def test_a_backend_that_says_that_it_adds_in_any_order_is_not_held_to_bits(bench, tmp_path):
    honest = tmp_path / "honest.py"
    text = (PLANTED / "adds_in_any_order.py").read_text(encoding="utf-8")
    honest.write_text(text.replace("    return attend\n", "    " + _NOTED), encoding="utf-8")
    planted = placeholder_case("honest", source=str(honest))
    sys.path.append(str(PLANTED))

    trials = trials_of(planted, bench.module_of(planted).capabilities)
    answers = [check_trial(one.case, one.way, bench) for one in trials[:6]]

    assert {one["status"] for one in answers} == {"ok"}


_NOTED = 'attend.notes = ("NONDETERMINISTIC",)\n    return attend\n'


def test_a_failure_is_reported_with_its_line(bench, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text(
        "from attnbench.plugin import Capabilities\n"
        "capabilities = Capabilities()\n"
        "def prepare(inputs):\n"
        "    raise ValueError('no such tile')\n"
    )
    planted = placeholder_case("broken", source=str(broken))

    answer = check_trial(
        trials_of(planted, bench.module_of(planted).capabilities)[0].case, "guarded", bench
    )

    assert answer["status"] == "failed"
    assert answer["reason"] == "ValueError: no such tile (broken.py:4)"


HEADS = {"q_heads": 4, "kv_heads": 2, "head_dim": 16, "dtype": "fp32"}
DENSE = Problem(batch=2, q_len=5, kv_len=9, **HEADS)
PROBLEMS = [
    DENSE,
    Problem(batch=2, q_len=5, kv_len=9, mode="bwd", **HEADS),
    Problem(requests="2q3s9_q1s4", kv_dtype="fp8_e4m3", **HEADS),
    Problem(q_len=1, kv_len=9, kv_layout="paged", page_size=4, kv_dtype="int4", **HEADS),
    Problem(q_len=2, kv_len=9, append=1, rope="neox", bias="alibi", sink_logits=True, **HEADS),
    Problem(q_len=1, kv_len=9, **{**HEADS, "kv_heads": 1}, v_head_dim=8, latent=True),
]
each_problem = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda one: one.label)


def same(one, other):
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


@each_problem
@pytest.mark.parametrize("way", ["guarded", "strided"])
def test_the_values_stay_and_what_lies_around_them_is_nan(problem, way):
    plain = make_inputs(problem, "cpu")

    laid = lay_out(make_inputs(problem, "cpu"), way)

    for name, tensor in tensors_of(plain).items():
        found = getattr(laid, name)
        assert same(found.detach(), tensor.detach()), name
        assert found.requires_grad == tensor.requires_grad
        inside_k = problem.latent and name == "v"
        if tensor.is_floating_point() and tensor.element_size() > 1 and not inside_k:
            storage = found.detach().untyped_storage()
            behind = torch.empty(0, dtype=tensor.dtype).set_(storage)
            assert behind.numel() > tensor.numel()
            assert behind.isnan().sum() >= behind.numel() - tensor.numel()


def test_guarded_tensors_are_contiguous_and_aligned_and_strided_ones_are_views_by_token():
    guarded, strided = (lay_out(make_inputs(DENSE, "cpu"), way) for way in ("guarded", "strided"))

    assert guarded.k.is_contiguous()
    assert guarded.k.data_ptr() % 64 == 0
    assert strided.k.stride(1) < strided.k.stride(2)
    assert strided.k.stride(3) == 1


def test_a_latent_v_stays_inside_k():
    laid = lay_out(make_inputs(PROBLEMS[-1], "cpu"), "strided")

    assert laid.v.data_ptr() == laid.k.data_ptr()
    assert laid.v.shape[-1] == 8


@pytest.mark.parametrize(("way", "sign"), [("high", 1), ("low", -1)])
def test_scores_are_pushed_beyond_what_exp_can_hold(way, sign):
    laid = lay_out(make_inputs(DENSE, "cpu"), way)

    scores = laid.q @ laid.k.repeat_interleave(2, 1).mT * laid.scale
    assert (sign * scores).min() > 104


@each_problem
def test_mild_inputs_hold_no_nan_outside_what_an_append_writes(problem):
    if problem.append:
        pytest.skip("its cache holds NaN on purpose")
    laid = lay_out(make_inputs(problem, "cpu", poison=False), "strided", mild=True)

    for tensor in tensors_of(laid).values():
        behind = torch.empty(0, dtype=tensor.dtype).set_(tensor.detach().untyped_storage())
        assert not behind.float().isnan().any()


def test_the_reference_does_not_see_the_layout():
    problem = PROBLEMS[0]
    expected = Reference.of(make_inputs(problem, "cpu")).expected["o"]

    for way in ("guarded", "strided"):
        found = Reference.of(lay_out(make_inputs(problem, "cpu"), way)).expected["o"]
        # Sums of fp64 may go in another order where rows lie otherwise, as on a single core.
        torch.testing.assert_close(found.exact, expected.exact, rtol=1e-12, atol=1e-14)
    assert set(WAYS) == {"guarded", "strided", "high", "low"}
