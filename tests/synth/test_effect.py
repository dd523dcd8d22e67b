import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import UsageError
from exp_platform.synth.effect import solve_scale

positive = st.floats(1e-3, 1e3)


@given(
    slope=st.lists(positive, min_size=1, max_size=20),
    offset=st.floats(0, 0.5),
    part=st.floats(0.001, 0.999),
)
def test_solve_scale_meets_the_share(slope, offset, part):
    slopes = np.asarray(slope)
    offsets = np.full(slopes.size, offset)
    lowest = 1 - np.exp(-offset)
    share = lowest + part * (1 - lowest)
    scale = solve_scale(offsets, slopes, share)
    reached = np.mean(1 - np.exp(-(offsets + scale * slopes)))
    # Newton stops at steps of 1e-12 of the scale
    assert reached == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("share", [-0.1, 0.6, 1.0])
def test_solve_scale_out_of_reach_is_refused(share):
    with pytest.raises(UsageError, match="cannot be reached"):
        solve_scale(np.zeros(2), np.array([1.0, 0.0]), share)


def test_fit_hazards_impossible_effect_is_refused(deliver):
    with pytest.raises(UsageError, match="cannot be reached"):
        deliver(base_conversion=0.1, effect_lift_conversion=-0.2)


def test_fit_hazards_nobody_exposed_is_refused(deliver):
    with pytest.raises(UsageError, match="nobody is exposed"):
        deliver(exposure_rate=0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"effect_lift_conversion": -0.1},
        {"effect_lift_conversion": 0.0},
        {"base_conversion": 0.8},
        {"treatment_share": 0.2},
        {"failure_modes": {"novelty_half_life_days": 2.0}},
    ],
)
def test_fit_hazards_effect_is_recovered_from_the_rows(deliver, changes):
    delivered = deliver(n_users=20_000, **changes)
    converted = delivered.sums("conversion") > 0
    treated, control = converted[delivered.arms], converted[~delivered.arms]
    difference = treated.mean() - control.mean()
    error = np.sqrt(treated.var() / treated.size + control.var() / control.size)
    scenario = delivered.scenario
    truth = delivered.truth["effects"]["conversion"]
    assert truth["control"] == pytest.approx(scenario.base_conversion, abs=1e-9)
    assert truth["absolute"] == pytest.approx(scenario.effect_lift_conversion, abs=1e-9)
    assert difference == pytest.approx(scenario.effect_lift_conversion, abs=4 * error)
    assert control.mean() == pytest.approx(
        scenario.base_conversion, abs=4 * control.std() / np.sqrt(control.size)
    )


def test_fit_hazards_no_effect_means_equal_worlds(deliver):
    truth = deliver(effect_lift_conversion=0.0).truth["effects"]
    assert truth["revenue_per_user"]["absolute"] == 0.0
    assert truth["purchases_per_user_day"]["absolute"] == 0.0


def test_fit_hazards_effect_starts_at_exposure_and_leaves_control_alone(deliver, clean):
    other = deliver(effect_lift_conversion=0.15)
    before = {"since": -np.inf, "until": 0}
    assert np.array_equal(
        clean.sums("revenue", **before), other.sums("revenue", **before)
    )
    control = ~clean.arms
    after, after_other = clean.sums("revenue"), other.sums("revenue")
    assert np.array_equal(after[control], after_other[control])
    assert after_other.sum() > after.sum()
    assert clean.exposures.equals(other.exposures)


def test_fit_hazards_nobody_buys_without_base_and_effect(deliver):
    delivered = deliver(base_conversion=0.0, effect_lift_conversion=0.0)
    assert delivered.sums("conversion").sum() == 0
    assert delivered.truth["effects"]["conversion"]["relative"] is None
