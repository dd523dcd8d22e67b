"""Looks from frames and from moments: the estimators' own answers, look by look."""

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.errors import UsageError
from exp_platform.stats.boundary import solve_boundaries
from exp_platform.stats.spending import Spending, spend_alpha

ARMS = {"variant": "arm", "baseline": "a"}


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(11)
    n = 4000
    return {
        "y": random.normal(10, 4, n).tolist(),
        "arm": random.permutation(np.repeat(["a", "b"], n // 2)).tolist(),
        "day": np.repeat([1, 2, 3, 4], n // 4).tolist(),
    }


def test_group_sequential_uses_the_spent_boundary(data, make):
    rows = xp.sequential(make(data), look="day", metric="y", planned_units=4000, **ARMS)
    assert [row.look for row in rows] == [1, 2, 3, 4]
    frame = pd.DataFrame(data)
    for row in rows:
        part = frame[frame.day <= row.look]
        (plain,) = xp.compare(part, metric="y", **ARMS)
        assert row.difference == pytest.approx(plain.difference, rel=1e-10)
    sizes = [np.array([r.n_control, r.n_treatment], float) for r in rows]
    information = np.array([np.prod(s) / s.sum() for s in sizes])
    spent = spend_alpha(Spending(), 0.05, np.minimum(information / 1000, 1.0))
    critical = solve_boundaries(spent, information).critical[0]
    half = (rows[1].ci_upper - rows[1].ci_lower) / 2 / rows[1].standard_error
    # t of 1,998 degrees of freedom against its normal z
    assert half == pytest.approx(critical[1], rel=5e-3)
    assert rows[-1].sequential_p_value is not None


@pytest.mark.parametrize(
    ("rule", "more"),
    [("confidence_sequence", {"planned_units": 4000}), ("msprt", {"mixture_sd": 0.3})],
)
def test_sequences_hold_at_every_look(rule, more, data, make):
    rows = xp.sequential(make(data), look="day", metric="y", rule=rule, **more, **ARMS)
    assert [row.look for row in rows] == [1, 2, 3, 4]
    p_values = [row.sequential_p_value for row in rows]
    assert p_values == sorted(p_values, reverse=True)
    (plain,) = xp.compare(make(data), metric="y", **ARMS)
    assert rows[-1].ci_upper > plain.ci_upper


def test_moments_at_each_look_say_the_same(data):
    frame = pd.DataFrame(data)
    looks = [
        xp.moments(frame[frame.day <= k], metric="y", **ARMS) for k in (1, 2, 3, 4)
    ]
    control, treatment = zip(*looks, strict=True)
    by_moments = xp.sequential(control, treatment, planned_units=4000)
    by_frame = xp.sequential(frame, look="day", metric="y", planned_units=4000, **ARMS)
    for one, other in zip(by_moments, by_frame, strict=True):
        assert one.ci_lower == pytest.approx(other.ci_lower, rel=1e-9)
        assert one.sequential_p_value == pytest.approx(
            other.sequential_p_value, rel=1e-7
        )


def test_units_without_a_look_wait(data):
    frame = pd.DataFrame(data)
    frame.loc[frame.day == 4, "day"] = np.nan
    rows = xp.sequential(frame, look="day", metric="y", planned_units=4000, **ARMS)
    assert [row.look for row in rows] == [1, 2, 3]
    assert rows[-1].n_control + rows[-1].n_treatment == 3000


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "needs planned_units"),
        ({"rule": "msprt"}, "needs mixture_sd"),
        ({"rule": "bayes"}, "no rule"),
        ({"look": None, "planned_units": 10}, "needs look"),
        ({"look": "arm", "planned_units": 10}, "numbers"),
        ({"spending": "linear", "planned_units": 10}, "no spending"),
    ],
)
def test_bad_input_names_what_is_allowed(more, words, data):
    options = {"look": "day", "metric": "y", **ARMS, **more}
    with pytest.raises(UsageError, match=words):
        xp.sequential(pd.DataFrame(data), **options)


