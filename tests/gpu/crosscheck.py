"""Our latencies beside other people's timers: ``python tests/gpu/crosscheck.py``.

Each problem is measured by a run of attnbench with every timer that it has, and then by Triton's
do_bench, by NVBench (cuda-bench) and from CUPTI's records, on the same calls, each in a process of
its own. Above 50 us two timers agree where they differ by less than 2 %; where they do not, the
difference is printed. With ``--lengths`` the calls are waits of a length that the device's own
clock tells.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # ``rulers`` lies beside this file and is part of no package

RULERS = ("do_bench", "cuda_bench", "cupti_spans", "host_clock")
AGREE, FROM_S = 0.02, 50e-6
WAITS_NS = (10_000, 50_000, 200_000, 1_000_000, 10_000_000)
_RULER_S = 60
_LLAMA = {"q_heads": 32, "kv_heads": 8, "head_dim": 128, "dtype": "bf16"}
_SMALL = {"q_len": 64, "q_heads": 4, "head_dim": 64, "dtype": "bf16"}
# Of ours; the first is what the others are held against.
_TIMERS = {"cuda": ("event", "event_batched", "graph", "profiler"), "cpu": ("wall",)}

# (backend, option name or "", its values, fields of the problem)
Call = tuple[str, str, Sequence[int], dict[str, Any]]
BUSY = str(HERE / "backends" / "busy.py")
CALLS: tuple[Call, ...] = tuple(
    (backend, "", (), {**_LLAMA, **fields})
    for backend, fields in (
        ("sdpa", {"q_len": 1024, "mask": "causal"}),
        ("sdpa", {"q_len": 8192, "mask": "causal"}),
        ("sdpa", {"q_len": 1, "kv_len": 8192, "batch": 16}),
        ("triton_flash", {"q_len": 8192, "mask": "causal"}),
        ("triton_decode", {"q_len": 1, "kv_len": 1024, "batch": 1}),
        ("triton_decode", {"q_len": 1, "kv_len": 8192, "batch": 16}),
        ("triton_decode", {"q_len": 1, "kv_len": 32768, "batch": 64}),
    )
)
LENGTHS: tuple[Call, ...] = ((BUSY, "ns", WAITS_NS, _SMALL),)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print the table, and keep it beside the figures in ``--out``."""
    asked = _parser().parse_args(argv)
    calls = LENGTHS if asked.lengths else CALLS
    if asked.device == "cpu":
        calls = tuple((one, name, values, _SMALL) for one, name, values, _ in calls[:1])
    if asked.ruler:
        read = _by_ruler(asked.ruler, calls, asked.device)
        asked.out.write_text(json.dumps(read), encoding="utf-8")
        return 0
    asked.out.mkdir(parents=True, exist_ok=True)
    found = _by_us(calls, asked.device, asked.out)
    table = _keep(found, asked)
    for ruler in RULERS:
        found[ruler] = _by_child(ruler, asked)
        table = _keep(found, asked)  # a ruler that is cut off costs its own column alone
    print(table)  # noqa: T201  a program
    # A difference is a finding and is printed; that nothing of ours was measured is a failure.
    return 0 if any(isinstance(one, float) for one in found[next(iter(found))].values()) else 1


