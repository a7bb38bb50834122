"""From older result files to the present schema; files of a newer one are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from attnbench.errors import ResultFileError
from attnbench.store.columns import SCHEMA_VERSION

if TYPE_CHECKING:
    import pyarrow as pa

# From version n to n + 1: a function of the table as version n wrote it. A version that only added
# columns needs none, for a column that a file lacks is read as NULL.
UPGRADES: dict[int, Callable[[pa.Table], pa.Table]] = {}


def upgrade(table: pa.Table, written: int) -> pa.Table:
    """Bring a table that schema version ``written`` made to the present one, step by step."""
    for step in range(written, SCHEMA_VERSION):
        if step in UPGRADES:
            table = UPGRADES[step](table)
    return table


def refuse_newer(path: Path, written: int, author: str | None) -> None:
    """Refuse a file whose schema is newer than ours; ``author`` is the attnbench that wrote it.

    Raises:
        ResultFileError: says both versions and what to install.

    """
    if written <= SCHEMA_VERSION:
        return
    from importlib import metadata

    try:
        ours = f"this is attnbench {metadata.version('attnbench')}"
    except metadata.PackageNotFoundError:
        ours = "this attnbench"
    reads = "schema 1" if SCHEMA_VERSION == 1 else f"schemas 1 to {SCHEMA_VERSION}"
    by = f" (attnbench {author})" if author else ""
    wanted = f'"attnbench>={author}"' if author else "attnbench"
    raise ResultFileError(
        f"{path} uses result schema {written}{by}\n  {ours}, which reads {reads}",
        hint=f"pip install -U {wanted}",
    )
