"""Each failure mode shows in the data, and everything else stays as it was."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

ROLLOUT = {
    "assignment": "policy",
    "policy_day": 7,
    "days": 21,
    "pre_period_days": 28,
    "base_conversion": 0.4,
    "n_users": 12_000,
}


def without(table, metric):
    return table.filter(pc.not_equal(table["metric_name"], metric))


def only(table, metric):
    return table.filter(pc.equal(table["metric_name"], metric))


def rows_as_set(table):
    return set(zip(*(column.to_pylist() for column in table.columns), strict=True))


def first_deliveries(table):
    """Rows without those that equal an earlier row, in order."""
    columns = [
        pc.cast(c, pa.int64()) if pa.types.is_timestamp(c.type) else c
        for c in table.columns
        if not pa.types.is_map(c.type)
    ]
    seen, keep = set(), []
    for row in zip(*(column.to_pylist() for column in columns), strict=True):
        keep.append(row not in seen)
        seen.add(row)
    return table.filter(pa.array(keep))


def test_sample_ratio_mismatch_loses_treatment_exposures_of_rare_visitors(
    deliver, clean
):
    broken = deliver(failure_modes={"sample_ratio_mismatch": 0.1})
    assert broken.outcomes.equals(clean.outcomes)
    arrived = pc.is_in(clean.exposures["user_id"], broken.exposures["user_id"])
    assert clean.exposures.filter(arrived).equals(broken.exposures)
    lost = clean.exposures.filter(pc.invert(arrived))
    assert set(lost["variant"].to_pylist()) == {"treatment"}
    n_treated = clean.arms.sum()
    # 4 binomial standard deviations
    allowed = 4 * np.sqrt(0.1 * 0.9 / n_treated)
    assert lost.num_rows / n_treated == pytest.approx(0.1, abs=allowed)
    visits = np.bincount(*clean.user_values("sessions"))
    assert visits[clean.users(lost)].mean() < 0.6 * visits.mean()


def test_guardrail_degradation_adds_contacts_of_treated_units_only(deliver):
    clean = deliver(n_users=20_000)
    broken = deliver(n_users=20_000, failure_modes={"guardrail_degradation": 0.6})
    assert broken.exposures.equals(clean.exposures)
    name = "support_contacts"
    assert without(broken.outcomes, name).equals(without(clean.outcomes, name))
    kept = rows_as_set(only(clean.outcomes, name))
    assert kept < rows_as_set(only(broken.outcomes, name))
    before, after = clean.sums(name), broken.sums(name)
    assert np.array_equal(before[~clean.arms], after[~clean.arms])
    # the added contacts are binomial given the visits
    n_before = before[clean.arms].sum()
    error = np.sqrt(0.6 * n_before) * 1.3 / n_before
    assert after[clean.arms].sum() / n_before == pytest.approx(1.6, abs=4 * error)


def test_duplicates_removed_give_the_clean_tables_back(deliver, clean):
    broken = deliver(failure_modes={"duplicate_share": 0.1})
    for table, whole in (
        (clean.outcomes, broken.outcomes),
        (clean.exposures, broken.exposures),
    ):
        assert whole.num_rows == table.num_rows + round(0.1 * table.num_rows)
        assert first_deliveries(whole).equals(table)


def test_late_rows_stand_at_the_end_out_of_order(deliver, clean):
    broken = deliver(failure_modes={"late_share": 0.1})
    assert broken.exposures.equals(clean.exposures)
    facts = [name for name in clean.outcomes.column_names if name != "received_ts"]
    assert rows_as_set(broken.outcomes.select(facts)) == rows_as_set(
        clean.outcomes.select(facts)
    )
    n_late = round(0.1 * clean.outcomes.num_rows)
    delay = broken.days(broken.outcomes["received_ts"]) - broken.days(
        broken.outcomes["outcome_ts"]
    )
    assert np.all(delay > 0)
    assert np.all(delay[:-n_late] < 0.1)
    assert np.all(delay[-n_late:] >= 1)
    assert np.any(np.diff(broken.days(broken.outcomes["outcome_ts"])[-n_late:]) < 0)


def test_crossover_units_meet_the_other_arm_later(deliver, clean):
    broken = deliver(failure_modes={"crossover_share": 0.12})
    assert broken.outcomes.equals(clean.outcomes)
    assert np.array_equal(broken.first_exposure, clean.first_exposure)
    assert np.array_equal(broken.is_treated, clean.is_treated)
    more = broken.exposures.num_rows - clean.exposures.num_rows
    assert more == round(0.12 * clean.exposures.num_rows)
    arms_met = broken.exposures.group_by("user_id").aggregate(
        [("variant", "count_distinct")]
    )
    assert pc.sum(pc.equal(arms_met["variant_count_distinct"], 2)).as_py() == more


def test_bots_add_hundreds_of_rows_on_one_day(deliver, clean):
    broken = deliver(failure_modes={"bot_share": 0.02})
    assert broken.exposures.equals(clean.exposures)
    added = rows_as_set(broken.outcomes) - rows_as_set(clean.outcomes)
    assert rows_as_set(clean.outcomes) < rows_as_set(broken.outcomes)
    assert {row[2] for row in added} == {"sessions"}
    user, day, _ = broken.rows("sessions")
    assert day.max() < 14
    key, n_rows = np.unique(user * 100 + np.floor(day) + 14, return_counts=True)
    n_bots = np.unique(key[n_rows > 100] // 100).size
    assert n_bots == round(0.02 * clean.exposures.num_rows)


def test_missing_pre_period_drops_rows_from_before_the_start_only(deliver, clean):
    broken = deliver(failure_modes={"missing_pre_period": True})
    assert broken.exposures.equals(clean.exposures)
    inside = clean.days(clean.outcomes["outcome_ts"]) >= 0
    assert not np.all(inside)
    assert clean.outcomes.filter(pa.array(inside)).equals(broken.outcomes)


def test_novelty_effect_fades_with_days_since_exposure(deliver):
    changes = {"n_users": 20_000, "effect_lift_conversion": 0.1}
    steady = deliver(**changes)
    fading = deliver(**changes, failure_modes={"novelty_half_life_days": 2.0})
    assert fading.exposures.equals(steady.exposures)
    arms = steady.arms
    for metric in ("sessions", "support_contacts"):
        assert only(fading.outcomes, metric).equals(only(steady.outcomes, metric))
    assert np.array_equal(fading.sums("revenue")[~arms], steady.sums("revenue")[~arms])

    def lift(delivered, **window):
        purchases = delivered.sums("conversion", **window)
        return purchases[arms].mean() / purchases[~arms].mean() - 1

    assert lift(fading, until=2) > lift(steady, until=2)
    assert lift(fading, since=8) < 0.5 * lift(steady, since=8)


def test_outlier_is_one_order_of_one_treatment_unit(deliver, clean):
    broken = deliver(failure_modes={"outlier_value": 250_000.0})
    assert broken.exposures.equals(clean.exposures)
    order = broken.outcomes.filter(pc.equal(broken.outcomes["value"], 250_000.0))
    assert order.num_rows == 1
    assert broken.is_treated[broken.users(order)[0]]
    assert broken.days(order["outcome_ts"]) > broken.first_exposure[broken.users(order)]
    same_instant = pc.and_(
        pc.equal(broken.outcomes["user_id"], order["user_id"][0]),
        pc.equal(broken.outcomes["outcome_ts"], order["outcome_ts"][0]),
    )
    rest = broken.outcomes.filter(pc.invert(same_instant))
    assert rest.equals(clean.outcomes)


def test_missing_day_loses_the_outcomes_of_one_day(deliver, clean):
    broken = deliver(failure_modes={"missing_day": 9})
    assert broken.exposures.equals(clean.exposures)
    days = np.floor(clean.days(clean.outcomes["outcome_ts"]))
    kept = clean.outcomes.filter(pa.array(days != 8))
    assert kept.num_rows < clean.outcomes.num_rows
    assert broken.outcomes.equals(kept)


def test_spike_day_logs_each_session_of_one_day_three_times(deliver, clean):
    broken = deliver(failure_modes={"spike_day": 11})
    assert broken.exposures.equals(clean.exposures)
    for metric in ("conversion", "revenue", "support_contacts"):
        assert only(broken.outcomes, metric).equals(only(clean.outcomes, metric))
    counts = [
        np.bincount(
            np.floor(data.days(only(data.outcomes, "sessions")["outcome_ts"])).astype(
                int
            )
            + 14
        )
        for data in (clean, broken)
    ]
    times = np.ones(counts[0].size, dtype=int)
    times[14 + 10] = 3
    assert np.array_equal(counts[1], counts[0] * times)
    # no copies, or ingest would repair it
    assert first_deliveries(broken.outcomes).num_rows == broken.outcomes.num_rows


def test_trend_drift_moves_purchases_of_treated_units_only(deliver, clean):
    broken = deliver(failure_modes={"trend_drift": 0.05})
    assert broken.exposures.equals(clean.exposures)
    for metric in ("sessions", "support_contacts"):
        assert only(broken.outcomes, metric).equals(only(clean.outcomes, metric))
    before = {"since": -np.inf, "until": 0}
    control = ~clean.arms
    for window in (before, {}):
        assert np.array_equal(
            clean.sums("revenue", **window)[control],
            broken.sums("revenue", **window)[control],
        )
    treated = clean.arms
    early = clean.sums("conversion", **before)[treated].sum()
    assert broken.sums("conversion", **before)[treated].sum() < early


def slope_z(delivered):
    """z of the difference in pre-period slopes between treated and other markets."""
    markets = np.full(delivered.scenario.n_users, -1)
    exposed = delivered.users(delivered.exposures)
    names = [dict(a)["market"] for a in delivered.exposures["attributes"].to_pylist()]
    markets[exposed] = [int(name.removeprefix("market_")) for name in names]
    user, day, _ = delivered.rows("conversion")
    day = np.floor(day - delivered.scenario.policy_day).astype(int)
    counts = (markets[user] >= 0) & (day >= -28) & (day < 0)
    key = markets[user[counts]] * 28 + day[counts] + 28
    daily = np.bincount(key, minlength=60 * 28).reshape(60, 28)
    daily = daily / np.bincount(markets[exposed], minlength=60)[:, None]
    weights = np.arange(28) - 13.5
    slopes = daily @ weights / (weights @ weights)
    is_treated = np.zeros(60, dtype=bool)
    is_treated[markets[exposed][delivered.is_treated[exposed]]] = True
    one, other = slopes[is_treated], slopes[~is_treated]
    error = np.sqrt(one.var(ddof=1) / one.size + other.var(ddof=1) / other.size)
    return (one.mean() - other.mean()) / error


def test_trend_drift_is_found_before_the_policy(deliver):
    assert abs(slope_z(deliver(**ROLLOUT))) < 3
    assert slope_z(deliver(**ROLLOUT, failure_modes={"trend_drift": 0.02})) > 4


def test_rollout_treats_whole_markets_on_both_sides(deliver):
    delivered = deliver(**ROLLOUT)
    markets = [dict(a)["market"] for a in delivered.exposures["attributes"].to_pylist()]
    variants = delivered.exposures["variant"].to_pylist()
    pairs = set(zip(markets, variants, strict=True))
    assert len(pairs) == 60
    assert sum(variant == "treatment" for _, variant in pairs) == 30


def test_sample_ratio_mismatch_of_one_loses_the_whole_arm(deliver):
    broken = deliver(failure_modes={"sample_ratio_mismatch": 1.0})
    assert set(broken.exposures["variant"].to_pylist()) == {"control"}
