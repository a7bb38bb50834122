"""A ruling for machines: JUnit XML, and Markdown for a job summary or a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE, LISTED, PASS
from attnbench.render import ruling_text as words

if TYPE_CHECKING:
    from junitparser import TestCase

    from attnbench.analysis.gate import CaseRuling, Ruling

COMMENT_BYTES = 60_000  # GitHub refuses a comment above 65,536 characters
SUMMARY_BYTES = 1_000_000  # and a job summary above 1 MiB
_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+")
_MARKER_LENGTH = 60
_SIGNS = {PASS: "✅", FAIL: "❌", INCONCLUSIVE: "⚠️"}


def junit_text(ruling: Ruling) -> str:
    """Return JUnit XML with a test for each ruled case.

    A slower or lost case is a failure; an inconclusive one is skipped, or a failure where the rule
    says that inconclusive fails.
    """
    from junitparser import JUnitXml, TestSuite

    verb, unit = "gate" if ruling.ab is None else "ab", words.unit_of(ruling)
    suite = TestSuite(f"attnbench {verb} {ruling.compared.new.name}")
    strict = ruling.rule.inconclusive == "fail"
    ruled = [one for one in ruling.judged if one.ruling != LISTED]
    # One by one it would count all of them anew each time.
    suite.add_testcases([_test_case(one, unit, strict=strict) for one in ruled])
    document = JUnitXml(f"attnbench {verb}")
    document.add_testsuite(suite)
    text: bytes = document.tostring()  # type: ignore[no-untyped-call]  # nor this
    return text.decode()


def marker(ruling: Ruling) -> str:
    """The line by which a comment is found again and replaced instead of added."""
    names = (ruling.compared.new.values("suite"), ruling.compared.new.values("device_id"))
    suites, device = (
        _UNSAFE.sub("_", "_".join(map(str, values)))[:_MARKER_LENGTH] or "unnamed"
        for values in names
    )
    verb = "" if ruling.ab is None else "ab:"
    return f"<!-- attnbench:{verb}{suites}:{device} -->"


def markdown(ruling: Ruling, *, most_bytes: int = COMMENT_BYTES) -> str:
    """Return a ruling as Markdown of at most ``most_bytes``; rows that do not fit are counted."""
    head = "\n".join(_head(ruling))
    tail = "\n".join(_tail(ruling))
    tables = [
        (FAIL, "slower, or no longer ok", ruling.of(FAIL)),
        (INCONCLUSIVE, "cannot be judged", ruling.of(INCONCLUSIVE)),
    ]
    room = most_bytes - len(head.encode()) - len(tail.encode()) - 200
    parts = [head]
    for kind, title, judged in tables:
        if judged:
            table = "\n".join(_table(kind, title, judged, room, words.unit_of(ruling)))
            room -= len(table.encode())
            parts.append(table)
    text = "\n\n".join([*parts, tail]) + "\n"
    if len(text.encode()) > most_bytes:  # a head or a tail that is longer than any room
        text = text.encode()[: most_bytes - 4].decode(errors="ignore") + "…\n"
    return text


def _test_case(one: CaseRuling, unit: str, *, strict: bool) -> TestCase:
    from junitparser import Failure, Skipped, TestCase

    case = one.case
    test = TestCase(_printable(case.label), classname=_printable(case.backend) or "case")
    text = _printable(_line(one, unit))
    if one.ruling == FAIL:
        test.result = [Failure(text, "slower" if case.new else case.new_status)]
    elif one.ruling == INCONCLUSIVE:
        test.result = [Failure(text, "inconclusive") if strict else Skipped(text)]
    return test


def _line(one: CaseRuling, unit: str) -> str:
    case = one.case
    if one.ruling == INCONCLUSIVE or case.change is None:
        return words.remedy(one, unit=unit)
    return f"{words.signed(case.change)} {words.interval(case)} limit {words.percent(case.limit)}"


def _head(ruling: Ruling) -> Iterator[str]:
    yield marker(ruling)
    sign = _SIGNS[ruling.outcome]
    yield f"### attnbench: {sign} {ruling.outcome}: {words.headline(ruling)}"
    yield ""
    yield f"{words.tallies(ruling)}."


def _tail(ruling: Ruling) -> Iterator[str]:
    yield f"Limits from {ruling.rule_source}. {_prose(words.baseline_text(ruling))}."
    yield ""
    closing = words.closing(ruling)
    yield f"{words.sight(ruling)}. {closing[0].upper()}{closing[1:]}."
    for entry in ruling.accepted:
        why = f"{_prose(entry['only'])} ({_prose(entry['reason'])})"
        yield f"\nAccepted on {entry['at'][:10]}: {why}."
    for remark in ruling.remarks:
        yield f"\nNote: {_prose(remark)}."


def _table(
    kind: str, title: str, judged: Sequence[CaseRuling], room: int, unit: str
) -> Iterator[str]:
    folded = kind != FAIL
    count = f"{len(judged):,} {title}"
    yield f"<details><summary>{count}</summary>\n" if folded else f"**{count}**\n"
    yield "| case | base | new | change | 95 % interval | limit | |"
    yield "|:--|--:|--:|--:|:-:|--:|:--|"
    left = room - 300
    for number, one in enumerate(judged):
        row = _row(one, unit)
        left -= len(row.encode()) + 1
        if left < 0:
            yield f"\n{len(judged) - number:,} rows did not fit; the JSON has them all."
            break
        yield row
    if folded:
        yield "\n</details>"


def _row(one: CaseRuling, unit: str) -> str:
    case = one.case
    change = "" if case.change is None else words.signed(case.change)
    why = "" if case.verdict == "slower" else words.remedy(one, unit=unit)
    cells = (
        _code(case.label),
        _prose(words.reading(case.base, case.base_status)),
        _prose(words.reading(case.new, case.new_status)),
        f"**{change}**" if case.verdict == "slower" else change,
        words.interval(case),
        words.percent(case.limit),
        _prose(why),
    )
    return "| " + " | ".join(cells) + " |"


def _code(text: str) -> str:
    """A label as code, whatever it holds: in there nothing but a backtick and a bar is special."""
    plain = _printable(text).replace("`", "'").replace("<!--", "<! --")
    return "`" + plain.replace("|", "\\|") + "`"


def _prose(text: str) -> str:
    """A reason may be what a crashed process printed: no markup, no HTML, and nobody is called."""
    plain = _printable(text).replace("&", "&amp;").replace("<", "&lt;")
    marked = re.sub(r"([\\`*_\[\]#|~])", r"\\\1", plain)
    return marked.replace("@", "@\u200b")


def _printable(text: str) -> str:
    """One line without control characters, which XML cannot even say."""
    return "".join(one if one.isprintable() else " " for one in text)
