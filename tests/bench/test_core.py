"""What the words of a case cost: a suite of 10,000 cases must plan in under two seconds."""

from __future__ import annotations

import pytest

from attnbench.case import Case
from attnbench.cost import compute_cost
from attnbench.problem import Problem

pytest.importorskip("pytest_benchmark")

CASES = 10_000


def problems(count=CASES):
    return [
        Problem(
            batch=1 + number % 64,
            q_len=1,
            kv_len=1024 + number,
            q_heads=32,
            kv_heads=8,
            head_dim=128,
            dtype="bf16",
            mask="causal",
        )
        for number in range(count)
    ]


def cases():
    made = [Case(problem=problem, backend="naive") for problem in problems()]
    return [(case.id, compute_cost(case.problem)) for case in made]


def test_ten_thousand_cases_are_made_named_and_priced_in_a_second(benchmark):
    made = benchmark.pedantic(cases, rounds=3, warmup_rounds=1)

    assert len({case_id for case_id, _ in made}) == CASES
    assert benchmark.stats["min"] < 1


def test_ten_thousand_labels(benchmark):
    ready = problems()

    labels = benchmark.pedantic(lambda: [one.label for one in ready], rounds=3)

    assert len(labels) == CASES
    assert benchmark.stats["min"] < 1


def test_a_ragged_batch_of_a_thousand_requests(benchmark):
    text = "_".join(f"q{1 + number}s{2 + number}" for number in range(1000))

    def made():
        problem = Problem(requests=text, q_heads=32, head_dim=128, dtype="bf16", mask="causal")
        return compute_cost(problem), problem.id

    cost, _ = benchmark(made)

    assert cost.pairs > 0
    assert benchmark.stats["min"] < 0.1


def test_block_sparse_at_128k_tokens(benchmark):
    one = {"q_len": 131072, "q_heads": 32, "head_dim": 128, "dtype": "bf16", "mask": "causal"}
    seeds = iter(range(10))

    def made():
        return compute_cost(Problem(**one, attention="block_sparse", seed=next(seeds)))

    cost = benchmark.pedantic(made, rounds=2)

    assert 0.24 < cost.flops / cost.flops_dense / 0.5 < 0.26
    assert benchmark.stats["min"] < 10
