from dataclasses import replace

import numpy as np
import pytest

from exp_platform.stats.bootstrap import (
    UnitSample,
    _draw_poisson,
    _limits,
    _two_sided,
    estimate_bootstrap,
    resample_statistic,
    weighted_mean,
    weighted_quantile,
    weighted_ratio,
)
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch


def _sample(values, variant="control"):
    table = np.asarray(values, dtype=float)
    table = table if table.ndim == 2 else table[:, None]
    return UnitSample("exp_1", "spend", variant, table)


def _draws(seed=1, n=400):
    random = np.random.default_rng(seed)
    return [random.gamma(2, scale, n) for scale in (2.0, 2.3)]


def test_weights_are_poisson_of_mean_one():
    draws = _draw_poisson(np.random.default_rng(1), (1000, 1000)).astype(float)
    # A million draws: errors of 1e-3 and 1.7e-3.
    assert draws.mean() == pytest.approx(1, abs=0.004)
    assert draws.var() == pytest.approx(1, abs=0.007)
    assert np.mean(draws == 0) == pytest.approx(np.exp(-1), abs=0.002)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_weighted_quantile_repeats_values(share):
    random = np.random.default_rng(2)
    values, weights = random.normal(0, 1, 50), random.poisson(1, (20, 50))
    found = weighted_quantile(share)(values[:, None], weights.astype(np.uint8))
    for row, one in zip(weights, found, strict=True):
        repeated = np.sort(np.repeat(values, row))
        rank = int(np.ceil(share * repeated.size - 1e-9))
        assert one == repeated[max(rank, 1) - 1]


def test_mean_and_ratio_have_the_errors_of_theory(total, settings, define):
    from exp_platform.records import MetricType

    draws = _draws()
    found = estimate_bootstrap(*map(_sample, draws), settings, seed=3)
    welch = estimate_welch(*map(total, draws), settings)
    assert found.difference == pytest.approx(welch.difference, rel=1e-12)
    # 2,000 resamples: the error of a standard error is 1.6 %.
    assert found.standard_error == pytest.approx(welch.standard_error, rel=0.06)
    assert found.ci_lower == pytest.approx(welch.ci_lower, abs=0.1)
    assert found.relative_ci_upper == pytest.approx(welch.relative_ci_upper, abs=0.02)
    pairs = [np.column_stack([d * 2, 1 + d]) for d in draws]
    ratio = estimate_bootstrap(*map(_sample, pairs), settings, weighted_ratio, seed=3)
    delta = estimate_ratio(
        *(total(p[:, 0], denominator=p[:, 1]) for p in pairs),
        EstimateSettings(define(MetricType.RATIO), min_units_per_arm=2),
    )
    assert ratio.standard_error == pytest.approx(delta.standard_error, rel=0.06)


def test_same_seed_same_row_another_seed_another():
    values = _draws()[0][:, None]
    one, two, other = (
        resample_statistic(values, weighted_mean, np.random.default_rng(s))
        for s in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("n_resamples", [100, 999, 2000])
@pytest.mark.parametrize("alpha", [0.02, 0.05, 0.1, 0.5])
def test_p_value_and_interval_agree(n_resamples, alpha):
    for n_below in range(n_resamples):
        gaps = np.arange(n_resamples) - n_below + 0.5
        lower, upper = _limits(gaps, alpha)
        assert (lower > 0 or upper < 0) == (_two_sided(gaps) < alpha)


def test_p_value_is_never_below_its_resolution(settings):
    away = [_sample(draw) for draw in (_draws()[0], _draws()[1] + 50)]
    row = estimate_bootstrap(*away, settings, seed=1, n_resamples=999)
    assert row.p_value == 2 / 1000


def test_what_has_no_answer_is_refused(settings, define):
    draws = [_sample(d) for d in _draws()]
    few = replace(draws[0], values=draws[0].values[:1])
    broken = _sample([1.0, np.nan, 2.0])
    constant = _sample(np.ones(50))
    assert estimate_bootstrap(few, few, settings, seed=1).reason == "TOO_FEW_UNITS"
    assert (
        estimate_bootstrap(broken, broken, settings, seed=1).reason == "INVALID_MOMENTS"
    )
    assert (
        estimate_bootstrap(constant, constant, settings, seed=1).reason
        == "ZERO_VARIANCE"
    )
    clustered = EstimateSettings(define(), min_units_per_arm=2, is_clustered=True)
    assert (
        estimate_bootstrap(*draws, clustered, seed=1).reason
        == "UNIT_FINER_THAN_ASSIGNMENT"
    )


def test_baseline_that_may_be_negative_has_no_lift(settings):
    random = np.random.default_rng(5)
    draws = [_sample(random.normal(0, 1, 200)) for _ in range(2)]
    found = estimate_bootstrap(*draws, settings, seed=1)
    assert found.is_ok
    assert (found.relative_lift, found.relative_ci_lower) == (None, None)


@pytest.mark.calibration
def test_bootstrap_of_a_median_covers(named_random, settings):
    runs, hits = 400, 0
    for run in range(runs):
        draws = [_sample(named_random.lognormal(0, 1, 300)) for _ in range(2)]
        found = estimate_bootstrap(
            *draws, settings, weighted_quantile(0.5), seed=run, n_resamples=400
        )
        hits += found.ci_lower <= 0 <= found.ci_upper
    # 4 binomial errors; 400 resamples and 300 units cost up to .01.
    assert abs(hits / runs - 0.95) < 4 * np.sqrt(0.05 * 0.95 / runs) + 0.01


def test_statistic_that_is_not_finite_is_errored(settings):
    draws = [_sample(np.column_stack([d, np.zeros(400)])) for d in _draws()]
    found = estimate_bootstrap(*draws, settings, weighted_ratio, seed=1, n_resamples=50)
    assert (found.reason, found.ci_lower) == ("INVALID_MOMENTS", None)
