"""Measured ceilings, kept by device so that they are measured once.

One small JSON file in the user's cache folder; a file that does not read is measured over.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from attnbench.environment import Environment
from attnbench.errors import OutputError
from attnbench.problem import digest
from attnbench.store.atomic import write_text


def cache_file() -> Path:
    """Where ceilings are kept: $XDG_CACHE_HOME/attnbench, or ~/.cache/attnbench.

    Raises:
        OSError: neither is known, as for a user id that a container has no name for.

    """
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "attnbench" / "ceilings.json"
    try:
        return Path.home() / ".cache" / "attnbench" / "ceilings.json"
    except RuntimeError as error:
        raise FileNotFoundError(str(error)) from error


def ceilings_key(environment: Environment) -> str:
    """Name what a ceiling hangs on: device and driver; on a CPU cores, threads and torch."""
    device = environment.device
    return digest(
        {
            "device": device.id,
            "uuid": device.uuid,
            "driver": device.driver,
            "cores": device.cores,
            "threads": environment.threads,
            "torch": environment.torch_version,
        }
    )


def stored_ceilings(environment: Environment) -> dict[str, Any] | None:
    """Return the ceilings of this device as they were stored, or None."""
    found = _all().get(ceilings_key(environment))
    return found if isinstance(found, dict) else None


def store_ceilings(environment: Environment, ceilings: dict[str, Any]) -> None:
    """Keep the ceilings of this device; a cache that cannot be written is no error."""
    kept = {**_all(), ceilings_key(environment): ceilings}
    try:
        place = cache_file()
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    except (OutputError, OSError):
        return


def _all() -> dict[str, Any]:
    try:
        found = json.loads(cache_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
