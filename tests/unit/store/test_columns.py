"""The schema: one literal, in order, of known types, never changed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from attnbench.store.columns import BY_NAME, CLOSED, COLUMNS, SCHEMA_VERSION, arrow_schema, markdown

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"

# What version 1 was when it was released. Never edit: add columns at the end, raise the version.
VERSION_1_COLUMNS = 144
VERSION_1_DIGEST = "0301cb3c2100986e"


def test_the_columns_of_version_1_are_as_they_were_released():
    names = {"process": "launch"}  # version 2 renamed one
    text = "\n".join(
        f"{names.get(one.name, one.name)} {one.type}" for one in COLUMNS[:VERSION_1_COLUMNS]
    )

    assert hashlib.sha256(text.encode()).hexdigest()[:16] == VERSION_1_DIGEST


def test_there_is_one_column_beyond_each_released_version_at_most_at_the_end():
    assert SCHEMA_VERSION == 2
    # Added before the release: files that were written earlier have NULL there.
    assert [one.name for one in COLUMNS[VERSION_1_COLUMNS:]] == ["calls_per_sample"]


def test_names_are_unique_and_units_stand_in_them():
    assert len(BY_NAME) == len(COLUMNS)
    for column in COLUMNS:
        assert column.meaning
        if column.meaning.startswith("µs"):
            assert column.name.endswith("_us")
        if column.meaning.startswith("B,") or column.meaning == "B":
            assert "bytes" in column.name


def test_arrow_types_are_the_words():
    written = [
        re.sub(r"\btz=", "", str(field.type).replace("element: ", "").replace("double", "float64"))
        for field in arrow_schema()
    ]
    words = [column.type.replace("float32", "float") for column in COLUMNS]

    assert written == words
    assert arrow_schema().names == [column.name for column in COLUMNS]


def test_closed_lists_belong_to_columns_of_text():
    for name, words in CLOSED.items():
        assert BY_NAME[name].type in ("string", "list<string>")
        assert len(set(words)) == len(words)


def test_importing_the_store_loads_no_heavy_library(fresh_python):
    heavy = "pyarrow pandas numpy scipy filelock torch triton"
    script = "import sys, attnbench.store; print(*(set(sys.argv[1].split()) & set(sys.modules)))"
    out, err = fresh_python(script, heavy).communicate()

    assert (out.strip(), err) == ("", "")


@pytest.mark.parametrize(("group", "table"), markdown().items(), ids=markdown())
def test_the_docs_have_the_tables_as_they_are(group, table):
    assert f"## {group}".casefold() in DOCS.read_text(encoding="utf-8").casefold()
    assert table in DOCS.read_text(encoding="utf-8")
