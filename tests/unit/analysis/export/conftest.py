"""The rows and runs that the tests of the store are made of."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PLACE = Path(__file__).parents[2] / "store" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("store_conftest", PLACE)
store = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(store)

store_row, finished_run = store.store_row, store.finished_run
unfinished_run, fresh_python = store.unfinished_run, store.fresh_python
