"""A target is met by rows that were measured, and by nothing else."""

from __future__ import annotations

import pandas as pd
import pytest
import targets
from targets import MET, MISSED, NOT_MEASURED, TARGETS

from attnbench.cost import compute_cost
from attnbench.problem import Problem

COPY_GBPS = 4000.0
LLAMA = {"q_heads": 32, "kv_heads": 8, "head_dim": 128, "dtype": "bf16"}
SERVED = {**LLAMA, "q_len": 1, "kv_len": 8192, "batch": 16}
PROMPT = {**LLAMA, "q_len": 8192}
KEYS = ("batch", "q_len", "kv_len", "q_heads", "kv_heads", "head_dim", "dtype", "mask", "mode")
KEYS += ("kv_layout", "append")


def row(fields, latency_us, *, backend="triton_decode", status="ok", **more):
    """One process of a problem, priced as a run prices it."""
    problem = Problem(**fields)
    cost = compute_cost(problem)
    description = {key: getattr(problem, key) for key in KEYS}
    case = f"{problem.id}{backend}"
    rates = {
        "latency_us": latency_us,
        "bandwidth_gbps": cost.min_bytes / latency_us / 1e3,
        "tflops": cost.flops / latency_us / 1e6,
    }
    return {
        **description,
        "v_head_dim": problem.v_dim,
        "kv_dtype": problem.stored_dtype,
        "phase": problem.phase,
        "problem_id": problem.id,
        "case_id": case,
        "method_id": "m",
        "case_label": f"{problem.label} · {backend}",
        "backend": backend,
        "backend_label": backend,
        "backend_options": "{}",
        "l2": "cold",
        "copy_gbps": COPY_GBPS,
        "kv_cache_bytes": cost.kv_cache_bytes,
        "status": status,
        **(rates if status == "ok" else dict.fromkeys(rates)),
        **more,
    }


def latency_at(fields, share):
    """Microseconds at which a problem's least traffic is this share of the copy bandwidth."""
    return compute_cost(Problem(**fields)).min_bytes / (share * COPY_GBPS * 1e3)


def verdicts(*rows):
    """Every target's verdict, by the first words of its name."""
    return {one.target: one.verdict for one in targets.rank_backends(pd.DataFrame(rows))}


def test_without_rows_nothing_passes():
    assert set(verdicts().values()) == {NOT_MEASURED}
    assert len(verdicts()) == len(TARGETS) == 7


def test_other_problems_rows_are_no_evidence():
    elsewhere = [
        row({**SERVED, "kv_heads": 32}, 1.0),
        row({**SERVED, "batch": 1, "kv_len": 1024}, 1.0),
        row({**SERVED, "q_len": 4}, 1.0),
        row(SERVED, 1.0, l2="warm"),
        row(SERVED, 1.0, backend_options='{"splits": 4}'),
        row(SERVED, 1.0, backend="sdpa"),
        row({**PROMPT, "q_len": 4096}, 1.0, backend="triton_flash"),
        row({**PROMPT, "head_dim": 64}, 1.0, backend="triton_flash"),
    ]

    assert set(verdicts(*elsewhere).values()) == {NOT_MEASURED}


@pytest.mark.parametrize(("share", "verdict"), [(0.93, MET), (0.92, MET), (0.91, MISSED)])
def test_decode_is_held_against_the_measured_copy(share, verdict):
    # A hair within, because a rate comes back from a latency.
    found = verdicts(row(SERVED, latency_at(SERVED, share) * (1 - 1e-9)))

    assert found["decode bf16 32/8x128, 130 MB of KV and more"] == verdict


def test_the_worst_place_decides_and_processes_are_averaged():
    longer = {**SERVED, "kv_len": 32768}
    (standing, *_) = targets.rank_backends(
        pd.DataFrame(
            [
                row(SERVED, latency_at(SERVED, 0.97)),
                *(row(longer, latency_at(longer, share)) for share in (0.81, 1.0)),
                row(longer, latency_at(longer, 0.99), backend="sdpa"),
            ]
        )
    )

    assert standing.verdict == MISSED
    assert standing.worst == pytest.approx(90)
    assert standing.places == 2
    assert "1q1s32k" in standing.where or "16q1s32k" in standing.where
    assert standing.others == "sdpa 3960 GB/s, ours 3600"


def test_a_case_with_a_failed_process_is_not_measured():
    rows = [row(SERVED, latency_at(SERVED, 0.99)), row(SERVED, 1.0, status="incorrect")]

    assert set(verdicts(*rows).values()) == {NOT_MEASURED}


@pytest.mark.parametrize(("slower", "verdict"), [(1.02, MET), (1.05, MISSED)])
def test_paged_is_held_against_contiguous(slower, verdict):
    paged = {**SERVED, "kv_layout": "paged", "page_size": 16}
    found = verdicts(row(SERVED, 200.0), row(paged, 200.0 * slower))

    assert found["the same, paged, beside contiguous"] == verdict


@pytest.mark.parametrize(
    ("kind", "speedup", "verdict"),
    [("int8", 1.9, MET), ("int8", 1.7, MISSED), ("int4", 2.9, MET), ("int4", 2.7, MISSED)],
)
def test_codes_are_held_against_bf16(kind, speedup, verdict):
    codes = {**SERVED, "kv_dtype": kind}
    found = verdicts(row(SERVED, 200.0), row(codes, 200.0 / speedup))

    assert found[f"{kind} KV where bf16's is 256 MB and more"] == verdict


@pytest.mark.parametrize(
    ("changes", "name", "least"),
    [
        ({}, "prefill bf16 D128 8k, full", 500),
        ({"mask": "causal"}, "prefill bf16 D128 8k, causal", 480),
        ({"mask": "causal", "mode": "bwd"}, "backward bf16 D128 8k, causal", 350),
    ],
)
def test_flash_is_held_against_its_rate(changes, name, least):
    fields = {**PROMPT, **changes}
    flops = compute_cost(Problem(**fields)).flops
    for rate, verdict in ((least * 1.01, MET), (least * 0.99, MISSED)):
        found = verdicts(row(fields, flops / rate / 1e6, backend="triton_flash"))
        assert {key for key, one in found.items() if one != NOT_MEASURED} == {name}
        assert found[name] == verdict


def test_the_table_shows_what_is_missing_as_missing():
    text = targets.table(targets.rank_backends(pd.DataFrame()))

    assert text.count("| not measured |") == 7
    assert "| met |" not in text
