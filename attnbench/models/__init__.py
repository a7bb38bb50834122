"""Named head layouts, layer groups from a config.json, MHA to GQA; nothing is fetched."""

from __future__ import annotations

import difflib
from pathlib import Path

from attnbench.errors import InputError
from attnbench.models.config import from_config
from attnbench.models.convert import mean_pool_heads
from attnbench.models.layers import GIVEN, MODELS, LayerGroup, Model

__all__ = [
    "GIVEN",
    "MODELS",
    "LayerGroup",
    "Model",
    "find",
    "from_config",
    "is_config",
    "mean_pool_heads",
]


def find(reference: str, *, folder: Path) -> Model:
    """Look up a name, or read the ``./config.json`` seen from ``folder``.

    Raises:
        InputError: an unknown name, with the nearest one, or a config that cannot be read.

    """
    if is_config(reference):
        path = folder / Path(reference).expanduser()
        return from_config(path / "config.json" if path.is_dir() else path)
    if reference in MODELS:
        return MODELS[reference]
    close = difflib.get_close_matches(reference.casefold(), MODELS, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else "attnbench list models shows them"
    raise InputError(f"unknown model {reference!r}", hint=hint)


def is_config(reference: str) -> bool:
    """Whether a reference is a path to a config file and no name."""
    return "/" in reference or reference.endswith(".json")
