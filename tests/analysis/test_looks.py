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
    rows = xp.sequential(make(data), look="day", metric="y", planned_units=2000, **ARMS)
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
    [("confidence_sequence", {"planned_units": 2000}), ("msprt", {"mixture_sd": 0.3})],
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
    by_moments = xp.sequential(control, treatment, planned_units=2000)
    by_frame = xp.sequential(frame, look="day", metric="y", planned_units=2000, **ARMS)
    for one, other in zip(by_moments, by_frame, strict=True):
        assert one.ci_lower == pytest.approx(other.ci_lower, rel=1e-9)
        assert one.sequential_p_value == pytest.approx(
            other.sequential_p_value, rel=1e-7
        )


def test_units_without_a_look_wait(data):
    frame = pd.DataFrame(data)
    frame.loc[frame.day == 4, "day"] = np.nan
    rows = xp.sequential(frame, look="day", metric="y", planned_units=2000, **ARMS)
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
    {"planned_units": 2000},
    {"rule": "confidence_sequence", "planned_units": 2000},
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
