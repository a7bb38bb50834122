from __future__ import annotations

from pathlib import Path

import pytest

HEAD = "suite: x\nproblem: {q_len: 1, q_heads: 2, head_dim: 8, dtype: bf16}\n"


def labels(suite):
    return [case.backend_label for case in suite.cases]


def test_a_list_of_options_is_swept(loaded):
    text = HEAD + "backends: {tuned: {options: {block: [32, 64], stages: [2, 3]}}, naive: }\n"

    assert labels(loaded(text)) == [
        "tuned[block=32]",
        "tuned[block=32,stages=3]",
        "tuned",
        "tuned[stages=3]",
        "naive",
    ]


def test_options_that_are_the_defaults_are_dropped(loaded):
    text = HEAD + "backends: {sdpa: {options: {kernel: auto}}, tuned: {options: {share: 0.5}}}\n"

    assert labels(loaded(text)) == ["sdpa", "tuned"]
    assert loaded(text).cases[0].options == ()


def test_variants_of_one_label_are_one(loaded):
    text = HEAD + "backends: {tuned: {options: {share: [1, 1.0, 0.5]}}}\n"

    assert labels(loaded(text)) == ["tuned[share=1.0]", "tuned"]


def test_an_option_without_a_default_takes_any_value(loaded):
    text = HEAD + "backends: {tuned: {options: {splits: [null, 8, x]}}}\n"

    assert labels(loaded(text)) == ["tuned", "tuned[splits=8]", "tuned[splits=x]"]


def test_a_file_may_have_a_name_of_its_own(loaded):
    suite = loaded(HEAD + "backends:\n  ./a/attn.py:\n  ./b/attn.py: {name: newer}\n")

    assert [(one.backend, one.source) for one in suite.cases] == [
        ("attn", "suites/a/attn.py"),
        ("newer", "suites/b/attn.py"),
    ]


def test_exclude_sees_options_that_are_the_defaults(loaded):
    text = HEAD + "backends: {sdpa: {options: {kernel: [auto, math]}}}\n"

    assert labels(loaded(text + "exclude: [{kernel: auto}]\n")) == ["sdpa[kernel=math]"]


SWEPT = HEAD + "backends: {naive: , sdpa: {options: {kernel: [flash, math]}}, ./my.py: }\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sdpa",), ["sdpa[kernel=flash]", "sdpa[kernel=math]"]),
        (("sdpa[kernel=math]", "naive"), ["sdpa[kernel=math]", "naive"]),
        (("sdpa[kernel=cudnn]",), ["sdpa[kernel=cudnn]"]),
        (("sdpa[kernel=auto]",), ["sdpa"]),
        (("my",), ["my"]),
        (
            ("tuned[block=1k,splits=8,share=1,path=3]",),
            ["tuned[block=1024,path=3,share=1.0,splits=8]"],
        ),
        (
            ("tuned[splits=null,stages=3]", "tuned[splits=x]"),
            ["tuned[stages=3]", "tuned[splits=x]"],
        ),
        (("naive[upcast=true]",), ["naive[upcast=true]"]),
        (("naive", "naive"), ["naive"]),
    ],
)
def test_backend_on_the_command_line_stands_for_the_files(loaded, words, expected):
    assert labels(loaded(SWEPT, backends=words)) == expected


def test_a_file_on_the_command_line_is_seen_from_the_working_directory(loaded):
    (case,) = loaded(SWEPT, backends=("./other.py",)).cases

    assert case.source == str(Path.cwd() / "other.py")


def test_a_baseline_that_is_not_measured_is_no_fault(loaded):
    suite = loaded(SWEPT + "baseline: sdpa[kernel=flash]\n", backends=("naive",))

    assert suite.baseline == "sdpa[kernel=flash]"
    assert suite.labels == ("naive",)
