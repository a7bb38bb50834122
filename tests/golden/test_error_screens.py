"""Bad input, and what is said about it: where, what, the nearest right word, what to type."""

from __future__ import annotations

import pytest

from attnbench.cli import app

SUITE = """\
suite: decode
problem: {q_len: 1, head_dim: 128, dtype: bf16}
sweep:
  kv_len: [1k, 4k]
  heads:
    - {q_heads: 32, kv_heads: 8}
backends:
  naive:
  sdpa:
"""


@pytest.fixture
def attnbench(capsys, monkeypatch, tmp_path):
    """Call the command line in an empty folder: exit code and everything that was said."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        capsys.readouterr()
        code = app.main(list(words))
        captured = capsys.readouterr()
        assert captured.out == ""
        return code, captured.err

    return call


SUITES = {
    "misspelt_key": (2, SUITE.replace("sweep:", "swep:")),
    "misspelt_field": (2, SUITE.replace("kv_len:", "kvlen:")),
    "wrong_type": (2, SUITE.replace("[1k, 4k]", "[1k, 4 k]")),
    "wrong_word": (2, SUITE.replace("bf16", "bf61")),
    "unknown_backend": (2, SUITE.replace("sdpa:", "spda:")),
    "unknown_option": (2, SUITE.replace("sdpa:", "sdpa: {options: {kernel: [flsh]}}")),
    "heads_that_do_not_divide": (2, SUITE.replace("kv_heads: 8", "kv_heads: 12")),
    "duplicate_key": (2, SUITE.replace("  sdpa:\n", "  sdpa:\n  naive:\n")),
    "empty_grid": (5, SUITE + "exclude:\n  - {kv_len: '<=4k'}\n"),
    "several_faults": (2, SUITE.replace("bf16", "bf61").replace("kv_len:", "kvlen:")),
    "no_yaml": (2, "suite: [decode\n"),
}


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_that_is_wrong(attnbench, golden, tmp_path, name):
    code, text = SUITES[name]
    (tmp_path / "decode.yaml").write_text(text, encoding="utf-8")

    exit_code, said = attnbench("plan", "decode.yaml", "--device", "h200")

    assert exit_code == code
    golden(f"error_{name}", said)


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "decode.yaml").write_text(SUITE, encoding="utf-8")
    return "decode.yaml"


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("no_such_suite", 2, ("plan", "decod")),
        ("no_such_file", 2, ("plan", "decod.yaml")),
        ("no_such_device", 4, ("plan", "decode.yaml", "--device", "h20")),
        ("filter_that_picks_nothing", 5, ("plan", "decode.yaml", "-k", "triton")),
        ("filter_that_is_wrong", 2, ("plan", "decode.yaml", "-k", "kv_lne>=4k")),
        ("field_that_does_not_exist", 2, ("plan", "decode.yaml", "--set", "kvlen=1k")),
        ("backend_on_the_command_line", 2, ("plan", "decode.yaml", "--backend", "./gone.py")),
        ("budget", 2, ("run", "decode.yaml", "--budget", "soon")),
        ("no_run", 2, ("show",)),
        ("no_such_run", 2, ("show", "nightly")),
    ],
)
@pytest.mark.usefixtures("suite")
def test_words_that_are_wrong(attnbench, golden, tmp_path, name, code, words):
    exit_code, said = attnbench(*words)

    assert exit_code == code
    golden(f"error_{name}", said.replace(f"{tmp_path}/", ""))


FILES = {
    "empty": b"",
    "cut_short": b"PAR1" + bytes(1000),
    "csv": b"case,latency_us\nnaive,12\n",
    "git_lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_run(attnbench, golden, tmp_path, name):
    (tmp_path / "run.parquet").write_bytes(FILES[name])

    exit_code, said = attnbench("show", "run.parquet")

    assert exit_code == 2
    golden(f"error_file_{name}", said)
