"""The speeds that the kernels are to reach, and where they stand: ``targets.py [RUN]...``.

Reads result files or folders (``results/h200/`` where none is named). A target is ``met`` or
``missed`` by rows that were measured, and ``not measured`` where there are none: nothing passes for
want of a row. Where a target holds for several problems, the worst one decides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

import attnbench

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "results" / "h200"
NOT_MEASURED, MET, MISSED = "not measured", "met", "missed"
_PLACE = ["batch", "kv_len"]
_MEASURED = ("latency_us", "bandwidth_gbps", "tflops")
_COLUMNS = (
    *("case_id", "method_id", "problem_id", "case_label", "backend", "backend_label"),
    *("backend_options", "status", "l2", "phase", "mode", "batch", "q_len", "kv_len", "q_heads"),
    *("kv_heads", "head_dim", "v_head_dim", "dtype", "kv_dtype", "mask", "append", "kv_layout"),
    *("kv_cache_bytes", "copy_gbps", *_MEASURED),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """One target: what was reached at the worst and the best place, and by which other backend."""

    target: str
    least: float
    unit: str
    worst: float | None = None
    where: str = ""
    places: int = 0
    others: str = ""

    @property
    def verdict(self) -> str:
        """Met or missed by measured rows; not measured without any."""
        if self.worst is None:
            return NOT_MEASURED
        return MET if self.worst >= self.least else MISSED


def rank_backends(frame: pd.DataFrame) -> list[Rank]:
    """Judge every target by the ok cases of these rows."""
    return [target(frame) for target in TARGETS]


def cases(frame: pd.DataFrame, backend: str | None = None) -> pd.DataFrame:
    """One line a case and method: the geometric mean over processes, where all of them are ok.

    Of the backend that is named, only as it is without options: a target speaks of no other.
    """
    chosen = frame.reindex(columns=[*_COLUMNS]) if frame.empty else frame
    if backend is not None:
        chosen = chosen[(chosen["backend"] == backend) & (chosen["backend_options"] == "{}")]
    bad = set(chosen[chosen["status"] != "ok"]["case_id"])
    chosen = chosen[~chosen["case_id"].isin(bad)]
    grouped = chosen.groupby(["case_id", "method_id"], sort=False, as_index=False)
    means = {one: grouped[one].agg(_geometric_mean)[one] for one in _MEASURED}
    return grouped.first().assign(**means)


def _geometric_mean(values: pd.Series) -> float:
    return float(np.exp(np.log(values.astype(float)).mean()))


def decode_share(frame: pd.DataFrame) -> Rank:
    """Contiguous decode against the measured copy bandwidth."""
    lines = _llama_decode(cases(frame, "triton_decode"), "contiguous", "bf16")
    lines = lines[lines["kv_cache_bytes"] >= 130e6]
    return _worst(
        Rank(target="decode bf16 32/8x128, 130 MB of KV and more", least=92, unit="% of copy"),
        lines,
        lambda line: 100 * line["bandwidth_gbps"] / line["copy_gbps"],
        others=_others(frame, "bandwidth_gbps", "GB/s"),
    )


def paged_share(frame: pd.DataFrame) -> Rank:
    """Paged decode against contiguous of the same batch and length."""
    found = cases(frame, "triton_decode")
    whole = _llama_decode(found, "contiguous", "bf16")
    paged = _llama_decode(found, "paged", "bf16")
    pairs = paged.merge(whole, on=_PLACE, suffixes=("", "_whole"))
    pairs = pairs[pairs["kv_cache_bytes_whole"] >= 130e6]
    return _worst(
        Rank(target="the same, paged, beside contiguous", least=97, unit="% as fast"),
        pairs,
        lambda line: 100 * line["latency_us_whole"] / line["latency_us"],
    )


def quantised(kind: str, least: float) -> Callable[[pd.DataFrame], Rank]:
    """How many times faster a quantised cache is than bf16's of the same batch and length."""

    def standing(frame: pd.DataFrame) -> Rank:
        found = cases(frame, "triton_decode")
        plain = _llama_decode(found, "contiguous", "bf16")
        codes = _llama_decode(found, "contiguous", kind)
        pairs = codes.merge(plain, on=_PLACE, suffixes=("", "_plain"))
        pairs = pairs[pairs["kv_cache_bytes_plain"] >= 256e6]
        return _worst(
            Rank(target=f"{kind} KV where bf16's is 256 MB and more", least=least, unit="x bf16"),
            pairs,
            lambda line: line["latency_us_plain"] / line["latency_us"],
        )

    return standing


