from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.clusters import cr1_factor
from exp_platform.causal.event_study import assess_novelty
from exp_platform.causal.novelty import estimate_novelty, list_daily_effects
from exp_platform.records import EstimateStatus

DAYS = list(range(-3, 7))


def _draw(gram, seed=1, n=300, effect=None, variant="control"):
    random = np.random.default_rng(seed)
    values = random.normal(0, 1, (n, 1)) + random.normal(5, 1, (n, len(DAYS)))
    return gram(values + (0.0 if effect is None else effect), DAYS, variant)


def _fading(gram):
    fading = np.where(np.array(DAYS) >= 0, 2 * np.exp(-np.arange(10) / 6), 0.0)
    return _draw(gram, 2, effect=fading, variant="new")


def test_slope_is_the_one_of_the_check_with_its_t_interval(gram, settings):
    control, treatment = _draw(gram), _fading(gram)
    row = estimate_novelty(control, treatment, settings)
    trend = assess_novelty(control, treatment, first_day=1)
    assert row.status is EstimateStatus.OK
    assert (row.method, row.estimand) == ("novelty_trend", "EFFECT_TREND")
    assert (row.difference, row.p_value) == (trend.slope, trend.p_value)
    assert row.statistic == pytest.approx(trend.slope / trend.slope_se)
    assert row.p_value < 0.05
    assert row.ci_lower < row.difference < row.ci_upper < 0
    assert row.details["change"] == pytest.approx(5 * row.difference)


def test_daily_effect_is_the_difference_of_means_with_pooled_factor(gram):
    random = np.random.default_rng(3)
    values = [random.normal(5, 1, (80, 4)), random.normal(5.5, 2, (60, 4))]
    arms = [
        gram(v, [-1, 0, 1, 2], name)
        for v, name in zip(values, ("control", "new"), strict=True)
    ]
    rows = list_daily_effects(*arms, 0.05)
    assert [row["day"] for row in rows] == [0, 1, 2]
    for place, row in enumerate(rows, start=1):
        b, a = (v[:, place] for v in values)
        assert row["effect"] == pytest.approx(a.mean() - b.mean())
        error = np.sqrt(cr1_factor(140, 140) * (b.var() / 80 + a.var() / 60))
        assert row["standard_error"] == pytest.approx(error)
        assert row["ci_lower"] < row["effect"] < row["ci_upper"]


def test_day_without_spread_has_an_effect_and_no_interval(gram):
    random = np.random.default_rng(3)
    values = random.normal(5, 1, (50, 3))
    values[:, 1] = 2.0
    first, *_ = list_daily_effects(*(gram(values, [-1, 0, 1]),) * 2, 0.05)
    assert first == {
        "day": 0,
        "effect": 0.0,
        "standard_error": None,
        "ci_lower": None,
        "ci_upper": None,
        "p_value": None,
    }


@pytest.mark.parametrize(
    ("days", "least", "reason"),
    [([-1, 0, 1, 2], 2, "TOO_FEW_DAYS"), ([0, 1, 2, 3], 500, "TOO_FEW_UNITS")],
)
def test_novelty_is_refused(days, least, reason, gram, settings):
    values = np.random.default_rng(3).normal(5, 1, (90, 4))
    arms = (gram(values, days), gram(values, days, "new"))
    row = estimate_novelty(*arms, replace(settings, min_units_per_arm=least))
    assert (row.status, row.reason) == (EstimateStatus.INSUFFICIENT_DATA, reason)
    assert (row.difference, row.p_value) == (None, None)


def test_novelty_of_broken_moments_is_errored(gram, settings):
    control = _draw(gram)
    broken = replace(control, means=(*control.means[:-1], float("inf")))
    row = estimate_novelty(broken, _fading(gram), settings)
    assert row.status is EstimateStatus.METRIC_ERRORED
    assert row.details["days"][-1]["effect"] is None
