from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.suite.readers import (
    ValueFault,
    flag,
    off_or_from,
    real,
    scalar,
    share,
    text,
    whole,
    word,
)

ANYTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.none())


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (whole(1), 4096, 4096),
        (whole(1), "4k", 4096),
        (whole(1), "1M", 1048576),
        (whole(0), 0, 0),
        (real(), 50, 50),
        (real(), 0.5, 0.5),
        (real(zero=True), 0, 0),
        (off_or_from(2, "why"), 0, 0),
        (off_or_from(2, "why"), 2, 2),
        (word(("a", "b")), "b", "b"),
        (flag, True, True),
        (text, "x", "x"),
        (share, "3%", 0.03),
        (share, "150 %", 1.5),
        (share, "0.03", 0.03),
        (share, 0.03, 0.03),
        (share, 0, 0),
        (scalar, None, None),
    ],
)
def test_what_may_be_said_is_read(read, value, expected):
    assert read("it", value) == expected


@pytest.mark.parametrize(
    ("read", "value", "message", "advice"),
    [
        (whole(1), "4 k", "it needs a whole number, found the text '4 k'", "write 4k or 4096"),
        (
            whole(1),
            "4,096",
            "it needs a whole number, found the text '4,096'",
            "write 4096 or 4096",
        ),
        (whole(1), "x", "it needs a whole number, found the text 'x'", "write 4096 or 4k"),
        (whole(1), 4096.0, "it needs a whole number, found 4096.0", "write 4096"),
        (whole(1), True, "it needs a whole number, found true", "write 4096 or 4k"),
        (whole(1), None, "it needs a whole number, found nothing", "write 4096 or 4k"),
        (whole(1), [1], "it needs a whole number, found a list", "what is varied goes under sweep"),
        (whole(1), 0, "it is at least 1; got 0", ""),
        (real(), "x", "it needs a number, found the text 'x'", ""),
        (real(), float("nan"), "it needs a number, found nan", ""),
        (real(), True, "it needs a number, found true", ""),
        (real(), 0, "it is above 0; got 0", ""),
        (off_or_from(2, "why"), 1.5, "it is 0 (off) or at least 2; got 1.5", "why"),
        (off_or_from(2, "why"), -1, "it is at least 0; got -1", ""),
        (real(zero=True), -1, "it is at least 0; got -1", ""),
        (
            word(("flash", "math")),
            "flsh",
            "it is one of flash, math; got 'flsh'",
            "did you mean 'flash'?",
        ),
        (word(("flash",)), {}, "it is one of flash; got a map", ""),
        (flag, "true", "it is true or false; got the text 'true'", "write true or false"),
        (text, 3, "it is a text; got 3", "write '3'"),
        (text, "", "it is a text; got an empty text", ""),
        (share, "x%", "it is a share; got the text 'x%'", "write 3% or 0.03"),
        (share, -0.1, "it is at least 0; got -0.1", ""),
        (share, 3, "it 3 would be 300 %", "write 3% or 0.03"),
        (scalar, [1], "it takes single values, found a list", ""),
    ],
)
def test_what_cannot_be_is_told_with_advice(read, value, message, advice):
    with pytest.raises(ValueFault) as caught:
        read("it", value)

    assert (caught.value.message, caught.value.advice) == (message, advice)


@pytest.mark.parametrize("read", [whole(1), real(), word(("a",)), flag, text, share, scalar])
@given(value=ANYTHING)
def test_any_value_is_read_or_refused(read, value):
    with contextlib.suppress(ValueFault):
        read("it", value)
