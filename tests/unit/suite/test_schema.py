from __future__ import annotations

import json
from pathlib import Path

from attnbench.models import MODELS
from attnbench.problem import CHOICES
from attnbench.suite.fields import PROBLEM
from attnbench.suite.schema import TOP_KEYS, schema_text

SCHEMA = json.loads(schema_text())
SHIPPED = Path(__file__).parents[3] / "suites" / "suite.schema.json"


def test_the_schema_is_draft_07_and_closed():
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["properties"]) == set(TOP_KEYS)
    assert sorted(SCHEMA["required"]) == ["backends", "suite"]


def test_every_key_is_described():
    tables = [SCHEMA, *SCHEMA["definitions"].values()]
    nameless = [
        name
        for one in tables
        for name, key in one["properties"].items()
        if "description" not in key
    ]

    assert nameless == []


def test_every_reference_leads_somewhere():
    text = schema_text()
    names = {word.split('"')[0] for word in text.split("#/definitions/")[1:]}

    assert names <= set(SCHEMA["definitions"])
    assert "$defs" not in text


def test_fields_offer_their_words():
    problem = SCHEMA["definitions"]["Problem"]["properties"]

    assert set(problem) == set(PROBLEM)
    assert problem["mask"]["enum"] == list(CHOICES["mask"])
    assert problem["model"]["anyOf"][0]["enum"] == sorted(MODELS)


def test_an_axis_is_a_list_or_powers_of_two_or_ties_fields():
    sweep = SCHEMA["definitions"]["Sweep"]

    assert sweep["properties"]["dtype"]["type"] == "array"
    assert "pow2" in json.dumps(sweep["properties"]["kv_len"])
    assert sweep["additionalProperties"]["items"] == {"$ref": "#/definitions/Problem"}


def test_the_schema_beside_the_shipped_suites_is_this_one():
    assert SHIPPED.read_text(encoding="utf-8") == schema_text()
