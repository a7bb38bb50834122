"""The runs that come with attnbench: those committed in folders below results/."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_COLUMNS = ["backend", "status", "device_arch", "device_name"]


def folder() -> Path:
    """Return where they are: inside a wheel's package, or beside an editable one."""
    inside = _PACKAGE / "committed_results"
    return inside if inside.is_dir() else _PACKAGE.parent / "results"


def gpus_of_backends(results: Path | None = None) -> Mapping[str, tuple[str, ...]]:
    """Say on which GPUs each backend has ok rows in the committed runs.

    Runs that lie in results/ itself are somebody's own, and a file that cannot be read proves
    nothing; neither counts.
    """
    paths = sorted((folder() if results is None else results).glob("*/**/*.parquet"))
    if not paths:  # and pyarrow is not loaded for it
        return {}
    import pyarrow as pa
    from pyarrow import parquet

    found: dict[str, set[str]] = {}
    for path in paths:
        try:
            rows = parquet.read_table(path, columns=_COLUMNS).to_pylist()
        except (OSError, pa.ArrowException):
            continue
        for row in rows:
            if row["status"] == "ok" and str(row["device_arch"]).startswith("sm_"):
                found.setdefault(row["backend"], set()).add(row["device_name"])
    return {backend: tuple(sorted(devices)) for backend, devices in found.items()}
