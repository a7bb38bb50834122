"""A ruling as Markdown, JUnit XML and workflow commands of GitHub Actions.

Workflow commands: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE, LISTED, PASS
from attnbench.render import ruling_text
from attnbench.render.values import change_text, interval_text, percent_text, reading_text
from attnbench.units import counted

if TYPE_CHECKING:
    from junitparser import TestCase

    from attnbench.analysis.gate import CaseRuling, Ruling

COMMENT_BYTES = 60_000  # GitHub refuses a comment above 65,536 characters
SUMMARY_BYTES = 1_000_000  # and a job summary above 1 MiB
_UNSAFE = re.compile(r"[^A-Za-z0-9_.]+")
_MARKER_LENGTH = 60
MOST_ANNOTATIONS = 10  # GitHub shows ten errors and ten warnings of a step
_SUITE_ENDINGS = (".yaml", ".yml")
_SIGNS = {PASS: "✅", FAIL: "❌", INCONCLUSIVE: "⚠️"}


def junit_text(ruling: Ruling) -> str:
    """Return JUnit XML with a test for each ruled case.

    A slower or lost case is a failure; an inconclusive one is skipped, or a failure where the rule
    says that inconclusive fails.
    """
    from junitparser import JUnitXml, TestSuite

    verb, unit = "gate" if ruling.ab is None else "ab", ruling_text.unit_of(ruling)
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
    bytes_left = most_bytes - len(head.encode()) - len(tail.encode()) - 200
    parts = [head]
    for kind, title, judged in tables:
        if judged:
            table = "\n".join(_table(kind, title, judged, bytes_left, ruling_text.unit_of(ruling)))
            bytes_left -= len(table.encode())
            parts.append(table)
    text = "\n\n".join([*parts, tail]) + "\n"
    if len(text.encode()) > most_bytes:  # a head or a tail that is longer than the limit
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
        return ruling_text.remedy(one, unit=unit)
    interval, limit = interval_text(case.low, case.high), percent_text(case.limit)
    return f"{change_text(case.change)} {interval} limit {limit}"


def _head(ruling: Ruling) -> Iterator[str]:
    yield marker(ruling)
    sign = _SIGNS[ruling.outcome]
    yield f"### attnbench: {sign} {ruling.outcome}: {ruling_text.headline(ruling)}"
    yield ""
    yield f"{ruling_text.outcome_counts(ruling)}."


def _tail(ruling: Ruling) -> Iterator[str]:
    yield f"Limits from {ruling.rule_source}. {_prose(ruling_text.baseline_text(ruling))}."
    yield ""
    closing = ruling_text.method_text(ruling)
    yield f"{ruling_text.sensitivity(ruling)}. {closing[0].upper()}{closing[1:]}."
    for entry in ruling.accepted:
        why = f"{_prose(entry['only'])} ({_prose(entry['reason'])})"
        yield f"\nAccepted on {entry['at'][:10]}: {why}."
    for remark in ruling.remarks:
        yield f"\nNote: {_prose(remark)}."


def _table(
    kind: str, title: str, judged: Sequence[CaseRuling], most_bytes: int, unit: str
) -> Iterator[str]:
    folded = kind != FAIL
    count = f"{len(judged):,} {title}"
    yield f"<details><summary>{count}</summary>\n" if folded else f"**{count}**\n"
    yield "| case | base | new | change | 95 % interval | limit | |"
    yield "|:--|--:|--:|--:|:-:|--:|:--|"
    left = most_bytes - 300
    for number, one in enumerate(judged):
        row = _row(one, unit)
        left -= len(row.encode()) + 1
        if left < 0:
            yield f"\n{counted(len(judged) - number, 'row')} did not fit; the JSON has them all."
            break
        yield row
    if folded:
        yield "\n</details>"


def _row(one: CaseRuling, unit: str) -> str:
    case = one.case
    change = "" if case.change is None else change_text(case.change)
    why = "" if case.verdict == "slower" else ruling_text.remedy(one, unit=unit)
    cells = (
        _code(case.label),
        _prose(reading_text(case.base, case.base_status)),
        _prose(reading_text(case.new, case.new_status)),
        f"**{change}**" if case.verdict == "slower" else change,
        interval_text(case.low, case.high),
        percent_text(case.limit),
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


def workflow_commands(ruling: Ruling) -> list[str]:
    """Return an error for each failing case and a warning for each open one.

    An open case is an error where the rule says that inconclusive fails, and nothing where it says
    that it passes.
    """
    place = _place(ruling)
    level = {"fail": "error", "warn": "warning"}.get(ruling.rule.inconclusive)
    lines = list(_listed("error", ruling.of(FAIL), place))
    if level is not None:
        room = MOST_ANNOTATIONS - len(lines) if level == "error" else MOST_ANNOTATIONS
        lines += _listed(level, ruling.of(INCONCLUSIVE), place, most=room)
    return lines


def _listed(
    level: str, judged: Sequence[CaseRuling], place: dict[str, str], *, most: int = MOST_ANNOTATIONS
) -> Iterator[str]:
    shown = judged if len(judged) <= most else judged[: max(most - 1, 0)]
    for one in shown:
        yield workflow_command(level, _message(one), **place, title=f"attnbench: {one.case.label}")
    if (left := len(judged) - len(shown)) and most > 0:
        text = f"{counted(left, 'more case')}; the job's summary and the JSON have them"
        yield workflow_command(level, text, **place, title=f"attnbench: {left:,} more")


def _message(one: CaseRuling) -> str:
    case = one.case
    if case.verdict != "slower" or case.change is None:
        return ruling_text.remedy(one)
    limit = percent_text(case.limit)
    return f"{change_text(case.change)} slower {interval_text(case.low, case.high)}, limit {limit}"


def _place(ruling: Ruling) -> dict[str, str]:
    """The suite's file where the run was asked for by one, so that GitHub shows it there."""
    for footer in ruling.compared.new.metadata:
        try:
            named = str(json.loads(footer.get("run_args") or "{}").get("suite", ""))
        except (AttributeError, ValueError):
            continue
        if named.endswith(_SUITE_ENDINGS):
            return {"file": named, "line": "1"}
    return {}


def workflow_command(name: str, message: str = "", **properties: str) -> str:
    """Write one workflow command of GitHub Actions, with everything escaped that would end it."""
    named = ",".join(f"{key}={_escaped_property(value)}" for key, value in properties.items())
    return f"::{name}{f' {named}' if named else ''}::{_escaped(message)}"


def _escaped(text: str) -> str:
    plain = "".join(one for one in text if one.isprintable() or one in "\r\n")
    return plain.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escaped_property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
