"""The public names: adding one is a decision, removing one breaks somebody."""

from __future__ import annotations

import importlib.metadata

import pytest

import attnbench

PUBLIC = [
    "AttnbenchError",
    "BackendImportError",
    "Case",
    "DeviceMissing",
    "EnvironmentProblem",
    "InputError",
    "Interrupted",
    "NameTakenError",
    "NotComparable",
    "NothingSelected",
    "OptionError",
    "OutputError",
    "Problem",
    "ProblemError",
    "ResultFileError",
    "Suite",
    "SuiteError",
    "TorchMissing",
    "Unsupported",
    "ab",
    "accept",
    "advise",
    "check",
    "check_backend",
    "compare",
    "doctor",
    "export",
    "gate",
    "head_variants",
    "inspect",
    "list_backends",
    "list_devices",
    "list_metrics",
    "list_models",
    "list_runs",
    "list_suites",
    "load",
    "load_suite",
    "merge",
    "plan",
    "profile",
    "prove_gate",
    "repair",
    "report",
    "report_figure",
    "run",
    "tune",
    "tuning_candidates",
]


def test_the_public_names_are_these():
    assert sorted(attnbench.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_can_be_reached_and_is_listed(name):
    assert getattr(attnbench, name) is not None
    assert name in dir(attnbench)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="spedup"):
        attnbench.spedup  # noqa: B018  reaching for it is the test


def test_every_error_class_is_public():
    from attnbench import errors

    classes = {name for name, value in vars(errors).items() if isinstance(value, type)}

    assert classes - {"ClassVar"} <= set(PUBLIC)


def test_the_version_is_the_distributions():
    assert attnbench.__version__ == importlib.metadata.version("attnbench")