def flash(name: str, mode: str, mask: str, least: float) -> Callable[[pd.DataFrame], Rank]:
    """Arithmetic rate of triton_flash at head_dim 128 and 8k rows."""

    def standing(frame: pd.DataFrame) -> Rank:
        lines = cases(frame, "triton_flash")
        lines = lines[
            (lines["mode"] == mode)
            & (lines["mask"] == mask)
            & (lines["dtype"] == "bf16")
            & (lines["head_dim"] == 128)
            & (lines["v_head_dim"] == 128)
            & (lines["q_len"] == 8192)
            & (lines["kv_len"] == 8192)
        ]
        return _worst(
            Rank(target=name, least=least, unit="TFLOP/s"),
            lines,
            lambda line: line["tflops"],
            others=_others(frame, "tflops", "TFLOP/s"),
        )

    return standing


TARGETS: tuple[Callable[[pd.DataFrame], Rank], ...] = (
    decode_share,
    paged_share,
    quantised("int8", 1.8),
    quantised("int4", 2.8),
    flash("prefill bf16 D128 8k, full", "fwd", "none", 500),
    flash("prefill bf16 D128 8k, causal", "fwd", "causal", 480),
    flash("backward bf16 D128 8k, causal", "bwd", "causal", 350),
)


def _llama_decode(lines: pd.DataFrame, layout: str, kv_dtype: str) -> pd.DataFrame:
    return lines[
        (lines["phase"] == "decode")
        & (lines["q_len"] == 1)
        & (lines["q_heads"] == 32)
        & (lines["kv_heads"] == 8)
        & (lines["head_dim"] == 128)
        & (lines["dtype"] == "bf16")
        & (lines["kv_dtype"].fillna(lines["dtype"]) == kv_dtype)
        & (lines["kv_layout"] == layout)
        & (lines["append"] == 0)
        & (lines["mask"].isin(["none", "causal"]))
        & (lines["l2"] == "cold")
    ]


def _worst(
    standing: Rank,
    lines: pd.DataFrame,
    reached: Callable[[pd.Series], float],
    others: Callable[[pd.Series], str] | None = None,
) -> Rank:
    if lines.empty:
        return standing
    values = lines.apply(reached, axis=1)
    worst = lines.loc[values.idxmin()]
    return replace(
        standing,
        worst=float(values.min()),
        where=str(worst["case_label"]),
        places=len(lines),
        others=others(worst) if others else "",
    )


def _others(frame: pd.DataFrame, column: str, unit: str) -> Callable[[pd.Series], str]:
    """Name the best other backend on the problem of the worst line, and both rates there."""

    def named(worst: pd.Series) -> str:
        found = cases(frame)
        same = found[
            (found["problem_id"] == worst["problem_id"])
            & (found["method_id"] == worst["method_id"])
            & (found["backend"] != worst["backend"])
        ]
        if same.empty:
            return "no other backend measured there"
        best = same.loc[same[column].idxmax()]
        return f"{best['backend_label']} {best[column]:.0f} {unit}, ours {worst[column]:.0f}"

    return named


def table(found: Sequence[Rank]) -> str:
    """The targets as a Markdown table."""
    rows = [
        f"| {one.target} | >= {one.least:g} {one.unit} | {_reached(one)} | {one.verdict} | "
        f"{one.where or '-'} | {one.others or '-'} |"
        for one in found
    ]
    head = "| target | to reach | reached, at the worst place | | where | beside it |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _reached(one: Rank) -> str:
    if one.worst is None:
        return "-"
    return f"{one.worst:.3g} {one.unit} (the worst of {one.places})"


def load(paths: Sequence[Path]) -> pd.DataFrame:
    """Rows of every result file that is named or lies in a named folder, ours of A/A left out."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.parquet")) if not path.suffix else [path]
    kept = [one for one in files if not one.name.startswith("noise-")]
    return attnbench.load(kept) if kept else pd.DataFrame()


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; a missed target is a finding, not an error."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("paths", nargs="*", type=Path, default=[FOLDER])
    print(table(rank_backends(load(parser.parse_args(argv).paths))))  # noqa: T201  a program
    return 0


if __name__ == "__main__":
    sys.exit(main())
