"""How numbers look."""

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.checks import numbers
from exp_platform.records import Direction, MetricDefinition, MetricType

SHARE = MetricDefinition("c", 1, MetricType.PROPORTION, Direction.INCREASE, "c")
MONEY = MetricDefinition(
    "r", 1, MetricType.MEAN, Direction.INCREASE, "r", unit_label="EUR"
)


def plain(text):
    """The same text with the hyphen that people type for a minus."""
    return text.replace(numbers.MINUS, "-")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.5e20, "1.5e20"),
        (0, "0"),
        (12734.4, "12,734"),
        (-0.0312, "-0.0312"),
        (3.0, "3.00"),
        (9.996, "10.00"),
        (1e-9, "1.0e-9"),
        (None, "no number"),
        (math.nan, "no number"),
        (-math.inf, "no number"),
    ],
)
def test_format_number(value, text):
    assert plain(numbers.format_number(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.01, "0.01"),
        (1.0, "1"),
        (100.0, "100"),
        (3e-8, "3.0e-8"),
        (0.0, "0"),
        (8.09e20, "8.1e20"),
        (-1e300, "-1.0e300"),
    ],
)
def test_format_measure(value, text):
    assert plain(numbers.format_measure(value)) == text


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_format_measure_is_of_the_size_of_its_value(value):
    shown = float(plain(numbers.format_measure(value)).replace(",", ""))
    assert shown == pytest.approx(value, rel=0.06)


def test_large_numbers_keep_the_zeros_of_their_exponent():
    assert numbers.format_size(MONEY, 2e20) == "2.0e20 EUR"
    assert numbers.format_difference(MONEY, 2e20) == "+2.0e20"
    assert numbers.format_percent(2e30) == "2.0e32 %"
    assert numbers.format_tick(1e100) == "1e+100"


@pytest.mark.parametrize(
    ("p_value", "text"),
    [
        (0.0, "p < 0.001"),
        (0.00099, "p < 0.001"),
        (0.0012, "p = 0.0012"),
        (0.05, "p = 0.05"),
        (0.123, "p = 0.12"),
        (0.999, "p > 0.99"),
        (None, "p: no number"),
    ],
)
def test_format_p_phrase(p_value, text):
    assert numbers.format_p_phrase(p_value) == text


def test_format_lift_shares_decimals_with_its_interval():
    lift = (0.0033, -0.0092, 0.0158)
    assert numbers.format_lift(*lift) == "+0.33 %"
    assert plain(numbers.format_lift_interval(*lift)) == "-0.92 % to 1.58 %"
    assert numbers.format_lift(0.312, None, None) == "+31.2 %"
    assert numbers.format_lift_interval(0.312, 0.2, None) == "no number"


def test_a_small_difference_keeps_its_digits_and_so_does_its_interval():
    tiny = (1.1e-8, 2.4e-9, 2.0e-8)
    assert plain(numbers.format_difference(MONEY, *tiny)) == "+1.1e-8"
    interval = numbers.format_difference_interval(MONEY, *tiny)
    assert plain(interval) == "2.4e-9 to 2.0e-8"
    assert numbers.format_difference(SHARE, *tiny) == "+0.00000110 pp"
    lift = numbers.format_lift_interval(*(value / 100 for value in tiny))
    assert plain(lift) == "2.4e-9 % to 2.0e-8 %"
    interval = numbers.format_difference_interval(MONEY, 0.0, 0.0, 2e-8)
    assert plain(interval) == "0 to 2.0e-8"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ((6.2, 0.00042, 12.3), "0.0004 to 12.3"),
        ((-6.2, -12.3, -0.04), "-12.3 to -0.04"),
        ((6.2, 3e-9, 12.3), "3.0e-9 to 12.3"),
        ((6.2, 0.0, 12.3), "0.0 to 12.3"),
        ((6.2, -1e-16, 12.3), "0.0 to 12.3"),
        ((0.5, 0.004, 1.0), "0.004 to 1.00"),
    ],
)
def test_an_end_that_is_not_zero_is_not_shown_as_zero(values, text):
    assert plain(numbers.format_difference_interval(MONEY, *values)) == text
    lift = numbers.format_lift_interval(*(value / 100 for value in values))
    assert plain(lift) == text.replace(" to", " % to") + " %"


@given(
    st.floats(min_value=1e-12, max_value=1e12), st.floats(min_value=1.1, max_value=1e6)
)
def test_an_interval_above_zero_reads_above_zero(lower, factor):
    shown = numbers.format_difference_interval(MONEY, lower, lower, lower * factor)
    low, high = (float(plain(end).replace(",", "")) for end in shown.split(" to "))
    assert 0 < low <= high


def test_format_difference_by_type():
    values = (0.0305, 0.0225, 0.0385)
    assert numbers.format_difference(SHARE, *values) == "+3.05 pp"
    assert numbers.format_difference_interval(SHARE, *values) == "2.25 to 3.85"
    assert plain(numbers.format_difference(MONEY, -1234.5)) == "-1,234"
    assert numbers.format_mean(SHARE, 0.1) == "10.0 %"
    assert numbers.format_mean(MONEY, 4.2) == "4.20"
    assert numbers.format_mean(None, 4.2) == "4.20"
    assert numbers.format_size(SHARE, -0.02) == "2 pp"
    assert numbers.format_size(MONEY, -1234.5) == "1,234 EUR"


def test_format_date_is_the_same_in_every_locale():
    instant = datetime(2026, 12, 1, 6, 5, tzinfo=UTC)
    assert numbers.format_instant(instant) == "1 Dec 2026, 06:05 UTC"


@given(st.none() | st.floats())
def test_formats_never_print_what_is_not_a_number(value):
    for text in (
        numbers.format_number(value),
        numbers.format_measure(value),
        numbers.format_percent(value),
        numbers.format_lift(value, value, value),
        numbers.format_lift_interval(value, value, value),
        numbers.format_difference(SHARE, value, None, value),
        numbers.format_p(value),
    ):
        assert "nan" not in text.lower()
        assert "inf" not in text.lower()
        assert "-0 " not in plain(text)
        assert (text == "no number") == (
            value is None or not math.isfinite(100 * value)
        )
