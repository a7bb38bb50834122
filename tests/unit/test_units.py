from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnbench.units import (
    bytes_text,
    count_text,
    duration_text,
    flops_text,
    parse_bytes,
    parse_count,
    parse_duration,
    rate_text,
    significant,
    spread_text,
    time_text,
)

PARTS = {"ns": 1e-9, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
PARTS |= {"TB": 1e12, "MB/s": 1e6, "GB/s": 1e9, "TB/s": 1e12}
PARTS |= {"MFLOP/s": 1e6, "GFLOP/s": 1e9, "TFLOP/s": 1e12}
WRITERS = {
    time_text: st.floats(1e-9, 1e4),
    bytes_text: st.integers(0, 10**16).map(float),
    rate_text: st.floats(1e5, 1e16),
    flops_text: st.floats(1e5, 1e18),
}


def read_back(text):
    number, unit = text.split(" ")
    return float(number) * PARTS[unit]


@pytest.mark.parametrize(
    ("text", "value"),
    [("4096", 4096), ("4k", 4096), ("4K", 4096), ("1m", 1048576), (" 2g ", 2**31), ("0", 0)],
)
def test_a_count_reads(text, value):
    assert parse_count(text) == value


@pytest.mark.parametrize("text", ["", "k", "4kb", "4.5k", "-1", "4 k", "1e3", "0x10"])
def test_what_is_no_count_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a whole number such as 4096 or 4k"):
        parse_count(text)


@given(st.integers(0, 2**50))
def test_a_count_that_was_written_reads_back(value):
    assert parse_count(count_text(value)) == value


@pytest.mark.parametrize(
    ("value", "text"), [(4096, "4k"), (131072, "128k"), (1000, "1000"), (3 * 2**20, "3m"), (0, "0")]
)
def test_a_count_is_written_as_suites_write_it(value, text):
    assert count_text(value) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1.5 min", 90), ("1h", 3600), ("0.5H", 1800)],
)
def test_a_duration_reads(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1d", "-1s", "1:30", "5ms"])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a duration such as 90s, 10m or 1h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("141GB", 141 * 10**9), ("80GiB", 80 * 2**30), ("512 MiB", 2**29), ("7b", 7), ("1.5kB", 1500)],
)
def test_a_size_reads(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "80", "80 G", "1PB", "-1GB", "5iB"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a size such as 80GB or 512MiB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5, "0.500"),
        (9.994, "9.99"),
        (9.996, "10.0"),
        (99.96, "100"),
        (999.6, "1000"),
        (12345, "12345"),
        (0.00012, "0.000120"),
        (0.0000999, "9.99e-05"),
        (-18.25, "-18.2"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
    ],
)
def test_three_digits_are_kept_also_where_rounding_carries(value, text):
    assert significant(value) == text


@given(st.floats(1e-4, 999.4))
def test_a_written_number_has_three_significant_digits(value):
    digits = significant(value).replace(".", "").lstrip("0")

    assert len(digits) == 3


@given(st.floats(1e-12, 1e12))
def test_a_written_number_is_within_half_of_its_last_digit(value):
    assert float(significant(value)) == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (time_text(18.2e-6), "18.2 µs"),
        (time_text(4.1e-3), "4.10 ms"),
        (time_text(1.2), "1.20 s"),
        (time_text(999.6e-9), "1.00 µs"),
        (time_text(0), "0 ns"),
        (bytes_text(2.147e9), "2.15 GB"),
        (bytes_text(999), "999 B"),
        (bytes_text(1000), "1.00 kB"),
        (bytes_text(999_600), "1.00 MB"),
        (rate_text(4.31e12), "4.31 TB/s"),
        (rate_text(25.6e9), "25.6 GB/s"),
        (flops_text(512e12), "512 TFLOP/s"),
        (flops_text(1.2345e15), "1230 TFLOP/s"),
    ],
)
def test_scaled_text(text, expected):
    assert text == expected


@pytest.mark.parametrize("writer", WRITERS, ids=lambda one: one.__name__)
@given(data=st.data())
def test_scaled_text_keeps_the_value_to_three_digits_and_stays_under_1000(writer, data):
    value = data.draw(WRITERS[writer])
    text = writer(value)
    number, unit = text.split(" ")

    assert read_back(text) == pytest.approx(value, rel=0.00501)
    assert re.fullmatch(r"\d+(\.\d+)?", number)
    assert float(number) < 1000 or unit in ("s", "TB", "TB/s", "TFLOP/s")


@pytest.mark.parametrize("writer", WRITERS, ids=lambda one: one.__name__)
@given(data=st.data())
def test_scaled_text_never_turns_an_order_round(writer, data):
    small, large = sorted([data.draw(WRITERS[writer]), data.draw(WRITERS[writer])])

    assert read_back(writer(small)) <= read_back(writer(large)) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (272, "4 min 32 s"),
        (3599.7, "1 h 0 min"),
        (7380, "2 h 3 min"),
    ],
)
def test_a_duration_is_written_without_false_precision(seconds, text):
    assert duration_text(seconds) == text


def test_a_gigabyte_is_decimal():
    # MiB/ms labelled GB/s is 4.86 % more, GiB/s labelled GB/s 7.37 %: both are seen in the field.
    assert rate_text(2**20 / 1e-3) == "1.05 GB/s"
    assert rate_text(2**30) == "1.07 GB/s"


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "±0.0%"), (0.0123, "±1.2%"), (9.99, "±999.0%"), (9.9999, "±>999%"), (985.0, "±>999%")],
)
def test_half_an_interval_is_a_percentage_until_it_says_nothing(share, text):
    assert spread_text(share) == text
