from __future__ import annotations

from attnbench.filter import parse
from attnbench.suite import Gate, Limit


def test_the_last_limit_that_matches_wins():
    gate = Gate(
        max_slowdown=0.02,
        limits=(
            Limit(where=parse("decode"), max_slowdown=0.05),
            Limit(where=parse("kv_len>=4k"), max_slowdown=0.1),
        ),
    )

    assert gate.limit_for({"label": "prefill", "kv_len": 1}) == 0.02
    assert gate.limit_for({"label": "decode", "kv_len": 1}) == 0.05
    assert gate.limit_for({"label": "decode", "kv_len": 4096}) == 0.1
    assert gate.limit_for({"case_label": "decode", "kv_len": 1}) == 0.05