def _keep(found: Mapping[str, Mapping[str, float | str]], asked: argparse.Namespace) -> str:
    """Write what was read so far, as figures and as a table; return the table."""
    name = "lengths" if asked.lengths else "latencies"
    table = "\n".join(markdown(found, reference=next(iter(found))))
    (asked.out / f"{name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    (asked.out / f"{name}.md").write_text(table + "\n", encoding="utf-8")
    return table


def markdown(found: Mapping[str, Mapping[str, float | str]], *, reference: str) -> list[str]:
    """A row a call: what each timer reads, and how far from the reference where they disagree."""
    lines = [
        f"| call | {' | '.join(found)} |",
        f"|---|{'---|' * len(found)}",
    ]
    ours = found[reference]
    labels = dict.fromkeys(label for column in found.values() for label in column if label)
    for label in labels:
        cells = [_cell(column.get(label), ours.get(label)) for column in found.values()]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    reasons = [f"{name}: {column['']}" for name, column in found.items() if "" in column]
    return [
        *lines,
        "",
        f"In µs; differences from {reference} above {AGREE:.0%} are shown.",
        *reasons,
    ]


def _cell(read: float | str | None, reference: float | str | None) -> str:
    if read is None or isinstance(read, str):
        return read or "-"
    text = f"{read * 1e6:.1f}"
    if not isinstance(reference, float):
        return text
    off = read / reference - 1
    if max(read, reference) < FROM_S:
        return f"{text} (short)"
    return text if abs(off) <= AGREE else f"{text} ({off:+.1%})"


def label_of(backend: str, fields: Mapping[str, Any], option: str, value: int | None) -> str:
    """A call in few words, the same for us and for every ruler."""
    words = [Path(backend).stem, *(f"{key}={one}" for key, one in fields.items())]
    return " ".join([*words, *([f"{option}={value}"] if option else [])])


def suite_text(
    backend: str,
    option: str,
    values: Sequence[int],
    fields: Mapping[str, Any],
    timers: Sequence[str],
) -> str:
    """A suite of one call, measured with these timers."""
    options = f" {{options: {{{option}: {list(values)}}}}}" if option else ""
    return (
        f"suite: crosscheck\nproblem: {json.dumps(fields)}\nbackends:\n  {backend}:{options}\n"
        f"measure: {{processes: 1, timer: [{', '.join(timers)}]}}\n"
    )


def _by_us(calls: Sequence[Call], device: str, folder: Path) -> dict[str, dict[str, float | str]]:
    """Measure with every timer of ours; the first of them is the reference."""
    import attnbench

    timers = _TIMERS["cpu" if device == "cpu" else "cuda"]
    found: dict[str, dict[str, float | str]] = {one: {} for one in timers}
    for position, (backend, option, values, fields) in enumerate(calls):
        suite = folder / f"call-{position}.yaml"
        suite.write_text(suite_text(backend, option, values, fields, timers), encoding="utf-8")
        out = suite.with_suffix(".parquet")
        out.unlink(missing_ok=True)  # of an earlier comparison in the same folder
        attnbench.run(suite, device=device, out=out)
        for value in values or (None,):  # in the order of the calls; a run has an order of its own
            for column in found.values():
                column[label_of(backend, fields, option, value)] = "no row"
        for _, row in attnbench.load(out).iterrows():
            label = label_of(
                backend, fields, option, json.loads(row["backend_options"]).get(option)
            )
            ok = row["status"] == "ok"
            # What the plan decides has no timer: it holds for all of them.
            for timer in timers if row["timer"] not in found else (row["timer"],):
                found[timer][label] = row["latency_us"] / 1e6 if ok else row["status"]
    return found


def _by_child(ruler: str, asked: argparse.Namespace) -> dict[str, float | str]:
    """Have a process of its own measure; what it cannot do is the reason under the empty label."""
    path = asked.out / f"{ruler}.json"
    words = ["--ruler", ruler, "--device", asked.device, "--out", str(path)]
    command = [sys.executable, str(HERE / "crosscheck.py"), *words]
    command += ["--lengths"] if asked.lengths else []
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_RULER_S, check=False
        )
    except subprocess.TimeoutExpired:
        return {"": f"no end within {_RULER_S} s"}
    if done.returncode:
        return {"": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    read: dict[str, float | str] = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    return read


def _by_ruler(ruler: str, calls: Sequence[Call], device: str) -> dict[str, float]:
    """Prepare every call as a worker does and give them to another's timer."""
    import importlib

    from attnbench.measure.calls import Prepared
    from attnbench.measure.inputs import make_inputs
    from attnbench.problem import Problem
    from attnbench.registry import Registry

    prepared = {}
    for backend, option, values, fields in calls:
        module = Registry().load(Registry().describe(backend, folder=HERE))
        inputs = make_inputs(Problem(**fields), device)
        for value in values or (None,):
            options = {option: value} if option else {}
            call = Prepared(module, inputs, options).timed
            prepared[label_of(backend, fields, option, value)] = call
    return importlib.import_module(f"rulers.{ruler}").measure(prepared)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--device", default="cuda:0", help="cuda:N, or cpu for a rehearsal")
    parser.add_argument("--lengths", action="store_true", help="waits of known length instead")
    parser.add_argument("--out", type=Path, default=Path("crosscheck"), help="a folder")
    parser.add_argument("--ruler", choices=RULERS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
