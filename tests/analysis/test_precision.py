"""Large values with a small spread: the right number, or words that are true."""

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.records import EstimateStatus

ARMS = {"metric": "y", "variant": "arm", "baseline": "a"}
N = 1200


def make_units(offset):
    """Units whose values differ by about 1 around a large number."""
    random = np.random.default_rng(3)
    arm = random.permutation(np.repeat(["a", "b"], N // 2))
    is_new = arm == "b"
    x = random.normal(0, 1, N)
    return pd.DataFrame(
        {
            "arm": arm,
            "x": x,
            "took": is_new * (random.random(N) < 0.6),
            "orders": 1.0 + random.random(N),
            "shop": np.char.add(arm, random.integers(0, 30, N).astype(str)),
            "few": np.char.add(arm, random.integers(0, 12, N).astype(str)),
            "land": random.choice(["p", "q"], N),
            "week": 1.0,
            "y": offset + (0.5 * x + is_new + random.normal(0, 1, N)),
        }
    )


CALLS = {
    "compare": lambda f: xp.compare(f, **ARMS),
    "cuped": lambda f: xp.cuped(f, covariate="x", **ARMS),
    "lin": lambda f: xp.lin(f, covariate="x", **ARMS),
    "post_stratify": lambda f: xp.post_stratify(f, strata="land", **ARMS),
    "clusters": lambda f: xp.cluster_means(f, cluster="shop", **ARMS),
    "few_clusters": lambda f: xp.cluster_means(f, cluster="few", **ARMS),
    "aipw": lambda f: xp.aipw(f, covariates="x", **ARMS),
    "regression": lambda f: xp.aipw(f, covariates="x", method="regression", **ARMS),
    "cace": lambda f: xp.cace(f, uptake="took", **ARMS),
    "bootstrap": lambda f: xp.bootstrap(f, n_resamples=50, **ARMS),
    "capped": lambda f: xp.capped(f, top_share=0.01, **ARMS),
    "bayes": lambda f: xp.bayes(f, **ARMS),
    "sequential": lambda f: xp.sequential(f, look="week", planned_units=N, **ARMS),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("offset", [1e13, 1e14, 1e15, 1e16])
def test_spread_that_values_cannot_hold_is_told_as_that(name, offset):
    """Values of 1e15 lie an eighth apart: they vary, and how much is lost."""
    row = CALLS[name](make_units(offset))[0]
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "PRECISION_LOST")
    assert (row.difference, row.p_value, row.standard_error) == (None,) * 3


def test_bootstrap_whose_error_is_rounding_is_told_as_that():
    """Here the values do vary by more than their rounding, their mean does not."""
    row = CALLS["bootstrap"](make_units(3e11))[0]
    assert (row.reason, row.difference) == ("PRECISION_LOST", None)


@pytest.mark.parametrize("name", CALLS)
def test_constant_value_is_told_as_that(name):
    row = CALLS[name](make_units(0.0).assign(y=0.1))[0]
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "ZERO_VARIANCE")


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"bayes", "sequential"}))
def test_large_values_give_the_difference_of_small_ones(name):
    """1e9 leaves a float seven digits behind the point: errors of 1e-7 per value."""
    large = CALLS[name](make_units(1e9))[0]
    small = CALLS[name](make_units(0.0))[0]
    assert large.status is EstimateStatus.OK
    assert large.difference == pytest.approx(small.difference, abs=1e-6)
    assert large.standard_error == pytest.approx(small.standard_error, rel=1e-5)
    assert large.p_value == pytest.approx(small.p_value, rel=1e-3)


ADJUSTED = {
    "cuped": lambda f: xp.cuped(f, covariate="x", **ARMS),
    "total": lambda f: xp.cuped(f, covariate="x", theta="total", **ARMS),
    "lin": lambda f: xp.lin(f, covariate="x", **ARMS),
    "looks": lambda f: xp.sequential(
        f, look="week", covariate="x", method="cuped", planned_units=N, **ARMS
    ),
}


