from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import UsageError
from exp_platform.pipelines.periods import read_periods


@pytest.mark.parametrize(
    ("labels", "grain", "first", "last"),
    [
        (["2004", "2003"], "year", (2003, 1, 1), (2004, 1, 1)),
        (["200312", "200401"], "month", (2003, 12, 1), (2004, 1, 1)),
        (["2003-12", "2004-01"], "month", (2003, 12, 1), (2004, 1, 1)),
        (["2003Q4", "2004Q1"], "quarter", (2003, 10, 1), (2004, 1, 1)),
        (["Q12011", "Q42010"], "quarter", (2010, 10, 1), (2011, 1, 1)),
        (["2026-01-05", "2026-01-06"], "date", (2026, 1, 5), (2026, 1, 6)),
        (["-3", "12"], "step", (2000, 1, 1), (2000, 1, 16)),
        (["1", "2"], "step", (2000, 1, 1), (2000, 1, 2)),
        (["1950", "2004"], "step", (2000, 1, 1), (2000, 2, 24)),
    ],
)
def test_read_periods_knows_the_grain(labels, grain, first, last):
    periods = read_periods(labels, "file")
    assert periods.grain == grain
    assert periods.starts[0] == datetime(*first, tzinfo=UTC)
    assert periods.starts[-1] == datetime(*last, tzinfo=UTC)


@pytest.mark.parametrize("labels", [["spring", "autumn"], ["2003", "2004Q1"], []])
def test_read_periods_refuses_what_it_cannot_read(labels):
    with pytest.raises(UsageError, match="no periods that can be read"):
        read_periods(labels, "file")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("2003", 0),
        ("2005", 2),
        ("2005.0", 2),
        ("2004.5", 2),
        ("2004-06-30", 2),
        ("2004-01-01T00:00:00Z", 1),
        ("1999", 0),
        ("2009", None),
        ("0", None),
        ("-1", None),
        ("inf", None),
        ("", None),
        (None, None),
        ("never", None),
    ],
)
def test_place_finds_the_first_treated_period(value, number):
    assert read_periods(["2003", "2004", "2005"], "file").place(value) == number


def test_place_takes_zero_for_a_period_where_it_is_one():
    assert read_periods(["-1", "0", "1"], "file").place("0") == 1
    assert read_periods(["1", "2", "3"], "file").place("0") is None


def test_place_refuses_a_word():
    with pytest.raises(UsageError, match="not a period"):
        read_periods(["2003", "2004"], "file").place("soon")


@given(numbers=st.sets(st.integers(-500, 500), min_size=2, max_size=20))
def test_read_periods_keeps_order_and_distance(numbers):
    periods = read_periods([str(number) for number in numbers], "file")
    assert list(periods.labels) == [str(number) for number in sorted(numbers)]
    first, last = periods.starts[0], periods.starts[-1]
    assert (last - first).days == max(numbers) - min(numbers)
    for number, label in enumerate(periods.labels):
        if int(label) > 0 or min(numbers) <= 0:
            assert periods.place(label) == number


@pytest.mark.parametrize(
    "labels", [["20000101", "20090101"], ["1700000000", "1700086400"]]
)
def test_read_periods_loses_no_number_that_lies_far_from_the_first(labels):
    with pytest.raises(UsageError, match="too far apart"):
        read_periods(labels, "file")


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        (["2004-03", "200403", "2004-04"], {"2004-03": 0, "200403": 0, "2004-04": 1}),
        (["2004Q1", "Q1 2004", "2004Q2"], {"2004Q1": 0, "Q1 2004": 0, "2004Q2": 1}),
    ],
)
def test_read_periods_takes_labels_of_one_instant_for_one_period(labels, numbers):
    periods = read_periods(labels, "file")
    assert periods.numbers == numbers
    assert len(periods.labels) == len(periods.starts) == 2


BERLIN = ["2024-03-31 22:00:00+00", "2024-04-01 22:00:00+00"]


def test_place_refuses_a_date_without_zone_beside_periods_of_a_zone():
    periods = read_periods(BERLIN, "file")
    with pytest.raises(UsageError, match="without a time zone"):
        periods.place("2024-04-02")
    assert periods.place("2024-04-02T00:00:00+02:00") == 1
    midnights = [label.replace("22:00", "00:00") for label in BERLIN]
    assert read_periods(midnights, "file").place("2024-04-01") == 1


def test_place_refuses_a_date_beside_plain_numbers():
    with pytest.raises(UsageError, match="not a period"):
        read_periods(["20000101", "20000102"], "file").place("2000-01-02")
