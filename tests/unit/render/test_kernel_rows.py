"""What a backend really ran, over the cases of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from attnbench.render.run_table import kernel_rows, short_kernel


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("aten::bmm", "aten::bmm"),
        (
            "void pytorch_flash::flash_fwd_kernel<Traits<128>, true>(Params)",
            "pytorch_flash::flash_fwd_kernel",
        ),
        ("triton_decode_split", "triton_decode_split"),
        ("(anonymous)", "(anonymous)"),
    ],
)
def test_a_template_and_arguments_are_no_part_of_what_ran(name, shown):
    assert short_kernel(name) == shown


def case(backend, *kernels, latency=1.0):
    rows = [{"kernels": list(kernels)}, {"kernels": None}]
    return SimpleNamespace(backend=backend, rows=rows, latency=latency)


def test_a_backend_that_ran_two_things_has_two_lines():
    cases = [
        case("sdpa", "flash<64>"),
        case("sdpa", "aten::bmm", "aten::_softmax"),
        case("sdpa", "flash<128>"),
        case("naive", "aten::bmm"),
        case("naive", "aten::mm", latency=None),  # not ok: it stands for nothing
    ]

    assert list(kernel_rows(cases)) == [
        ("backend", "cases", "kernels"),
        ("sdpa", "2", "flash"),
        ("", "1", "aten::_softmax, aten::bmm"),
        ("naive", "1", "aten::bmm"),
    ]


def test_what_nobody_saw_is_said_to_be_so():
    assert list(kernel_rows([case("flex")]))[1] == ("flex", "1", "none seen")
