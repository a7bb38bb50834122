"""The result file: its columns, its journal, reading, writing, repairing, joining, exporting."""

from attnbench.store.merge import merge_runs
from attnbench.store.repair import Repaired, repair_run
from attnbench.store.resume import Difference, Done, Unfinished, differences, done, unfinished_runs
from attnbench.store.run import Run, load, read, result_files
from attnbench.store.writer import RunWriter

__all__ = [
    "Difference",
    "Done",
    "Repaired",
    "Run",
    "RunWriter",
    "Unfinished",
    "differences",
    "done",
    "load",
    "merge_runs",
    "read",
    "repair_run",
    "result_files",
    "unfinished_runs",
]