def test_moments_of_different_looks_are_refused(data):
    one, other = xp.moments(pd.DataFrame(data), metric="y", **ARMS)
    with pytest.raises(UsageError, match="same looks"):
        xp.sequential([one, one], [other], planned_units=10)
    with pytest.raises(UsageError, match="two arms"):
        xp.sequential([one], [], planned_units=10)


RULES = [
    {"planned_units": 4000},
    {"rule": "confidence_sequence", "planned_units": 4000},
    {"rule": "msprt", "mixture_sd": 0.3},
]


@pytest.mark.parametrize("more", RULES)
@pytest.mark.parametrize("change", [lambda y: y * 1e160, lambda y: [1e300, *y[1:]]])
def test_values_without_a_sum_of_squares_have_no_numbers(change, more, data):
    frame = pd.DataFrame(data)
    frame["y"] = change(frame.y)
    for row in xp.sequential(frame, look="day", metric="y", **more, **ARMS):
        assert (row.status, row.reason) == ("METRIC_ERRORED", "INVALID_MOMENTS")
        numbers = (row.difference, row.standard_error, row.ci_lower, row.p_value)
        assert numbers == (None,) * 4


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0, -5, "many", True])
@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("group_sequential", "planned_units"),
        ("confidence_sequence", "planned_units"),
        ("msprt", "mixture_sd"),
    ],
)
def test_plan_that_is_no_number_is_refused_by_name(value, rule, name, data):
    options = {"look": "day", "metric": "y", "rule": rule, name: value, **ARMS}
    with pytest.raises(UsageError, match=name) as caught:
        xp.sequential(pd.DataFrame(data), **options)
    assert caught.value.parts["found"] == repr(value)


def test_planned_units_are_those_of_all_arms(data):
    """As on the command line: three arms of 1,000 end a test planned for 3,000."""
    frame = pd.DataFrame(data)[:3000]
    frame["arm"] = np.tile(["a", "b", "c"], 1000)
    rows = xp.sequential(frame, look="day", metric="y", planned_units=3000, **ARMS)
    last = [row for row in rows if row.look == 3]
    assert [row.treatment for row in last] == ["b", "c"]
    # All has been spent: the interval is hardly wider than that of a single look.
    plain = xp.compare(frame, metric="y", **ARMS)
    for row, one in zip(last, plain, strict=True):
        assert row.details["information_share"] == pytest.approx(1, abs=1e-3)
        assert (row.ci_upper - row.ci_lower) < 1.03 * (one.ci_upper - one.ci_lower)


def test_planned_shares_place_the_looks_on_the_clock(data):
    """A tenth planned for an arm carries 4 x .1 x .9 of the information of a half."""
    frame = pd.DataFrame(data)
    frame["arm"] = np.where(np.arange(4000) % 10 == 0, "b", "a")
    options = {"look": "day", "metric": "y", "planned_units": 4000, **ARMS}
    equal = xp.sequential(frame, **options)
    planned = xp.sequential(frame, weights={"a": 9, "b": 1}, **options)
    for one, other, share in zip(equal, planned, (0.25, 0.5, 0.75, 1), strict=True):
        assert other.details["information_share"] == pytest.approx(share, abs=1e-9)
        fraction = one.details["information_share"]
        assert fraction == pytest.approx(0.36 * share, abs=1e-9)


@pytest.mark.parametrize(
    ("rule", "plan"),
    [
        ("confidence_sequence", {"planned_units": 600}),
        ("msprt", {"mixture_sd": 0.1}),
    ],
)
def test_lift_without_interval_at_the_looks_critical_value_says_why(rule, plan):
    arm = np.where(np.arange(600) % 2, "b", "a")
    y = np.random.default_rng(2).normal(0.17, 1, 600) + 0.1 * (arm == "b")
    frame = pd.DataFrame({"arm": arm, "y": y, "look": 1})
    names = {"metric": "y", "variant": "arm", "baseline": "a"}
    (row,) = xp.sequential(frame, look="look", rule=rule, **plan, **names)
    assert row.relative_lift is not None
    assert (row.relative_ci_lower, row.relative_ci_upper) == (None, None)
    assert row.details["relative_reason"] == "INTERVAL_UNBOUNDED"
