from __future__ import annotations

from attnbench.suite.init import schema_text, starter_text
from attnbench.suite.schema import schema_text as text_of_schema


def test_the_starter_is_a_suite_as_it_stands(loaded):
    suite = loaded(starter_text("mine"))

    assert suite.name == "mine"
    assert len(suite.cases) == 22
    assert suite.baseline == "sdpa"


def test_the_starter_points_editors_to_the_schema():
    first, *_ = starter_text().splitlines()

    assert first == "# yaml-language-server: $schema=./suite.schema.json"
    assert schema_text() == text_of_schema()
