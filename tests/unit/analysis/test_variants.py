"""MHA, GQA, MQA and MLA: checked against figures worked out by hand."""

from __future__ import annotations

import pytest

from attnbench.analysis.variants import (
    Budget,
    Measured,
    Rates,
    measured_in,
    trade_off,
    variant_name,
    variants_of,
)
from attnbench.device.rates import Ceilings
from attnbench.models import MODELS, LayerGroup, Model
from attnbench.problem import Problem

GB = 10**9
LLAMA = MODELS["llama-3-70b"]  # 64 query heads, 8 KV heads, 128 wide, 80 layers


def rates(**changes):
    facts = {
        "device": "made up",
        "ceilings": Ceilings(copy_gbps=4000.0, tflops={"bf16": 800.0}, source="datasheet"),
        "ceilings_of": "datasheet",
        "measured": {},
    }
    return Rates(**{**facts, **changes})


def rows(model=LLAMA, made_rates=None, **changes):
    budget = {"memory_bytes": 141 * GB, "contexts": (8192,), **changes}
    found = trade_off(model, Budget(**budget), made_rates or rates())
    return {row.variant.name: row for row in found}


def test_the_variants_of_a_model_go_from_mha_to_mqa_and_mla():
    found = variants_of(LLAMA)

    names = [one.name for one in found]
    assert names == ["MHA", "GQA-32", "GQA-16", "GQA-8", "GQA-4", "GQA-2", "MQA", "MLA"]
    assert [one.name for one in found if one.is_own] == ["GQA-8"]


def test_a_model_with_latent_attention_keeps_its_own():
    found = {one.name: one for one in variants_of(MODELS["deepseek-v3"])}

    assert found["MLA"].is_own
    assert found["MLA"].decode == MODELS["deepseek-v3"].absorbed


@pytest.mark.parametrize(
    ("q_heads", "kv_heads", "name"), [(32, 32, "MHA"), (32, 8, "GQA-8"), (32, 1, "MQA")]
)
def test_a_variant_is_named_by_its_kv_heads(q_heads, kv_heads, name):
    assert variant_name(q_heads, kv_heads) == name


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("MHA", 80 * 64 * (128 + 128) * 2),  # layers x KV heads x (K + V) x bytes of bf16
        ("GQA-8", 80 * 8 * (128 + 128) * 2),
        ("MQA", 80 * 1 * (128 + 128) * 2),
        ("MLA", 80 * (512 + 64) * 2),  # V lies inside the latent
    ],
)
def test_the_cache_of_a_token(name, by_hand):
    assert rows()[name].kv_bytes_a_token == by_hand


def test_the_largest_batch_is_what_the_memory_holds_beside_the_weights():
    # 141e9 // (327,680 B a token x 8192 tokens) = 52; with 70 GB of weights 26.
    assert rows()["GQA-8"].costs[0].largest_batch == 52
    assert rows(weight_bytes=70 * GB)["GQA-8"].costs[0].largest_batch == 26
    assert rows(weight_bytes=200 * GB)["GQA-8"].costs[0].largest_batch == 0


def test_a_decode_step_takes_its_traffic_over_the_bandwidth():
    # K and V of 8 sequences, and q and o (64 heads x 128, bf16), in each of 80 layers.
    by_hand = 80 * (8 * 8192 * 8 * 256 * 2 + 2 * 8 * 64 * 128 * 2) / 4000e9
    figure = rows()["GQA-8"].costs[0].decode

    assert figure.seconds == pytest.approx(by_hand, rel=1e-12)
    assert (figure.source, figure.bound, figure.backends) == ("predicted", "memory", ())


