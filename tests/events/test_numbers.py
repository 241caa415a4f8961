"""Numbers from text: what can be read in one way is read, what cannot is told."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from instanter.events.numbers import FAULTS, currencies_agree, of_any_text, read_number

READ = [
    ("19.99", 19.99, ""),
    (" 19.99\u00a0", 19.99, ""),
    ("12,50", 12.5, ""),
    ("19,9", 19.9, ""),
    ("0", 0.0, ""),
    ("007", 7.0, ""),
    ("2", 2.0, ""),
    ("-5", -5.0, ""),
    ("\u22125,50", -5.5, ""),
    ("+5", 5.0, ""),
    ("1,299.00", 1299.0, ""),
    ("1.299,00", 1299.0, ""),
    ("1 299,00", 1299.0, ""),
    ("1\u202f299,00 €", 1299.0, "EUR"),
    ("1'299.00", 1299.0, ""),
    ("CHF 1\u2019299.50", 1299.5, "CHF"),
    ("1,299,000", 1299000.0, ""),
    ("1.299.000", 1299000.0, ""),
    ("1.299.000,5", 1299000.5, ""),
    ("1,00,000.00", 100000.0, ""),
    ("12,34,567", 1234567.0, ""),
    ("1 299", 1299.0, ""),
    ("0.125", 0.125, ""),
    ("0,125", 0.125, ""),
    (".5", 0.5, ""),
    ("-.5", -0.5, ""),
    ("1299.125", 1299.125, ""),
    ("12.3456", 12.3456, ""),
    ("12,3456", 12.3456, ""),
    ("1 299,125", 1299.125, ""),
    ("$99.00", 99.0, "$"),
    ("$.99", 0.99, "$"),
    ("-$5.00", -5.0, "$"),
    ("$-5.00", -5.0, "$"),
    ("US$ 5", 5.0, "USD"),
    ("105.29 USD", 105.29, "USD"),
    ("105.29usd", 105.29, "USD"),
    ("$5 CAD", 5.0, "CAD"),
    ("€5", 5.0, "EUR"),
    ("5€", 5.0, "EUR"),
    ("EUR 19,99", 19.99, "EUR"),
    ("19,- €", 19.0, "EUR"),
    ("19,–", 19.0, ""),
    ("1 299:-", 1299.0, ""),
    ("R 129,99", 129.99, "ZAR"),
    ("KSh 1,500.00", 1500.0, "KES"),
    ("৳500", 500.0, "BDT"),
    ("12,50 zl", 12.5, "PLN"),
    ("Rs. 500", 500.0, "RS"),
    ("1 299 kr", 1299.0, "KR"),
    ("49,90 zł", 49.9, "PLN"),
    ("$1,299", 1299.0, "$"),
    ("1,299 GBP", 1299.0, "GBP"),
    ("¥1,299", 1299.0, "¥"),
    ("129.000 ₫", 129000.0, "VND"),
    ("1e3", 1000.0, ""),
    ("1.5E-7", 1.5e-7, ""),
    (5, 5.0, ""),
    (-2.5, -2.5, ""),
]


@pytest.mark.parametrize(("sent", "number", "currency"), READ)
def test_what_can_be_read_in_one_way_is_read(sent, number, currency):
    assert read_number(sent) == (number, currency, "")


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        *[(text, "ambiguous") for text in ("1,299", "1.299", "€1.299", "12,500", "999.999", "-1.299", "€1,299")],
        ("$1.299", "ambiguous"),
        *[(text, "empty") for text in ("", "   ", "\u00a0")],
        *[(text, "no_number") for text in (
            "1_000", "inf", "-inf", "nan", "NaN", "Infinity", "0x10", "１９", "٣", "abc", "free", "-", "€", "1.2.3",
            "1,2,3", "1,29,9", "1,299.00.0", "1.299,00,0", "1 2", "12 34", "1'2", "10-20", "5 - 7", "5%", "5 kg",
            "2 pcs", "--5", "(5)", "5.", "5,", "1,,5", "1 ,5", "5 EUR USD", "EUR 5 USD", "1e", "1e5 EUR x", "1\n2",
            "v1.2", "2024-01-01", "\x00", "9" * 65, "1 299'000.00", "1.299 000",
        )],
        *[(value, "kind") for value in (True, False, None, [], {}, b"5", [5])],
        *[(value, "not_finite") for value in (float("nan"), float("inf"), -float("inf"), 10**400, "1e999")],
    ],
)  # fmt: skip
def test_what_is_no_number_or_two_is_told(sent, fault):
    read = read_number(sent)
    assert isnan(read.number)
    assert (read.currency, read.fault) == ("", fault)
    assert FAULTS[fault]


@given(st.decimals(min_value=-10**9, max_value=10**9, places=2), st.sampled_from(["", " ", "'", "\u00a0", ",", "."]),
       st.sampled_from([",", "."]))  # fmt: skip
def test_amounts_with_cents_are_read_however_they_are_grouped(amount, group, point):
    if group == point:
        group = ""
    text = f"{amount:,.2f}".replace(",", "_").replace(".", point).replace("_", group)
    assert read_number(text) == (float(amount), "", "")
    assert read_number(f"{text} EUR") == (float(amount), "EUR", "")
    assert read_number(f"€ {text}") == (float(amount), "EUR", "")


@given(st.integers(-(10**15), 10**15))
def test_whole_numbers_are_read(number):
    assert read_number(str(number)) == read_number(number) == (float(number), "", "")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_a_program_writes_is_read_or_ambiguous_but_never_another_number(number):
    assert read_number(number).number == number
    read = read_number(repr(number))
    assert read.number == number or read.fault == "ambiguous"


FIGURES = st.text("0123456789", min_size=1, max_size=14)


@given(st.lists(FIGURES | st.sampled_from([",", ".", " ", "-", "1", "123", "1,234", "e5"]), max_size=8).map("".join))
@example("1,234.5")
@example("001,234.50")
@example("0")
@example("12.345")
def test_the_short_ways_read_as_the_long_one(text):
    np.testing.assert_equal(tuple(read_number(text)), tuple(of_any_text(text)))


@given(st.text(max_size=80))
def test_any_text_is_answered(text):
    read = read_number(text)
    assert isnan(read.number) == bool(read.fault)


def test_currencies_agree_where_they_may_be_one():
    assert all(currencies_agree(*pair) for pair in [("USD", "USD"), ("$", "AUD"), ("SEK", "KR"), ("", "EUR")])
    assert not any(currencies_agree(*pair) for pair in [("EUR", "CHF"), ("$", "EUR"), ("USD", "CAD")])
