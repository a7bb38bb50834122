"""NVBench through its Python package: a blocked stream, a flushed cache, its own stopping rule."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

_AXIS, _NAME, _TIMEOUT_S, _WARM_CALLS = "call", "attnbench", 3.0, 3
_MEDIAN, _MEAN = "nv/cold/time/gpu/median", "nv/cold/time/gpu/mean"


def measure(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median of each call in seconds, or its mean where NVBench gives no median."""
    import torch
    from cuda import bench
    from cuda.bench.results import BenchmarkResult

    names = list(calls)

    def timed(state: bench.State) -> None:
        call = calls[names[int(state.get_string(_AXIS))]]
        stream = torch.cuda.ExternalStream(state.get_stream().addressof())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_CALLS):  # what compiles must not wait behind a blocked stream
                call()
        torch.cuda.synchronize()

        def launch(launched: bench.Launch) -> None:
            own = torch.cuda.ExternalStream(launched.get_stream().addressof())
            with torch.cuda.stream(own):
                call()

        state.exec(launch, batched=False)

    made = bench.register(timed).set_name(_NAME).set_timeout(_TIMEOUT_S)
    made.add_string_axis(_AXIS, [str(one) for one in range(len(names))])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nvbench.json"
        bench.run_all_benchmarks([sys.argv[0], "--devices", "0", "--json", str(path)])
        states = BenchmarkResult.from_json(path)[_NAME].states
    found = {}
    for state in states:
        summary = state.summaries.get(_MEDIAN) or state.summaries.get(_MEAN)
        if summary is not None and summary.value is not None:
            found[names[int(state.point[_AXIS])]] = float(summary.value)
    return found
