import numpy as np
import pyarrow.compute as pc
import pytest


def test_play_scene_session_rows_are_one_per_unit_and_day(clean):
    user, day, value = clean.rows("sessions")
    key = user * 1000 + np.floor(day).astype(int) + 100
    assert np.unique(key).size == key.size
    assert np.all(value >= 1)
    assert np.all(value == np.round(value))


def test_play_scene_every_order_is_a_purchase(clean):
    buyer, bought, ones = clean.rows("conversion")
    payer, paid, value = clean.rows("revenue")
    assert np.array_equal(buyer, payer)
    assert np.array_equal(bought, paid)
    assert set(ones) == {1.0}
    assert value.min() >= 0.01
    assert np.array_equal(value, np.round(value, 2))


def test_play_scene_every_purchase_falls_on_an_active_day(clean):
    user, day, _ = clean.rows("sessions")
    active = set(zip(user, np.floor(day), strict=True))
    for metric in ("conversion", "support_contacts"):
        user, day, _ = clean.rows(metric)
        assert set(zip(user, np.floor(day), strict=True)) <= active


def test_play_scene_revenue_is_zero_inflated_and_heavy_tailed(clean):
    revenue = clean.sums("revenue")
    assert np.mean(revenue == 0) > 0.7
    centred = revenue - revenue.mean()
    assert np.mean(centred**3) / revenue.std() ** 3 > 3


def test_play_scene_order_values_have_the_planned_mean(deliver):
    delivered = deliver(n_users=20_000)
    _, _, value = delivered.rows("revenue")
    assert value.mean() == pytest.approx(12.5, rel=0.05)  # buyers cluster: ~3 SE
    assert value.std() > 3.0  # users differ on top of the spread within a user


def test_play_scene_support_contacts_are_rare(deliver):
    control = ~deliver(n_users=20_000).arms
    contacts = deliver(n_users=20_000).sums("support_contacts")[control]
    error = contacts.std() / np.sqrt(contacts.size)
    assert contacts.mean() == pytest.approx(0.1, abs=4 * error)


def test_play_scene_weekday_pattern(deliver):
    _, day, value = deliver(n_users=20_000).rows("sessions")
    weekday = np.floor(day).astype(int) % 7  # the start is a Monday
    per_weekday = np.bincount(weekday, value)
    assert per_weekday[:4].min() > 1.1 * per_weekday[5:].max()
    assert np.argmin(per_weekday) == 5


@pytest.mark.parametrize(
    ("metric", "low", "high"), [("sessions", 0.6, 0.8), ("revenue", 0.80, 0.95)]
)
def test_play_scene_pre_period_explains_the_outcome(deliver, metric, low, high):
    delivered = deliver(n_users=20_000, base_conversion=0.1)
    before = delivered.sums(metric, since=-14, until=0)
    after = delivered.sums(metric)
    variance_ratio = 1 - np.corrcoef(before, after)[0, 1] ** 2
    assert low < variance_ratio < high


@pytest.mark.parametrize("effect", [-0.2, 0.2])
def test_play_scene_effect_on_sessions_moves_sessions_only(deliver, effect):
    plain, moved = (
        deliver(n_users=20_000),
        deliver(n_users=20_000, effect_sessions=effect),
    )
    arms = plain.arms
    before, after = plain.sums("sessions"), moved.sums("sessions")
    assert np.array_equal(before[~arms], after[~arms])
    # conditional on the visits only adding or removing them is random
    error = np.sqrt(abs(effect) * before[arms].sum()) / before[arms].sum()
    ratio = after[arms].sum() / before[arms].sum()
    assert ratio == pytest.approx(1 + effect, abs=4 * error)
    for metric in ("conversion", "revenue", "support_contacts"):
        same = pc.equal(plain.outcomes["metric_name"], metric)
        kept = pc.equal(moved.outcomes["metric_name"], metric)
        assert plain.outcomes.filter(same).equals(moved.outcomes.filter(kept))
