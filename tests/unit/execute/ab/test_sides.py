"""What a SIDE stands for."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from attnbench.errors import InputError, SuiteError
from attnbench.execute.ab.pairs import paired
from attnbench.execute.ab.sides import AS_IT_IS, Asked, resolve

FILE = """
from typing import Literal
from attnbench.plugin import Capabilities
capabilities = Capabilities()
def prepare(inputs, *, block: int = {block}{more}):
    return lambda: None
"""
SUITE = """
suite: s
problem: {q_len: 16, q_heads: 2, head_dim: 16, dtype: fp32}
sweep: {kv_len: [16, 48]}
backends:
  ./kernels/mine.py:
    options: {block: [64, 128]%s}
  sdpa:
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A repository with a suite and a file backend; its commit has another default."""
    monkeypatch.chdir(tmp_path)
    write(block=64)
    Path("s.yaml").write_text(SUITE % "")
    if shutil.which("git"):
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "one"]):
            subprocess.run(["git", "-c", "user.email=a@b", "-c", "user.name=n", *words], check=True)
    return tmp_path


def write(block=64, more=""):
    Path("kernels").mkdir(exist_ok=True)
    Path("kernels/mine.py").write_text(FILE.format(block=block, more=more))


@pytest.fixture
def side(place):
    with ExitStack() as stack:
        yield lambda word, role="new", suite="s.yaml": resolve(
            word, role, Asked(place / suite), stack
        )


def labels(found):
    return sorted({case.backend_label for case in found.cases})


def test_nothing_is_the_suite_as_it_is(side):
    found = side(None)

    assert (found.words, found.whole) == (AS_IT_IS, True)
    assert labels(found) == ["mine", "mine[block=128]", "sdpa"]


def test_a_name_is_all_that_the_suite_has_of_it_and_a_label_is_that_alone(side):
    assert labels(side("mine")) == ["mine", "mine[block=128]"]
    assert labels(side("mine[block=128]")) == ["mine[block=128]"]
    assert labels(side("sdpa[kernel=math]")) == ["sdpa[kernel=math]"]
    assert not side("naive").whole


def test_a_file_gets_the_suites_options_as_far_as_it_has_them(side, place):
    old = place / "old" / "mine.py"
    old.parent.mkdir()
    old.write_text(FILE.format(block=64, more=""))
    plain = place / "old" / "plain.py"
    plain.write_text(FILE.format(block=64, more=""))

    found = side("old/mine.py")

    assert labels(found) == ["mine", "mine[block=128]"]
    assert {case.source for case in found.cases} == {str(old)}
    assert labels(side("old/plain.py")) == ["plain"]


@pytest.mark.parametrize(
    ("word", "role", "said"),
    [
        ("sdpo", "base", "--base sdpo"),
        ("./gone.py", "new", "--new ./gone.py"),
        ("sdpa[kernel=flsh]", "new", "--new sdpa[kernel=flsh]"),
    ],
)
def test_what_stands_for_nothing_is_refused_at_its_flag(side, word, role, said):
    with pytest.raises(SuiteError) as raised:
        side(word, role)

    assert said in str(raised.value)


def test_another_python_gets_the_harness_and_nothing_else(side):
    found = side(f"python:{sys.executable}")

    assert found.python == sys.executable
    assert labels(found) == ["mine", "mine[block=128]", "sdpa"]
    (folder,) = found.search
    assert "attnbench" in {path.name for path in Path(folder).iterdir()}
    assert not Path(folder, "tests").exists()


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@needs_git
def test_a_commit_is_the_file_backends_as_they_were(side, place):
    write(block=128)

    found = side("git:main", "base")

    assert labels(found) == ["mine", "mine[block=128]"]
    (source,) = {case.source for case in found.cases}
    assert "block: int = 64" in Path(source).read_text()
    assert found.stored[source] == f"{place / 'kernels' / 'mine.py'}@{found.commit[:12]}"
    # The suite sets both values, so that the changed default pairs by value and not by name.
    pairs, _ = paired(found, side(None))
    assert {(pair.base.backend_label, pair.new.backend_label) for pair in pairs} == {
        ("mine", "mine[block=64]"),
        ("mine[block=128]", "mine"),
    }


@needs_git
def test_an_option_that_a_commit_has_not_leaves_out_the_cases_that_set_it(side, place):
    write(more=", kernel: Literal['a', 'b'] = 'a'")
    (place / "new.yaml").write_text(SUITE % ", kernel: [a, b]")

    found = side("git:main", "base", "new.yaml")

    assert labels(found) == ["mine", "mine[block=128]"]
    assert "git:main has not option kernel, so there is no pair" in found.remarks[0]
    pairs, _ = paired(found, side(None, "new", "new.yaml"))
    assert {pair.new.backend_label for pair in pairs} == {"mine", "mine[block=128]"}


@needs_git
def test_a_file_that_a_commit_has_not_is_left_out_or_refused(side, place):
    other = place / "kernels" / "fresh.py"
    other.write_text(FILE.format(block=64, more=""))
    (place / "two.yaml").write_text((SUITE % "") + "  ./kernels/fresh.py:\n")
    (place / "one.yaml").write_text(
        (SUITE % "").replace("mine", "fresh").replace("suite: s", "suite: one")
    )

    found = side("git:main", "base", "two.yaml")

    assert "fresh" not in labels(found)
    assert "fresh: git:main has not the file, so there is no pair" in found.remarks
    with pytest.raises(InputError, match="that commit has nothing of"):
        side("git:main", "base", "one.yaml")


@needs_git
def test_a_suite_without_a_file_has_nothing_that_a_commit_changes(side, place):
    (place / "none.yaml").write_text(
        "suite: none\nproblem: {q_len: 1, q_heads: 1, head_dim: 8, dtype: fp32}\n"
        "backends: {sdpa: }\n"
    )

    with pytest.raises(InputError, match="no backend of none is a file"):
        side("git:main", "base", "none.yaml")


@needs_git
def test_a_package_of_the_repository_is_imported_from_the_commit(side, place, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(place / "kernels")])

    found = side("git:main", "base")

    assert len(found.search) == 2
    assert Path(found.search[1]).parts[-2:] == ("tree", "kernels")
    assert found.tops == (str(place.resolve()),)
