"""One thing has one name: words that were retired stay out of code, messages and docs.

``docs/glossary.md`` defines the words that are used instead. A retired name is looked for in the
identifiers of every Python file, a retired word in comments, strings and pages.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("*.py", *(f"{folder}/**/*.py" for folder in ("attnbench", "adapters", "docs", "tests")))
PAGES = (
    *("*.md", "docs/**/*.md", "docs/ci/*", "suites/*.yaml", "tests/**/*.md", "*/README.md"),
    "attnbench/**/templates/*",
)
# Here the old names are the subject.
EXEMPT = ("docs/adr/0008-", "tests/architecture/test_words.py")

# Lower case: part of an identifier (crew in open_crew); a capital: a whole identifier.
NAMES = {
    "AsOf": "CommitCatalogue",
    "Attempt": "CaseContext",
    "Bench": "DeviceContext",
    "Blind": "NoTelemetry",
    "Compared": "RunComparison",
    "Contest": "Ranking",
    "Either": "Or",
    "Every": "And",
    "Fault": "Diagnostic",
    "Gauge": "Telemetry",
    "Judged": "CaseRuling",
    "Leaf": "FieldSpec",
    "Orders": "CaseSettings",
    "Remembering": "RecordingCatalogue",
    "Shared": "ProblemInputs",
    "Sheet": "GpuSpec",
    "Standing": "Ranking",
    "Subject": "ReportData",
    "Absent": "MissingFigure",
    "bent": "apply_softcap_bias",
    "codes_of": "quantized values",
    "crew": "worker",
    "doubts": "warnings",
    "duel": "CasePair",
    "errand": "dispatch",
    "fly": "calibrate",
    "frontier": "memory_limit",
    "heard": "translate_errors",
    "house": "package",
    "ledger": "recorder",
    "neighbour": "adjacent",
    "pilot": "calibration",
    "rooms": "packages",
    "selection": "filter",
    "sketch": "sparkline",
    "station": "SideSession",
    "stray": "side_streams",
    "survey": "preflight",
    "tally": "run_stats",
    "tilings": "tile_table",
    "told": "reported",
    "twin": "low_precision_reference",
    "walker": "CaseRunner",
    "whoever": "guarded_stdio",
}

# Patterns of prose, without regard to case.
WORDS = {
    r"advices": "recommendations",
    r"by turns": "alternately, interleaved",
    r"crews?": "workers",
    r"duels?": "pair of cases",
    r"errands?": "dispatch",
    r"frontiers?": "memory limit",
    r"gone? on with|goes on with|going on with": "resume",
    r"houses?": "package, project",
    r"ledgers?": "recorder",
    r"neighbour(s|ing)?": "adjacent",
    r"of which": "its, whose, or a sentence of its own",
    r"pilots?": "calibration",
    r"put(s|ting)? .{1,40} to the proof": "tests",
    r"rooms?": "package; memory; space",
    r"stands in the way": "blocks",
    r"stations?": "session of a side",
    r"such as are": "like",
    r"tall(y|ies)": "run_stats, counts",
    r"told": "reported; derived",
    r"twins?": "counterpart; low-precision reference",
    r"walkers?": "case runner",
    r"whoever": "anyone who; the caller",
}

# (the path begins so, the text around holds this): an ordinary meaning, or a contract with others.
ORDINARY: tuple[tuple[str, str], ...] = (
    ("", "room for"),
    ("", "no room"),
    ("", "there is room"),
)

ALTERNATIVES = list(WORDS)
ANY_WORD = re.compile(
    "|".join(
        rf"(?P<_{number}>\b(?:{word})\b)".replace(" ", r"\s+")
        for number, word in enumerate(ALTERNATIVES)
    ),
    re.IGNORECASE,
)


@dataclass(frozen=True, order=True)
class Finding:
    """A retired word: where it stands and what to write instead."""

    path: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word!r}; write: {self.instead}"


def tokens(path: Path) -> Iterator[tuple[int, bool, str]]:
    """Line, whether it is an identifier, and text, for everything a person named or wrote."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield 1, False, text
        return
    silent = {tokenize.OP, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in silent:
            yield token.start[0], token.type == tokenize.NAME, token.string


@cache
def retired_name(name: str) -> str:
    """Return the standard term for a retired name in an identifier of any style, or ""."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    spelled = "".join(f"_{word.lower()}" for word in words) + "_"
    for old, new in NAMES.items():
        if name == old if old[0].isupper() else f"_{old}_" in spelled:
            return new
    return ""


def retired_words(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each retired word of a text with what to write instead."""
    for match in ANY_WORD.finditer(text):
        yield match, WORDS[ALTERNATIVES[int((match.lastgroup or "_0")[1:])]]


def findings(path: Path) -> Iterator[Finding]:
    """Yield what is retired in a file: its name, its identifiers, its comments and strings."""
    where = path.relative_to(ROOT).as_posix()
    if path.suffix == ".py" and (instead := retired_name(path.stem)):
        yield Finding(where, 0, path.stem, instead)
    for line, is_name, text in tokens(path):
        if is_name and (instead := retired_name(text)):
            yield Finding(where, line, text, instead)
        if is_name:
            continue
        for match, instead in retired_words(text):
            around = text[max(0, match.start() - 40) : match.end() + 40]
            if not is_ordinary(where, around):
                yield Finding(where, line + text.count("\n", 0, match.start()), match[0], instead)


def is_ordinary(where: str, around: str) -> bool:
    """Whether the allow-list has this text of this file."""
    flat = " ".join(around.split()).casefold()
    return any(where.startswith(path) and text in flat for path, text in ORDINARY)


def files(*patterns: str) -> list[Path]:
    found = {path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()}
    return sorted(
        path for path in found if not path.relative_to(ROOT).as_posix().startswith(EXEMPT)
    )


@pytest.mark.parametrize("folder", ["attnbench", "tests"])
def test_the_files_are_where_this_test_looks(folder):
    assert any(path.is_relative_to(ROOT / folder) for path in files(*CODE))


@pytest.mark.parametrize("patterns", [CODE, PAGES], ids=["code", "pages"])
def test_no_retired_word_is_written_any_more(patterns):
    found = sorted({finding for path in files(*patterns) for finding in findings(path)})

    assert not found, "\n" + "\n".join(map(str, found))


@pytest.mark.parametrize("name", ["Orders", "a_selection", "ManySelectionsOfOneSelection"])
def test_a_retired_name_is_found_in_any_style_of_identifier(name):
    assert retired_name(name)


@pytest.mark.parametrize("name", ["orders", "Shareds", "preselection"])
def test_a_name_that_only_looks_like_a_retired_one_is_left_alone(name):
    assert not retired_name(name)


def test_a_retired_word_is_found_across_the_end_of_a_line():
    text = "cases such\n    as are slow"

    assert [match[0] for match, _ in retired_words(text)] == ["such\n    as are"]


def test_the_allow_list_holds_no_entry_that_excuses_nothing():
    unused = [
        entry
        for entry in ORDINARY
        if not any(
            entry[1] in " ".join(path.read_text(encoding="utf-8").split()).casefold()
            for path in files(*CODE, *PAGES)
            if path.relative_to(ROOT).as_posix().startswith(entry[0])
        )
    ]

    assert unused == []


def test_the_glossary_defines_each_word_once():
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| .+ \|$", text, re.MULTILINE)
    words = [word for row in rows for word in row.split(", ") if word != "word"]

    assert len(words) > 50
    assert sorted(words) == sorted(set(words))
