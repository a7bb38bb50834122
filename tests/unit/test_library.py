from __future__ import annotations

import pytest

from attnbench.errors import Unsupported
from attnbench.library import Library

MISSING = Library(
    module="nowhere", distribution="no-such-thing", install="pip install it", checked="1"
)
HERE = Library(
    module="pytest",
    distribution="pytest",
    install="pip install pytest",
    checked="8",
    refusals=("only supports", "KeyError"),
)


def test_a_missing_library_is_unsupported_with_what_to_type():
    assert MISSING.version() is None
    assert MISSING.why_not() == "no-such-thing is not installed: pip install it"
    with pytest.raises(Unsupported, match="no-such-thing is not installed: pip install it"):
        MISSING.load()


def test_a_library_that_is_here_is_imported():
    assert HERE.version() == pytest.__version__
    assert HERE.why_not() is None
    assert HERE.load() is pytest


def test_an_installed_library_that_cannot_be_imported_is_a_fault_and_no_refusal():
    broken = Library(module="pytest.nowhere", distribution="pytest", install="", checked="8")

    with pytest.raises(ModuleNotFoundError):
        broken.load()


def failing(error):
    def call():
        raise error

    return HERE.translate_errors(call)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("Flash only supports\n  Ampere"), "pytest: Flash only supports Ampere"),
        (NotImplementedError("no window"), "pytest: no window"),
        (NotImplementedError(), "pytest: NotImplementedError"),
        (ValueError("only supports " + "x" * 400), r"pytest: only supports x{286}$"),
    ],
)
def test_refusals_are_unsupported_in_the_librarys_words(error, words):
    with pytest.raises(Unsupported, match=words):
        failing(error)()


@pytest.mark.parametrize("error", [RuntimeError("out of luck"), AssertionError(), OSError("x")])
def test_faults_are_left_as_they_are(error):
    with pytest.raises(type(error)) as caught:
        failing(error)()

    assert caught.value is error


def test_a_class_is_known_by_its_name():
    class KeyError(RuntimeError):  # noqa: A001  a library's own class of that name
        pass

    with pytest.raises(Unsupported):
        failing(KeyError("?"))()


def test_an_answer_goes_through():
    assert HERE.translate_errors(lambda: 3)() == 3
