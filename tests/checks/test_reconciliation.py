"""How another number is read, and the search for what leads to it."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.checks.reconciliation import (
    ALL_ARMS,
    ArmNumbers,
    Claim,
    Combination,
    Numbers,
    Option,
    Printed,
    Statistic,
    find_explanations,
    find_nearest,
    find_number,
    is_met,
    measure_exactly,
    read_printed,
)
from exp_platform.errors import UsageError

ARMS = {
    "a": ArmNumbers(10, 50.0),
    "b": ArmNumbers(30, 180.0),
}
RATIO = {
    "a": ArmNumbers(10, 50.0, 25.0),
    "b": ArmNumbers(30, 180.0, 60.0),
}
QUANTILE = {
    "a": ArmNumbers(10, 50.0, quantile=4.0, is_quantile=True),
    "b": ArmNumbers(30, 180.0, quantile=None, is_quantile=True),
}


@pytest.mark.parametrize(
    ("text", "value", "half"),
    [
        ("12.50", 12.5, 0.005),
        ("12", 12.0, 0.5),
        ("-0.3", -0.3, 0.05),
        ("1.2e3", 1200.0, 50.0),
        ("4.1%", 0.041, 0.0005),
        (" 7 ", 7.0, 0.5),
        ("0", 0.0, 0.5),
    ],
)
def test_read_printed_leaves_half_a_unit_of_the_last_digit(
    text: str, value: float, half: float
) -> None:
    printed = read_printed(text)
    assert printed.value == pytest.approx(value, rel=1e-15)
    # the slack for a number right between two digits
    assert printed.tolerance == pytest.approx(half, rel=1e-8)


@pytest.mark.parametrize(
    "text", ["", "a lot", "1,234", "1_000", "nan", "inf", "1e999", "%", "1 2", "1" * 99]
)
def test_read_printed_refuses_what_is_no_number(text: str) -> None:
    with pytest.raises(UsageError):
        read_printed(text)


@given(st.floats(-1e9, 1e9), st.integers(0, 12))
def test_read_printed_agrees_with_what_was_printed(number: float, places: int) -> None:
    assert read_printed(f"{number:.{places}f}").agrees(number)


def test_printed_agrees_with_no_missing_number() -> None:
    assert not Printed(0.0, 1.0).agrees(None)


@pytest.mark.parametrize(
    ("numbers", "statistic", "variant", "expected"),
    [
        (ARMS, Statistic.UNITS, "b", 30.0),
        (ARMS, Statistic.UNITS, ALL_ARMS, 40.0),
        (ARMS, Statistic.TOTAL, ALL_ARMS, 230.0),
        (ARMS, Statistic.DENOMINATOR, "a", None),
        (ARMS, Statistic.MEAN, "a", 5.0),
        (ARMS, Statistic.MEAN, ALL_ARMS, 5.75),
        (ARMS, Statistic.DIFFERENCE, "b", 1.0),
        (ARMS, Statistic.LIFT, "b", 0.2),
        (RATIO, Statistic.MEAN, "b", 3.0),
        (RATIO, Statistic.DENOMINATOR, ALL_ARMS, 85.0),
        (RATIO, Statistic.MEAN, ALL_ARMS, 230 / 85),
        (RATIO, Statistic.DIFFERENCE, "b", 1.0),
        (QUANTILE, Statistic.MEAN, "a", 4.0),
        (QUANTILE, Statistic.MEAN, ALL_ARMS, None),
        (QUANTILE, Statistic.TOTAL, "a", None),
        (QUANTILE, Statistic.DIFFERENCE, "b", None),
        ({"a": ArmNumbers(0, 0.0), "b": ARMS["b"]}, Statistic.MEAN, "a", None),
        ({"a": ArmNumbers(0, 0.0), "b": ARMS["b"]}, Statistic.LIFT, "b", None),
        ({"a": ArmNumbers(9, -9.0), "b": ARMS["b"]}, Statistic.LIFT, "b", None),
    ],
)
def test_find_number_of_each_statistic(
    numbers: Numbers, statistic: Statistic, variant: str, expected: float | None
) -> None:
    found = find_number(numbers, statistic, variant, control="a")
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-15))


def test_is_met_by_all_arms_at_once() -> None:
    both = {"a": measure_exactly(50.0), "b": measure_exactly(180.0)}
    wrong = both | {"b": measure_exactly(181.0)}
    assert is_met(Claim(Statistic.TOTAL, both), ARMS, control="a")
    assert not is_met(Claim(Statistic.TOTAL, wrong), ARMS, control="a")


def test_find_nearest_is_relative_and_passes_over_what_does_not_exist() -> None:
    claims = [
        Claim(Statistic.DENOMINATOR, {"a": measure_exactly(49.0)}),
        Claim(Statistic.UNITS, {"a": measure_exactly(49.0)}),
        Claim(Statistic.TOTAL, {"a": measure_exactly(49.0)}),
    ]
    assert find_nearest(claims, ARMS, control="a") is claims[2]
    zero = [Claim(Statistic.UNITS, {"a": measure_exactly(0.0)})]
    nobody = {"a": ArmNumbers(0, 0.0)}
    assert find_nearest(zero, nobody, control="a") is zero[0]


def _world(changes: Mapping[str, float]) -> "_World":
    return _World(dict(changes))


class _World:
    """Departures that add up, and a count of what was asked."""

    def __init__(self, changes: dict[str, float]) -> None:
        self.changes = changes
        self.asked: list[Combination] = []

    def __call__(self, combination: Combination) -> Numbers:
        self.asked.append(combination)
        total = 100.0 + sum(self.changes[code] for code in combination)
        return {"a": ArmNumbers(10, total)}


def _claim(number: float) -> list[Claim]:
    return [Claim(Statistic.TOTAL, {"a": measure_exactly(number)})]


OPTIONS = [
    Option("x"),
    Option("y", "g"),
    Option("z", "g"),
    Option("clock", is_alone=True),
]
CHANGES = {"x": 1.0, "y": 10.0, "z": 30.0, "clock": 700.0}


@pytest.mark.parametrize(
    ("number", "expected", "n_tried"),
    [
        (100.0, [()], 1),
        (130.0, [("z",)], 5),
        (111.0, [("x", "y")], 7),
        # y and z exclude each other, the clock stays alone
        (140.0, [], 7),
        (701.0 + 100.0, [], 7),
    ],
)
def test_find_explanations_takes_the_smallest_that_may_be_combined(
    number: float, expected: list[Combination], n_tried: int
) -> None:
    world = _world(CHANGES)
    search = find_explanations(_claim(number), OPTIONS, world, control="a", depth=3)
    assert [one.combination for one in search.explanations] == expected
    assert search.n_tried == len(world.asked) == n_tried


def test_find_explanations_prefers_none_of_equally_small_ones() -> None:
    world = _world({"p": 5.0, "q": 5.0, "r": 2.0, "s": 3.0})
    options = [Option(code) for code in world.changes]
    search = find_explanations(_claim(105.0), options, world, control="a", depth=2)
    assert [one.combination for one in search.explanations] == [("p",), ("q",)]
    assert search.size == 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(101, 260))
def test_find_explanations_never_forces_one(changes: list[int], number: int) -> None:
    world = _world({str(i): float(change) for i, change in enumerate(changes)})
    options = [Option(code) for code in world.changes]
    search = find_explanations(
        _claim(float(number)), options, world, control="a", depth=5
    )
    for one in search.explanations:
        assert 100 + sum(world.changes[code] for code in one.combination) == number
    sizes = {len(one.combination) for one in search.explanations}
    assert sizes <= {search.size}
