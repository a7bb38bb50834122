"""Requests and the batch grammar: ``2q2k_8q1s1k`` is two prefills of 2048 and eight decodes.

The grammar is vLLM's (benchmarks/attention_benchmarks/README.md): groups joined by ``_``, each
``<count>? q<q_len> (s<total length>)?`` with ``k`` for x1024. ``s`` is the total length of the
sequence, the new tokens included, and is q_len where it is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from attnbench.errors import ProblemError
from attnbench.units import count_text, parse_count

# Far above any real batch; a count is typed faster than its requests are made.
MOST_REQUESTS = 1 << 20

_GROUP = re.compile(r"(\d+)?q(\d+[km]?)(?:s(\d+[km]?))?")


@dataclass(frozen=True, slots=True)
class Request:
    """One sequence: ``q_len`` queries against ``kv_len`` keys, the new tokens counted in both."""

    q_len: int
    kv_len: int

    @property
    def phase(self) -> str:
        """decode, prefill or extend, from the lengths."""
        if self.q_len == 1:
            return "decode"
        return "prefill" if self.q_len >= self.kv_len else "extend"


@lru_cache(maxsize=4096)
def parse_requests(text: str) -> tuple[Request, ...]:
    """Read the batch grammar.

    Raises:
        ProblemError: a group that does not read, a count or length of zero, or more requests
            than ``MOST_REQUESTS``.

    """
    requests: list[Request] = []
    for group in text.split("_"):
        match = _GROUP.fullmatch(group)
        if match is None:
            raise ProblemError(
                f"{group!r} in requests {text!r} does not read",
                field="requests",
                hint="write groups like 8q1s1k (8 decodes over 1024) or 2q2k, joined by _",
            )
        count = int(match[1] or 1)
        q_len = parse_count(match[2])
        kv_len = parse_count(match[3]) if match[3] else q_len
        if min(count, q_len, kv_len) < 1:
            raise ProblemError(f"{group!r} in requests {text!r} has a zero", field="requests")
        if len(requests) + count > MOST_REQUESTS:
            raise ProblemError(
                f"{text!r} has more than {MOST_REQUESTS:,} requests", field="requests"
            )
        requests.extend([Request(q_len, kv_len)] * count)
    return tuple(requests)


def format_requests(requests: Iterable[Request]) -> str:
    """Write the canonical text: equal adjacent requests joined, ``s`` only where it is needed."""
    return "_".join(group_text(len(list(same)), one) for one, same in groupby(requests))


def group_text(count: int, request: Request) -> str:
    """Write one group of equal requests, such as ``8q1s1k``."""
    number = str(count) if count > 1 else ""
    total = "" if request.kv_len == request.q_len else f"s{count_text(request.kv_len)}"
    return f"{number}q{count_text(request.q_len)}{total}"
