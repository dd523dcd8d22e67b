import numpy as np
import pyarrow.compute as pc
import pytest

from exp_platform.synth.exposure import LOOKBACK_DAYS


@pytest.mark.parametrize("rate", [0.3, 0.85, 1.0])
def test_expose_users_reaches_the_planned_share(deliver, rate):
    delivered = deliver(exposure_rate=rate)
    assert delivered.exposures.num_rows == round(rate * 6000)
    assert pc.count_distinct(delivered.exposures["user_id"]).as_py() == round(
        rate * 6000
    )


def test_expose_users_at_their_first_visit_of_the_window(clean):
    user, day, _ = clean.rows("sessions")
    exposure = clean.first_exposure
    inside = (day >= 0) & np.isfinite(exposure[user])
    assert np.all(day[inside] >= exposure[user[inside]])
    seen = np.unique(user[inside])
    assert np.array_equal(seen, np.flatnonzero(np.isfinite(exposure)))


def test_expose_users_enrols_most_in_the_first_days(clean):
    day = clean.days(clean.exposures["exposure_ts"])
    per_day = np.bincount(day.astype(int), minlength=14)
    assert day.min() >= 0
    assert day.max() < 14
    assert per_day[0] == per_day.max()
    assert per_day[:3].sum() > 0.5 * per_day.sum()


def test_expose_users_policy_is_one_instant_for_both_arms(deliver):
    delivered = deliver(assignment="policy", policy_day=5)
    assert set(delivered.days(delivered.exposures["exposure_ts"])) == {5.0}
    assert set(delivered.exposures["variant"].to_pylist()) == {"control", "treatment"}


@pytest.mark.parametrize("design", [{}, {"assignment": "policy", "policy_day": 5}])
def test_expose_users_new_users_have_no_rows_before_they_came(deliver, design):
    delivered = deliver(new_user_share=0.2, **design)
    is_new = delivered.exposures["first_seen_ts"].is_valid()
    new = delivered.exposures.filter(is_new)
    assert pc.mean(is_new).as_py() == pytest.approx(0.2, abs=0.03)
    first_seen = delivered.days(new["first_seen_ts"])
    exposure = delivered.days(new["exposure_ts"])
    assert np.all(first_seen <= exposure)
    assert np.all(first_seen >= exposure - LOOKBACK_DAYS)
    came = np.full(delivered.scenario.n_users, -np.inf)
    users = pc.cast(pc.utf8_slice_codeunits(new["user_id"], 1), "int64").to_numpy()
    came[users] = first_seen
    for metric in ("sessions", "revenue"):
        user, day, _ = delivered.rows(metric)
        assert np.all(day >= came[user])


def test_expose_users_share_of_new_users_moves_nothing_after_exposure(deliver, clean):
    other = deliver(new_user_share=0.5)
    assert clean.exposures.drop_columns("first_seen_ts").equals(
        other.exposures.drop_columns("first_seen_ts")
    )
    assert np.array_equal(clean.sums("sessions"), other.sums("sessions"))
