"""Hall's t: its definition, its limits, and where it is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import exp_platform as xp
from exp_platform.records import EstimateStatus, MetricTotals
from exp_platform.stats.hall import (
    estimate_hall_t,
    restore_statistic,
    transform_statistic,
)
from exp_platform.stats.moments import summarise_units
from exp_platform.stats.welch import estimate_welch

# Moments in floats against exact fractions; roots of the oracle to 1e-13.
ROUNDING = 1e-9


def _repeat(counted):
    levels, counts = counted
    return np.repeat(levels, counts)


@pytest.mark.parametrize("place", range(3))
def test_hall_t_agrees_with_its_definition(place, golden, settings):
    case = golden("hall")["cases"][place]
    arms = [
        summarise_units(("exp_1", "spend", name), _repeat(case[name]))
        for name in ("control", "treatment")
    ]
    row = estimate_hall_t(*arms, replace(settings, alpha=case["alpha"]), is_capped=True)
    answer = dict(case["answer"])
    assert row.details["skewness"] == pytest.approx(
        answer.pop("skewness"), rel=ROUNDING
    )
    for name, expected in answer.items():
        assert getattr(row, name) == pytest.approx(expected, rel=ROUNDING), name
    assert row.method == "hall_t"
    assert (row.relative_method, row.relative_ci_lower) == ("point", None)


def _arm(name, **changes):
    plain = {"n": 9000, "mean": 5.0, "variance": 40.0, "third_moment": 900.0}
    return MetricTotals("exp_1", "spend", name, **{**plain, **changes})


def test_hall_t_without_skewness_is_welch(settings):
    arms = (
        _arm("control", third_moment=0.0),
        _arm("treatment", n=1000, mean=5.4, third_moment=0.0),
    )
    row, welch = (
        estimate_hall_t(*arms, settings, is_capped=True),
        estimate_welch(*arms, settings),
    )
    for name in ("p_value", "ci_lower", "ci_upper", "statistic", "difference"):
        assert getattr(row, name) == pytest.approx(getattr(welch, name), rel=1e-12)
    assert row.details["welch_p_value"] == welch.p_value


def test_hall_t_of_swapped_arms_turns_round(settings):
    control, treatment = _arm("control"), _arm("treatment", n=1000, mean=5.4)
    row = estimate_hall_t(control, treatment, settings, is_capped=True)
    other = estimate_hall_t(treatment, control, settings, is_capped=True)
    assert other.p_value == pytest.approx(row.p_value, rel=1e-12)
    assert other.ci_lower == pytest.approx(-row.ci_upper, rel=1e-12)
    assert other.statistic == pytest.approx(-row.statistic, rel=1e-12)


def test_hall_t_widens_the_side_of_the_long_tail(settings):
    """A small arm of skewed values misses high values: its mean may be far higher."""
    control, treatment = _arm("control"), _arm("treatment", n=1000)
    row = estimate_hall_t(control, treatment, settings, is_capped=True)
    assert row.ci_upper - row.difference > row.difference - row.ci_lower


@given(
    t=st.floats(-40, 40),
    skewness=st.floats(-2, 2) | st.sampled_from([0.0, 1e-7, -1e-7, 1e-5]),
)
def test_restore_statistic_undoes_the_cubic(t, skewness):
    ends = np.array([t]), np.array([skewness])
    back = restore_statistic(transform_statistic(*ends), ends[1])
    # Where the cubic is flat, at t = -3 / a, its inverse loses two thirds of the digits.
    near_flat = abs(1 + skewness * t / 3) < 1e-3
    assert back[0] == pytest.approx(t, abs=2e-3 if near_flat else 1e-6)


@pytest.mark.parametrize(
    ("changes", "is_capped", "reason"),
    [
        ({"n": 999}, True, "TOO_FEW_UNITS"),
        ({"n": 9000}, False, "NEEDS_CAP"),
        ({"n": 4500}, False, "NEEDS_CAP"),
        ({"third_moment": None}, True, "INVALID_MOMENTS"),
        ({"variance": 1e-24}, True, "PRECISION_LOST"),
    ],
)
def test_hall_t_is_refused_where_it_would_mislead(changes, is_capped, reason, settings):
    arms = (_arm("control"), _arm("treatment", **{"n": 1000, **changes}))
    row = estimate_hall_t(*arms, settings, is_capped=is_capped)
    assert row.status is not EstimateStatus.OK
    assert (row.reason, row.p_value, row.ci_lower) == (reason, None, None)


def test_hall_t_of_a_constant_has_no_variance(settings):
    flat = {"variance": 0.0, "third_moment": 0.0}
    arms = (_arm("control", **flat), _arm("treatment", **flat))
    row = estimate_hall_t(*arms, settings, is_capped=True)
    assert row.reason == "ZERO_VARIANCE"


def test_capped_and_compare_offer_hall_t():
    random = np.random.default_rng(3)
    n = np.array([9000, 1000])
    frame = {
        "arm": np.repeat(["a", "b"], n).tolist(),
        "y": random.lognormal(0.0, 1.2, n.sum()).tolist(),
    }
    pandas = pytest.importorskip("pandas")
    units = pandas.DataFrame(frame)
    options = {"metric": "y", "variant": "arm", "baseline": "a"}
    (capped,) = xp.capped(units, test="hall_t", **options)
    (welch,) = xp.capped(units, **options)
    assert capped.method == "hall_t"
    assert capped.difference == pytest.approx(welch.difference, rel=1e-9)
    assert capped.standard_error == pytest.approx(welch.standard_error, rel=1e-9)
    assert capped.details["threshold"] == welch.details["threshold"]
    assert capped.details["is_capped"] is True
    (plain,) = xp.compare(units, test="hall_t", **options)
    assert plain.details["is_capped"] is False
    assert plain.details["skewness"] > capped.details["skewness"] > 0
