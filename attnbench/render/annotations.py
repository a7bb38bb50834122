"""A ruling as workflow commands of GitHub Actions: the cases that made it, beside the suite.

GitHub shows ten errors and ten warnings of a step, so the last of them says how many there are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attnbench.analysis.gate import FAIL, INCONCLUSIVE
from attnbench.render import ruling_text as words
from attnbench.render.workflow_command import command

if TYPE_CHECKING:
    from attnbench.analysis.gate import CaseRuling, Ruling

MOST = 10
_SUITE_ENDINGS = (".yaml", ".yml")


def workflow_commands(ruling: Ruling) -> list[str]:
    """Return an error for each failing case and a warning for each open one.

    An open case is an error where the rule says that inconclusive fails, and nothing where it says
    that it passes.
    """
    place = _place(ruling)
    level = {"fail": "error", "warn": "warning"}.get(ruling.rule.inconclusive)
    lines = list(_listed("error", ruling.of(FAIL), place))
    if level is not None:
        room = MOST - len(lines) if level == "error" else MOST
        lines += _listed(level, ruling.of(INCONCLUSIVE), place, most=room)
    return lines


def _listed(
    level: str, judged: Sequence[CaseRuling], place: dict[str, str], *, most: int = MOST
) -> Iterator[str]:
    shown = judged if len(judged) <= most else judged[: max(most - 1, 0)]
    for one in shown:
        yield command(level, _message(one), **place, title=f"attnbench: {one.case.label}")
    if (left := len(judged) - len(shown)) and most > 0:
        text = f"{left:,} more cases; the job's summary and the JSON have them"
        yield command(level, text, **place, title=f"attnbench: {left:,} more")


def _message(one: CaseRuling) -> str:
    case = one.case
    if case.verdict != "slower" or case.change is None:
        return words.remedy(one)
    limit = words.percent(case.limit)
    return f"{words.signed(case.change)} slower {words.interval(case)}, limit {limit}"


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
