"""Where a run comes from."""

from __future__ import annotations

from attnbench.report.points import gather
from attnbench.report.provenance import provenance
from attnbench.store import load, read


def test_what_is_needed_to_repeat_a_run_is_said(made):
    path = made.run(made.sweep(lengths=1, batches=(1,), heads=(8,)), method={"sample_s": 0.3})
    (one,) = provenance(gather(load(path)), {"r1": read(path).metadata})
    facts = dict(one.facts)

    assert facts["device"] == "NVIDIA H200, sm_90, 150 GB"
    assert facts["driver"] == "580.65"
    assert facts["torch"] == "2.13.0"
    assert facts["rules"] == "sample_s 0.3"
    assert facts["ceilings"] == "memory 4.29 TB/s, bf16 720 TFLOP/s (measured)"
    assert facts["clocks seen"].startswith("1970 to 1980 MHz")
    assert one.suite_text.startswith("suite: made")


def test_what_is_not_known_is_left_out(made):
    path = made.run(made.ok_rows(made.decode(), "sdpa"))
    (one,) = provenance(gather(load(path)), {})

    assert one.suite_text is None
    assert "triton" not in dict(one.facts)
    assert all(text for _, text in one.facts)
