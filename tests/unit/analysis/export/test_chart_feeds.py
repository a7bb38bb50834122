"""github-action-benchmark and Bencher: against their published formats, written down as models."""

from __future__ import annotations

import json
from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, RootModel

from attnbench.analysis.export import export
from attnbench.store import load

Name = Annotated[str, Field(min_length=1)]


class Entry(BaseModel):
    """`BenchmarkResult` of github-action-benchmark's src/extract.ts."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name
    unit: Name
    value: FiniteFloat
    range: str | None = None
    extra: str | None = None


class Metric(BaseModel):
    """A metric of https://bencher.dev/bmf.json."""

    model_config = ConfigDict(extra="forbid", strict=True)

    value: FiniteFloat
    lower_value: FiniteFloat | None = None
    upper_value: FiniteFloat | None = None


# Names and slugs have the lengths that Bencher's reference page gives.
Benchmark = Annotated[str, Field(min_length=1, max_length=1024)]
Measure = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]


class CustomSmallerIsBetter(RootModel[list[Entry]]):
    """The whole input of `tool: customSmallerIsBetter`."""


class BencherMetricFormat(RootModel[dict[Benchmark, dict[Measure, Metric]]]):
    """A whole file of Bencher Metric Format."""


@pytest.fixture
def frame(tmp_path, store_row, finished_run):
    facts = {"device_name": "NVIDIA H200", "timer": "event", "l2": "cold", "peak_bytes": 4096}
    rows = [
        store_row(0, process, latency_us=latency, bandwidth_gbps=4310.0, notes=["NOISY"], **facts)
        for process, latency in enumerate((10.0, 40.0, 20.0))
    ]
    rows += [store_row(1), store_row(2, status="oom")]
    rows.append(store_row(3, case_label=f"decode {'1q1s1k_' * 300} · naive"))
    return load(finished_run(tmp_path / "x.parquet", rows))


def test_a_chart_feed_is_what_github_action_benchmark_reads(frame):
    text = export(frame, "github-action-benchmark").text

    first, second, _ = CustomSmallerIsBetter.model_validate_json(text).root
    assert first.name == "decode #0 · naive"
    assert (first.value, first.unit) == (pytest.approx(20.0), "us")
    assert first.range == "10 to 40"
    assert first.extra == "3 processes\nNVIDIA H200\nevent cold\nNOISY"
    assert "range" not in json.loads(text)[1]
    assert second.extra == "1 process"


def test_metrics_are_what_bencher_reads(frame):
    text = export(frame, "bencher").text

    found = BencherMetricFormat.model_validate_json(text).root
    first = found["decode #0 · naive"]
    assert first["latency"].value == pytest.approx(20_000)
    assert (first["latency"].lower_value, first["latency"].upper_value) == (
        pytest.approx(10_000),
        pytest.approx(40_000),
    )
    assert first["bandwidth-gbps"].value == 4310
    assert first["peak-bytes"].value == 4096
    assert list(found["decode #1 · naive"]) == ["latency"]


def test_a_name_that_bencher_would_refuse_is_cut_and_keeps_its_id(frame):
    names = list(json.loads(export(frame, "bencher").text))

    assert len(names[2]) == 1024
    assert names[2].endswith("… 000000000003")
