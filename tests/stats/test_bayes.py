from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import ContractError
from exp_platform.records import Direction
from exp_platform.stats.bayes import (
    NormalPrior,
    estimate_bayes_normal,
    update_normal,
)
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch


@pytest.fixture(scope="module")
def arms(total):
    random = np.random.default_rng(14)
    return (
        total(random.gamma(2, 5, 800)),
        total(random.gamma(2, 5.3, 700), "treatment"),
    )


def test_update_normal_agrees_with_quadrature(golden):
    cases = golden("bayes")["normals"]
    names = ("lift", "error", "prior_mean", "prior_sd")
    columns = [np.array([case[name] for case in cases]) for name in names]
    found = update_normal(*columns, 0.05)
    for k, case in enumerate(cases):
        for name in ("mean", "sd", "probability_above", "loss_above", "loss_below"):
            # The loss of a sure thing is a small difference: 1e-15 of an sd is left.
            assert getattr(found, name)[k] == pytest.approx(
                case[name], rel=1e-9, abs=1e-17
            )


def test_wide_prior_gives_back_the_estimate(arms, settings):
    wide = NormalPrior(sd=1e6, scale="absolute")
    found = estimate_bayes_normal(*arms, settings, prior=wide)
    base = estimate_welch(*arms, settings)
    assert found.difference == pytest.approx(base.difference, rel=1e-9)
    assert found.standard_error == pytest.approx(base.standard_error, rel=1e-9)


def test_row_has_beliefs_and_no_p_value(arms, settings):
    found = estimate_bayes_normal(*arms, settings)
    base = estimate_welch(*arms, settings)
    assert found.method == "bayes_normal"
    assert found.p_value is None
    assert found.relative_p_value is None
    assert found.statistic is None
    assert abs(found.relative_lift) < abs(base.relative_lift)
    assert found.details["observed_relative_lift"] == base.relative_lift
    assert found.difference == pytest.approx(found.relative_lift * base.control_mean)
    assert found.relative_ci_lower < found.relative_lift < found.relative_ci_upper
    details = found.details
    assert 0 < details["probability_to_beat"] < 1
    # The lift is what choosing treatment gains less what it gives away.
    gain = details["expected_loss_control"] - details["expected_loss"]
    assert gain == pytest.approx(found.relative_lift, rel=1e-9)


def test_decrease_turns_what_beats(arms, settings, define):
    lower_is_better = EstimateSettings(
        define(direction=Direction.DECREASE), min_units_per_arm=2
    )
    ours = estimate_bayes_normal(*arms, settings).details
    theirs = estimate_bayes_normal(*arms, lower_is_better).details
    assert theirs["probability_to_beat"] == pytest.approx(
        1 - ours["probability_to_beat"]
    )
    assert theirs["expected_loss"] == ours["expected_loss_control"]


def test_sensitivity_shrinks_less_under_wider_priors(arms, settings):
    table = estimate_bayes_normal(*arms, settings).details["sensitivity"]
    assert [row["prior_sd"] for row in table] == pytest.approx(
        [0.03, 0.1, 0.3, 0.9, 3.0]
    )
    lifts = [row["lift"] for row in table]
    assert lifts == sorted(lifts, key=abs)
    chosen = estimate_bayes_normal(*arms, settings)
    assert table[2]["lift"] == chosen.relative_lift


@given(
    lift=st.floats(-5, 5),
    error=st.floats(0.01, 5),
    prior_mean=st.floats(-2, 2),
    prior_sd=st.floats(0.01, 5),
)
def test_posterior_lies_between_prior_and_estimate(lift, error, prior_mean, prior_sd):
    columns = [np.array([x]) for x in (lift, error, prior_mean, prior_sd)]
    found = update_normal(*columns, 0.05)
    low, high = sorted((lift, prior_mean))
    assert low - 1e-9 <= found.mean[0] <= high + 1e-9
    assert found.sd[0] <= min(error, prior_sd) * (1 + 1e-12)
    assert found.loss_above[0] >= 0
    assert found.loss_below[0] >= 0


@given(lift=st.floats(-3, 3), error=st.floats(0.05, 2))
def test_swapping_the_arms_mirrors_the_beliefs(lift, error):
    zero, sd = np.zeros(1), np.ones(1)
    ours, theirs = (
        update_normal(np.array([sign * lift]), np.array([error]), zero, sd, 0.1)
        for sign in (1, -1)
    )
    assert ours.mean[0] == -theirs.mean[0]
    assert ours.loss_above[0] == pytest.approx(theirs.loss_below[0])
    assert ours.probability_above[0] == pytest.approx(
        1 - theirs.probability_above[0], abs=1e-12
    )


def test_control_mean_near_zero_has_no_relative_prior(total, settings):
    random = np.random.default_rng(4)
    arms = (
        total(random.normal(0.1, 1, 400)),
        total(random.normal(0.1, 1, 400), "treatment"),
    )
    found = estimate_bayes_normal(*arms, settings)
    assert found.reason == "DENOMINATOR_NEAR_ZERO"
    assert found.difference is None
    assert found.method == "bayes_normal"
    absolute = NormalPrior(sd=0.5, scale="absolute")
    assert estimate_bayes_normal(*arms, settings, prior=absolute).is_ok


def test_refused_estimate_stays_refused(total, settings):
    same = total(np.ones(9))
    found = estimate_bayes_normal(same, replace(same, variant="b"), settings)
    assert found.reason == "ZERO_VARIANCE"


@pytest.mark.parametrize(
    ("mean", "sd", "scale"),
    [
        (0.0, 0.0, "relative"),
        (0.0, float("inf"), "relative"),
        (float("nan"), 1.0, "absolute"),
        (0.0, 1.0, "log"),
        (0.0, "wide", "relative"),
    ],
)
def test_improper_prior_is_a_broken_contract(mean, sd, scale):
    with pytest.raises(ContractError, match="proper"):
        NormalPrior(mean, sd, scale)
