from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.errors import InputError
from attnbench.plugin import OptionSpec
from attnbench.registry.source import read_source

CAPABILITIES = "from attnbench.plugin import Capabilities\ncapabilities = Capabilities()\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def options_of(folder, signature, before=""):
    text = f"{CAPABILITIES}{before}def prepare(inputs, {signature}): ...\n"
    return dict(read_source(written(folder, text)).options)


@pytest.mark.parametrize(
    ("signature", "default", "choices"),
    [
        ("*, a=1", 1, None),
        ("*, a: int = -1", -1, None),
        ("*, a: bool = False", False, None),
        ("*, a: float | None = None", None, None),
        ('*, a: Literal["x", "y"] = "x"', "x", ("x", "y")),
        ('*, a: "Literal[1, 2]" = 1', 1, (1, 2)),
        ('*, a: typing.Literal["x"] | None = None', None, ("x", None)),
        ('*, a: Optional[Literal["x"]] = None', None, ("x", None)),
        ('*, a: Literal["x"] | Literal["y"] = "y"', "y", ("x", "y")),
        ('*, a: Literal["x"] | int = 3', 3, None),
        ("*, a: Kernel = 'x'", "x", ("x", "z")),
        ("*, a: 'not ] python' = 2", 2, None),
    ],
)
def test_options_are_read_from_the_text(tmp_path, signature, default, choices):
    found = options_of(tmp_path, signature, before='Kernel = Literal["x", "z"]\n')

    assert found == {"a": OptionSpec(name="a", default=default, choices=choices)}
    assert type(found["a"].default) is type(default)


def test_positional_parameters_and_keyword_catchers_are_no_options(tmp_path):
    assert options_of(tmp_path, "other=3, **rest") == {}


def test_the_about_line_is_the_docstrings_first(tmp_path):
    path = written(
        tmp_path, f'"""One line.\n\nMore.\n"""\n{CAPABILITIES}def prepare(inputs): ...\n'
    )
    assert read_source(path).about == "One line."


@pytest.mark.parametrize(
    "text",
    [
        "from elsewhere import capabilities, prepare",
        "from elsewhere import build as prepare\ncapabilities: object = 3",
        "try:\n    from a import prepare\nexcept OSError:\n    prepare = None\ncapabilities = 3",
        "if True:\n    def prepare(inputs): ...\ncapabilities = 3",
    ],
)
def test_both_names_may_be_bound_in_any_way(tmp_path, text):
    assert read_source(written(tmp_path, text)).options == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def prepare(inputs): ...\n", "mine.py:1: no capabilities"),
        (CAPABILITIES, "mine.py:1: no prepare"),
        ("\n\ndef prepare inputs:", "mine.py:3: this is not Python"),
        ("\x00", "mine.py"),
        (
            f"{CAPABILITIES}def prepare(inputs, *,\n  a): ...\n",
            "mine.py:4: option a has no default",
        ),
        (f"{CAPABILITIES}def prepare(inputs, *, a=max(1, 2)): ...\n", "has the default max"),
        (
            f"{CAPABILITIES}def prepare(inputs, *, a=[1]): ...\n",
            "mine.py:3: option a has the default",
        ),
    ],
)
def test_what_is_no_backend_is_reported_where(tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        read_source(written(tmp_path, text))

    assert message in caught.value.message
    assert str(tmp_path) in caught.value.message


def test_a_folder_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_source(tmp_path)
