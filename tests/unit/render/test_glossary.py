from __future__ import annotations

from pathlib import Path

import pytest

from attnbench.measurement import NOTES, STATUSES
from attnbench.render import glossary
from attnbench.store.columns import COLUMNS

METRICS_PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"


def test_every_code_has_its_words():
    assert tuple(glossary.NOTES) == NOTES
    assert tuple(glossary.STATUSES) == STATUSES


@pytest.mark.parametrize("name", [*NOTES, *STATUSES, *(column.name for column in COLUMNS)])
def test_the_page_explains_every_column_status_and_note(name):
    assert f"| `{name}` |" in METRICS_PAGE.read_text(encoding="utf-8")
