"""Runs kernels in Triton's interpreter against the fp64 reference; one JSON line a case.

A program of its own, started with TRITON_INTERPRET=1: whether a kernel is interpreted is decided
when its module is imported, for the whole process. Reads cases from stdin, as JSON
``[backend, fields of a problem, options]``.
"""

from __future__ import annotations

import importlib
import json
import sys

import torch

from attnbench.measure.calls import Prepared
from attnbench.measure.check import check
from attnbench.measure.inputs import checksum, make_inputs, redraw
from attnbench.measure.reference import Reference
from attnbench.problem import Problem


def run_case(backend: str, fields: dict, options: dict) -> str:
    """Check one problem twice, with q drawn again in between; return what is wrong, or nothing."""
    module = importlib.import_module(f"attnbench.backends.{backend}")
    problem = Problem(**{name: one for name, one in fields.items() if one is not None})
    inputs = make_inputs(problem, "cpu")
    before = checksum(inputs)
    prepared = Prepared(module, inputs, options)
    first = prepared.outputs()
    result = check(first, Reference.of(inputs))
    if not result.passed:
        return result.reason
    redraw(inputs, back=True)
    if not prepared.outputs().same_bits(first) and not options.get("atomic"):
        return "two calls differ"
    if checksum(inputs) != before:
        return "an input was written"
    return ""


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        backend, fields, options = json.loads(line)
        try:
            fault = run_case(backend, fields, options)
        except Exception as error:  # noqa: BLE001  one broken case must not hide the others
            import traceback

            fault = f"{type(error).__name__}: {error} {traceback.format_exc()[-600:]}"
        print(json.dumps(fault), flush=True)  # noqa: T201  this is the answer


if __name__ == "__main__":
    main()
