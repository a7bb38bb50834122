from __future__ import annotations

import re

import pytest

from attnbench import errors
from attnbench.errors import AttnbenchError, ProblemError, SuiteError, Unsupported

CLASSES = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
CLASSES.pop("ClassVar", None)


def tree():
    """Class → (parent, exit code) as the docstring draws it."""
    drawn, path = {}, {0: "AttnbenchError"}
    for line in errors.__doc__.splitlines():
        match = re.fullmatch(r"    ([│ ]*)[├└]── (\w+) +(\d+)(?:  .*)?", line)
        if match:
            depth = 1 + len(match[1]) // 4
            path[depth] = match[2]
            drawn[match[2]] = (path[depth - 1], int(match[3]))
    return drawn


def test_the_tree_in_the_docstring_is_the_tree_in_the_code():
    classes = {name for name, value in CLASSES.items() if issubclass(value, AttnbenchError)}

    assert set(tree()) == classes - {"AttnbenchError"}


@pytest.mark.parametrize(("name", "drawn"), tree().items())
def test_each_class_has_the_parent_and_the_exit_code_it_is_drawn_with(name, drawn):
    assert (CLASSES[name].__base__.__name__, CLASSES[name].exit_code) == drawn


def test_an_error_without_an_exit_code_of_its_own_is_a_bug_of_ours():
    assert AttnbenchError("x").exit_code == 70


def test_unsupported_is_an_answer_and_outside_the_tree():
    assert not issubclass(Unsupported, AttnbenchError)


def test_a_message_stands_alone():
    error = AttnbenchError("no such suite")

    assert (str(error), error.hint) == ("no such suite", None)


def test_a_hint_stands_on_a_line_of_its_own():
    error = AttnbenchError("no such suite: decoed", hint="did you mean decode?")

    assert str(error) == "no such suite: decoed\n  did you mean decode?"


def test_a_problem_error_names_the_field_to_change():
    error = ProblemError("q_len is missing", field="q_len", hint="say q_len: 1")

    assert (error.field, error.hint) == ("q_len", "say q_len: 1")


def test_a_suite_error_with_one_fault_says_it_and_counts_nothing():
    assert str(SuiteError(["a.yaml:1:1: no"])) == "a.yaml:1:1: no"


def test_a_suite_error_with_several_faults_says_each_and_how_many():
    error = SuiteError(["a.yaml:1:1: no", "a.yaml:2:1: nor this"])

    assert str(error) == "a.yaml:1:1: no\na.yaml:2:1: nor this\n2 errors"
    assert error.faults == ["a.yaml:1:1: no", "a.yaml:2:1: nor this"]