@pytest.mark.parametrize("name", ADJUSTED)
@pytest.mark.parametrize("offset", [5e12, -5e12, 1e14])
def test_covariate_far_from_zero_adjusts_as_one_near_it(name, offset):
    """Its values are rounded to 1e-2 at 1e14: that much of the slope may move."""
    near, far = make_units(10.0), make_units(10.0)
    far["x"] += offset
    row, expected = ADJUSTED[name](far)[0], ADJUSTED[name](near)[0]
    assert row.status is EstimateStatus.OK
    assert row.difference == pytest.approx(expected.difference, abs=1e-3)
    assert row.standard_error == pytest.approx(expected.standard_error, rel=1e-4)


@pytest.mark.parametrize("name", ["cuped", "lin"])
def test_covariate_far_from_zero_that_is_unknown_of_some_adjusts_too(name):
    near, far = make_units(10.0), make_units(10.0)
    far["x"] += 5e12
    for frame in (near, far):
        frame.loc[::3, "x"] = np.nan
    row, expected = ADJUSTED[name](far)[0], ADJUSTED[name](near)[0]
    assert row.difference == pytest.approx(expected.difference, abs=1e-3)
    assert row.standard_error == pytest.approx(expected.standard_error, rel=1e-4)


def test_covariate_whose_moments_lost_its_spread_is_told_as_that():
    frame = make_units(10.0)
    frame["x"] += 1e14
    control, other = xp.moments(frame, covariate="x", **ARMS)
    assert control.covariate_mean == pytest.approx(1e14)
    (row,) = xp.cuped(control, other)
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "PRECISION_LOST")
    assert (row.difference, row.p_value) == (None, None)


@pytest.mark.parametrize("name", ADJUSTED)
@pytest.mark.parametrize("value", [0.0, 0.1, 5e12])
def test_covariate_that_is_the_same_for_all_is_told_as_that(name, value):
    row = ADJUSTED[name](make_units(10.0).assign(x=value))[0]
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "NO_COVARIATE_DATA")
    assert (row.difference, row.p_value) == (None, None)


@pytest.mark.parametrize("offset", [1e13, 1e14, 1e15, 2e15])
@pytest.mark.parametrize("unit", [None, "shop"])
def test_quantile_whose_values_have_no_digits_left_is_told_as_that(offset, unit):
    row = xp.quantile(make_units(offset), unit=unit, min_units=2, **ARMS)[0]
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "PRECISION_LOST")
    assert (row.difference, row.p_value, row.standard_error) == (None,) * 3


@pytest.mark.parametrize("unit", [None, "shop"])
def test_quantile_of_large_values_is_that_of_small_ones(unit):
    """1e9 leaves a float seven digits behind the point."""
    small, large = (
        xp.quantile(make_units(at), unit=unit, min_units=2, **ARMS)[0]
        for at in (0.0, 1e9)
    )
    assert large.difference == pytest.approx(small.difference, abs=1e-6)
    assert large.standard_error == pytest.approx(small.standard_error, rel=1e-5)


def make_panel(offset):
    random = np.random.default_rng(4)
    unit, day = np.repeat(np.arange(60), 8), np.tile(np.arange(8), 60)
    treated = (unit % 2 == 0).astype(int)
    y = random.normal(0, 1, 60)[unit] + random.normal(0, 1, 480) + treated * (day > 3)
    return pd.DataFrame({"unit": unit, "day": day, "treated": treated, "y": offset + y})


PANEL = {"unit": "unit", "time": "day", "treated": "treated", "policy_date": "4"}


@pytest.mark.parametrize("offset", [1e13, 1e15])
def test_panel_of_large_values_has_no_number(offset):
    frame = make_panel(offset)
    reasons = {row.method: row.reason for row in xp.did(frame, "y", **PANEL)}
    assert reasons.pop("synthetic_control") == "ENOUGH_CLUSTERS"
    assert set(reasons.values()) == {"PRECISION_LOST"}
    _, test = xp.event_study(frame, "y", **PANEL)
    assert test.reason == "PRECISION_LOST"
    assert xp.sensitivity(frame, "y", **PANEL).reason == "PRECISION_LOST"
