from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from attnbench.analysis.compare import compare, unpriced
from attnbench.analysis.running_cost import (
    Prices,
    dollars_a_million,
    prices_by_device,
)
from attnbench.errors import OptionError
from attnbench.render.values import dollars_text

SPEC = importlib.util.spec_from_file_location("made_runs", Path(__file__).with_name("made_runs.py"))
made = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(made)

H100, PCIE, H200 = "NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA H200"


@pytest.fixture
def two(tmp_path):
    base = made.write_run(tmp_path / "h200.parquet", made.make_rows(cases=2, seed=1))
    slower = {"run_id": "h", "device_id": "x", "device_name": H100, "slowdowns": {0: 0.5, 1: 0.5}}
    new = made.write_run(tmp_path / "h100.parquet", made.make_rows(cases=2, seed=1, **slower))
    return base, new


def test_a_call_costs_its_share_of_an_hour(two):
    (pair,) = compare(*two, prices={"H200": 3.6, "H100": 1.8})
    first = pair.comparisons[0]

    # A million calls of x µs take x seconds, and 3.60 dollars an hour are 0.001 a second.
    seconds = first.base.seconds * 1e6
    assert dollars_a_million(first.base, pair.prices.base) == pytest.approx(seconds / 1000)
    assert dollars_a_million(first.new, pair.prices.new) == pytest.approx(1.5 * seconds / 2000)
    # Half the price at 1.5 times the time: 2 / 1.5 times the calls for the same money.
    assert pair.prices.work(first.ratio) == pytest.approx(2 / 1.5)
    assert pair.prices.ratio == pytest.approx(0.5)


def test_what_one_side_alone_costs_is_no_ratio(two):
    (pair,) = compare(*two, prices={"H200": 3.6})
    first = pair.comparisons[0]

    assert pair.prices == Prices(base=3.6, new=None)
    assert pair.prices.work(first.ratio) is None
    assert dollars_a_million(first.new, pair.prices.new) is None
    assert unpriced([pair]) == [H100]


def test_without_a_price_no_device_lacks_one(two):
    (pair,) = compare(*two)

    assert pair.prices == Prices()
    assert unpriced([pair]) == []


@pytest.mark.parametrize("word", ["h200", "H200", "NVIDIA H200", " nvidia h200 "])
def test_a_device_has_the_words_that_it_has_elsewhere(word):
    assert prices_by_device({word: 3}, [H100, H200]) == {H200: 3.0}


def test_a_word_of_the_datasheets_is_that_device_and_no_other_of_its_name():
    names = [H100, PCIE]

    assert prices_by_device({"h100": 2, "h100-pcie": 1}, names) == {H100: 2.0, PCIE: 1.0}


@pytest.mark.parametrize("word", ["H20", "200", "H300", "", "="])
def test_a_part_of_a_word_is_no_device(word):
    with pytest.raises(OptionError, match="no device of these runs is called") as raised:
        prices_by_device({word: 3}, [H200])

    assert raised.value.exit_code == 2
    assert "--price 'NVIDIA H200=3'" in raised.value.hint


def test_a_word_for_several_devices_has_to_be_written_in_full():
    with pytest.raises(OptionError, match=r"more than one device of these runs: .*H100.*H200"):
        prices_by_device({"nvidia": 3}, [H100, H200])


def test_a_device_has_one_price():
    with pytest.raises(OptionError, match="NVIDIA H200 has two prices: 'H200' and 'h200'"):
        prices_by_device({"H200": 3, "h200": 4}, [H200])


@pytest.mark.parametrize("price", [0, -1.0, float("nan"), float("inf"), True, "3"])
def test_a_price_is_a_number_above_nothing(price):
    with pytest.raises(OptionError, match="the price of 'H200' is"):
        prices_by_device({"H200": price}, [H200])


@pytest.mark.parametrize(
    ("value", "text"), [(0.02111, "$0.0211"), (3.8, "$3.80"), (14.3, "$14.30"), (2500, "$2,500.00")]
)
def test_dollars_have_three_digits_that_count_and_cents(value, text):
    assert dollars_text(value) == text
