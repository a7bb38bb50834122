"""Both files of an ``ab`` with known changes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).with_name("made_runs.py"))
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)

SUITE = (
    "suite: made\nproblem: {q_len: 1, q_heads: 1, head_dim: 8, dtype: bf16}\nbackends: {sdpa: }\n"
    "gate: {max_slowdown: 5%}\n"
)


def make_sides(
    folder, *, cases=12, rounds=8, fresh=0, slower=None, suspects=(), noise=0.003, seed=1, **words
):
    """Write NAME.base.parquet and NAME.new.parquet; return their paths.

    ``slower`` are shares by case, ``suspects`` the cases that have ``fresh`` rounds more. Other
    words: ``backends`` of both sides, ``base`` and ``new`` as the footer has them, ``statuses``
    {(role, case): status}, ``run_id``, ``commits``, ``machine``: the share by which all that is
    beside the new side, canaries included, is slower.
    """
    rng = np.random.default_rng(seed)
    slower, statuses = slower or {}, words.get("statuses", {})
    backends = words.get("backends", ("sdpa", "sdpa"))
    rows = {"base": [], "new": []}
    for number in range(cases):
        count = rounds + (fresh if number in suspects else 0)
        level = 20.0 * 1.7 ** (number % 6)
        for role, backend in zip(rows, backends, strict=True):
            share = slower.get(number, words.get("machine", 0.0)) if role == "new" else 0.0
            changes = {
                "side": role,
                "run_id": words.get("run_id", "ab"),
                "backend": backend,
                "git_commit": words.get("commits", {}).get(role),
            }
            if status := statuses.get((role, number)):
                rows[role].append(made.make_row(number, 0, status=status, **changes))
                continue
            for process in range(count):
                middle = level * (1 + share) * np.exp(rng.normal(0, noise))
                samples = middle * np.exp(rng.normal(0, 0.002, 20))
                rows[role].append(made.make_row(number, process, samples, **changes))
    pairs = [[base, new] for base, new in zip(*map(ids_of, rows.values()), strict=True)]
    paths = []
    for role, found in rows.items():
        header = {
            "side": role,
            "base": words.get("base", "git:main"),
            "new": words.get("new", "the suite as it is"),
            "screen_rounds": rounds,
            "pairs": pairs,
        }
        path = folder / f"x.{role}.parquet"
        machine = words.get("machine", 0.0) if role == "new" else 0.0
        records = canaries_of(rounds, machine, np.random.default_rng(len(role)))
        paths.append(made.write_run(path, found, suite_text=SUITE, ab=header, records=records))
    return paths


def canaries_of(rounds, machine, rng):
    """Records of calls that never change, first and last in each process."""
    return [
        {
            "record": "canaries",
            "process": process,
            "when": when,
            "us": {
                name: us * (1 + machine) * float(np.exp(rng.normal(0, 0.002)))
                for name, us in (("copy", 400.0), ("gemm", 250.0), ("softmax", 90.0))
            },
        }
        for process in range(rounds)
        for when in ("first", "last")
    ]


def ids_of(rows):
    return list(dict.fromkeys(row["case_id"] for row in rows))