def test_a_prefill_takes_its_flops_over_the_rate_whatever_the_kv_heads():
    # 2 FLOP x pairs below the diagonal x (128 + 128) x 64 heads x 80 layers.
    flops = 2 * (8192 * 8193 // 2) * 256 * 64 * 80
    for name in ("MHA", "GQA-8", "MQA"):
        cost = rows()[name].costs[0]
        assert cost.prefill_flops == flops
        assert cost.prefill.seconds == pytest.approx(flops / 800e12)
        assert cost.prefill.bound == "compute"


def test_the_latent_form_pays_in_prefill_and_its_step_can_be_compute_bound():
    # As written q and k are 128 + 64 wide and v 128; absorbed 576 and 512.
    prefill = 2 * (8192 * 8193 // 2) * (192 + 128) * 64 * 80
    step = 2 * 8 * 8192 * (576 + 512) * 64 * 80
    slow = rates(ceilings=Ceilings(copy_gbps=4000.0, tflops={"bf16": 80.0}))
    cost = rows(made_rates=slow)["MLA"].costs[0]

    assert cost.prefill_flops == prefill
    assert cost.decode.bound == "compute"
    assert cost.decode.seconds == pytest.approx(step / 80e12)


def test_what_does_not_fit_has_no_time():
    cost = rows()["MHA"].costs[0]

    assert cost.largest_batch == 6
    assert (cost.fits, cost.decode) == (False, None)


def test_shared_heads_are_divided_until_each_device_has_one():
    found = rows(tp=16)

    assert found["GQA-8"].kv_bytes_a_token == found["MQA"].kv_bytes_a_token == 80 * 256 * 2
    assert found["MLA"].kv_bytes_a_token == 80 * 576 * 2  # the latent is on every device


def test_heads_that_do_not_divide_are_a_reason_and_no_figure():
    found = rows(MODELS["qwen2.5-7b"], tp=2)  # 28 heads: GQA-7 among two devices

    assert found["GQA-7"].kv_bytes_a_token is None
    assert "7 kv_heads cannot be divided" in found["GQA-7"].why_not


def test_a_quantised_cache_counts_its_scales():
    # int8 codes and one fp32 scale a token, head and tensor.
    assert rows(kv_dtype="int8")["GQA-8"].kv_bytes_a_token == 80 * 8 * (256 + 2 * 4)


def test_windowed_layers_read_their_window():
    narrow = LayerGroup(q_heads=8, kv_heads=8, head_dim=64, layers=1, mask="window", window=1024)
    wide = LayerGroup(q_heads=8, kv_heads=8, head_dim=64, layers=1)
    both = rows(Model(name="both", groups=(narrow, wide)), batch=1)["MHA"]

    per_token = 8 * 128 * 2
    read = (1024 + 8192) * per_token + 2 * (2 * 8 * 64 * 2)
    assert both.kv_bytes_a_token == 2 * per_token
    assert both.costs[0].decode.seconds == pytest.approx(read / 4000e9)
    assert rows(Model(name="both", groups=(narrow, wide)))["MLA"].variant.decode[0].window == 1024


def test_a_measured_problem_takes_the_place_of_a_predicted_one():
    problem = Problem(
        batch=8, q_len=1, kv_len=8192, q_heads=64, kv_heads=8, head_dim=128, dtype="bf16"
    )
    known = rates(measured={problem.id: Measured(seconds=1e-3, backend="sdpa")})
    found = rows(made_rates=known)

    own = found["GQA-8"].costs[0]
    assert own.decode.seconds == pytest.approx(80e-3)
    assert (own.decode.source, own.decode.backends) == ("measured", ("sdpa",))
    assert own.prefill.source == "predicted"
    assert found["MQA"].costs[0].decode.source == "predicted"


def test_a_sum_of_both_kinds_says_so():
    model = MODELS["gemma-2-9b"]
    windowed = model.groups[0]
    problem = Problem(batch=8, q_len=1, kv_len=8192, dtype="bf16", **windowed.fields("decode"))
    known = rates(measured={problem.id: Measured(seconds=1e-3, backend="sdpa")})

    assert rows(model, known)["GQA-8"].costs[0].decode.source == "partly measured"


def test_a_dtype_without_a_rate_has_no_time():
    found = rows(made_rates=rates(ceilings=Ceilings(copy_gbps=4000.0, tflops={"fp16": 1.0})))

    assert found["GQA-8"].costs[0].decode is None
    assert found["GQA-8"].kv_bytes_a_token == 327_680


def test_of_a_run_the_fastest_ok_case_of_a_problem_counts(tmp_path):
    import importlib.util
    from pathlib import Path

    place = Path(__file__).parents[1] / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("report_runs", place)
    runs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(runs)
    problem = runs.decode()
    path = runs.Maker(tmp_path).run(
        [
            *runs.ok_rows(problem, "sdpa", latency_us=50.0, noise=1e-9),
            *runs.ok_rows(problem, "naive", latency_us=70.0, noise=1e-9),
            runs.other_row(runs.decode(8), "naive", "oom", "no room"),
        ]
    )

    found = measured_in([path])

    assert set(found) == {problem.id}
    assert found[problem.id].backend == "sdpa"
    assert found[problem.id].seconds == pytest.approx(50e-6, rel=1e-3)
