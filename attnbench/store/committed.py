"""On which GPUs each backend has run, from the runs committed in folders below results/.

The answer lies beside them, ``results/gpus.json``, and in a wheel; a test holds it to the runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

Gpus = Mapping[str, tuple[str, ...]]
_PACKAGE = Path(__file__).parents[1]
_COLUMNS = ["backend", "status", "device_arch", "device_name"]


def recorded_gpus() -> Gpus:
    """Read what is recorded: backends, and the names of the GPUs that they have ok rows of."""
    inside = _PACKAGE / "committed_gpus.json"
    path = inside if inside.is_file() else _PACKAGE.parent / "results" / "gpus.json"
    return {name: tuple(gpus) for name, gpus in json.loads(path.read_text("utf-8")).items()}


def gpus_of_runs(results: Path) -> Gpus:
    """Read the same from the runs in folders below ``results``.

    Runs that lie in results/ itself are somebody's own, and a file that cannot be read proves
    nothing; neither counts.
    """
    import pyarrow as pa
    from pyarrow import parquet

    found: dict[str, set[str]] = {}
    for path in sorted(results.glob("*/**/*.parquet")):
        try:
            rows = parquet.read_table(path, columns=_COLUMNS).to_pylist()
        except (OSError, pa.ArrowException):
            continue
        for row in rows:
            if row["status"] == "ok" and str(row["device_arch"]).startswith("sm_"):
                found.setdefault(row["backend"], set()).add(row["device_name"])
    return {backend: tuple(sorted(devices)) for backend, devices in sorted(found.items())}
