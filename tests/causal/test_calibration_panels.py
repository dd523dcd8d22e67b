"""Error rates and coverage of few-cluster, staggered and sensitivity methods.

Tolerances are three binomial standard errors; the seed follows from the test's name.
"""

import zlib

import numpy as np
import pytest

from exp_platform.causal.aggregation import average_effects
from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.did_adjusted import UnitChanges, estimate_did_adjusted
from exp_platform.causal.event_path import EventPath
from exp_platform.causal.few_clusters import (
    estimate_by_randomisation,
    estimate_did_by_cluster,
)
from exp_platform.causal.panel_data import PanelData
from exp_platform.causal.relative_magnitudes import bound_relative_magnitudes
from exp_platform.causal.smoothness import bound_smoothness
from exp_platform.causal.staggered import estimate_staggered
from exp_platform.causal.twfe import estimate_twfe

pytestmark = pytest.mark.calibration


@pytest.fixture
def random(request):
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def _slack(expected, runs):
    return 3 * np.sqrt(expected * (1 - expected) / runs)


def _ar1(random, shape, rho=0.8):
    noise = random.normal(0, 1, shape)
    noise[..., 1:] *= np.sqrt(1 - rho**2)
    for day in range(1, shape[-1]):
        noise[..., day] += rho * noise[..., day - 1]
    return noise


def _clusters(values, variant):
    """Clusters of one unit: ten days before and ten after."""
    pre, post = values[:, :10].mean(axis=1), values[:, 10:].mean(axis=1)
    one = np.ones(len(values))
    return ClusterSums("exp_1", "spend", variant, one, pre, post, 10, 10)


@pytest.mark.parametrize(("n_control", "n_treated"), [(5, 5), (15, 8)])
def test_wild_bootstrap_holds_its_level(n_control, n_treated, random, settings):
    runs = 1500 if n_control + n_treated == 10 else 400
    values = _ar1(random, (runs, n_control + n_treated, 20))
    rejected = []
    for one in values:
        arms = _clusters(one[:n_control], "control"), _clusters(one[n_control:], "new")
        estimate = estimate_did_by_cluster(*arms, settings)
        assert estimate.details["inference"] == "wild_cluster_bootstrap"
        rejected.append(estimate.p_value <= 0.05)
    assert abs(np.mean(rejected) - 0.05) < _slack(0.05, runs)


def test_wild_bootstrap_intervals_cover_the_effect(random, settings):
    runs, covered = 500, []
    values = _ar1(random, (runs, 12, 20))
    values[:, 6:, 10:] += 1.0
    for one in values:
        arms = _clusters(one[:6], "control"), _clusters(one[6:], "new")
        estimate = estimate_did_by_cluster(*arms, settings)
        covered.append(estimate.ci_lower <= 1.0 <= estimate.ci_upper)
    assert abs(np.mean(covered) - 0.95) < _slack(0.95, runs)


def test_two_treated_of_fifty_are_refused_where_t_would_fail(random, settings):
    runs = 400
    values = _ar1(random, (runs, 50, 20))
    by_t, by_randomisation = [], []
    for one in values:
        arms = _clusters(one[:48], "control"), _clusters(one[48:], "new")
        assert estimate_did_by_cluster(*arms, settings).reason == "TOO_FEW_CLUSTERS"
        found = estimate_by_randomisation(*arms, settings)
        by_randomisation.append(found.p_value <= 0.05)
        by_t.append(_naive_t(*arms) > 2.01)
    # Clustered errors reject in a third of the runs without an effect.
    assert np.mean(by_t) > 0.25
    assert abs(np.mean(by_randomisation) - 0.05) < _slack(0.05, runs)


def _naive_t(control, treatment):
    """CR1 for two treated clusters: what the platform refuses to print."""
    changes = [arm.changes for arm in (control, treatment)]
    variance = sum(np.var(one) / one.size for one in changes) * 50 / 48
    return abs(changes[1].mean() - changes[0].mean()) / np.sqrt(variance)


COHORTS = np.repeat([3.0, 5.0, 7.0, np.inf], [40, 40, 40, 60])
PERIODS = np.arange(1.0, 10.0)


def _staggered(random):
    """Effects that grow with time and differ by cohort; noise AR(1)."""
    since = PERIODS - COHORTS[:, None]
    effect = np.where(since >= 0, (0.2 + 0.3 * since) * (9 - COHORTS[:, None]) / 4, 0)
    effect = np.where(np.isfinite(effect), effect, 0.0)
    noise = _ar1(random, (COHORTS.size, PERIODS.size), rho=0.5)
    values = random.normal(0, 1, (COHORTS.size, 1)) + 0.1 * PERIODS + effect + noise
    data = PanelData(
        "exp_1",
        "y",
        np.repeat(np.arange(COHORTS.size), PERIODS.size),
        np.tile(PERIODS, COHORTS.size),
        values.ravel(),
        np.repeat(COHORTS, PERIODS.size),
    )
    return data, effect


def _truths(effect):
    """The four averages of the true effects."""
    is_on = COHORTS[:, None] <= PERIODS
    means = [effect[g == COHORTS][0] for g in (3, 5, 7)]
    by_cohort = [m[g - 1 :].mean() for m, g in zip(means, (3, 5, 7), strict=True)]
    since = np.where(is_on, PERIODS - COHORTS[:, None], -1)
    by_time = [effect[since == e].mean() for e in range(7)]
    by_period = [effect[:, t][is_on[:, t]].mean() for t in range(2, 9)]
    return (
        effect[is_on].mean(),
        np.mean(by_cohort),
        np.mean(by_time),
        np.mean(by_period),
    )


def test_staggered_intervals_cover_where_two_way_fixed_effects_do_not(random, settings):
    runs, covered, by_twfe, bands, leads = 400, [], [], [], []
    for _ in range(runs):
        data, effect = _staggered(random)
        truths = _truths(effect)
        found = estimate_staggered(data, settings)
        covered.append(
            [
                one.ci_lower <= truth <= one.ci_upper
                for one, truth in zip(found.estimates, truths, strict=True)
            ]
        )
        rows = [row for row in found.rows if row.method.endswith("group")]
        by_cohort = {g: effect[g == COHORTS][0][int(g) - 1 :].mean() for g in (3, 5, 7)}
        bands.append(
            all(row.band_lower <= by_cohort[row.at] <= row.band_upper for row in rows)
        )
        leads.append(found.estimates[2].details["pretrend_p_value"] < 0.05)
        regression = estimate_twfe(data, settings)
        by_twfe.append(regression.ci_lower <= truths[0] <= regression.ci_upper)
    coverage = np.mean(covered, axis=0)
    assert np.all(np.abs(coverage - 0.95) < _slack(0.95, runs))
    assert abs(np.mean(bands) - 0.95) < _slack(0.95, runs)
    assert abs(np.mean(leads) - 0.05) < _slack(0.05, runs)
    assert np.mean(by_twfe) < 0.5


def test_few_clusters_with_several_dates_hold_their_level(random, settings):
    runs, rejected = 300, []
    cohort = np.repeat([3.0, 5.0, np.inf], [4, 4, 8])
    periods = np.arange(1.0, 8.0)
    for values in _ar1(random, (runs, 16, 7)):
        data = PanelData(
            "exp_1",
            "y",
            np.repeat(np.arange(16), 7),
            np.tile(periods, 16),
            values.ravel(),
            np.repeat(cohort, 7),
        )
        found = estimate_staggered(data, settings).estimates
        rejected.append([one.p_value <= 0.05 for one in found])
    rates = np.mean(rejected, axis=0)
    assert np.all(np.abs(rates - 0.05) < _slack(0.05, runs))


def test_adjusted_differences_cover_under_trends_by_covariate(random, settings):
    runs, covered, plain = 400, [], []
    for _ in range(runs):
        x = random.normal(0, 1, (300, 2))
        is_treated = random.random(300) < 1 / (1 + np.exp(0.5 - 0.6 * x[:, 0]))
        pre = random.normal(5, 1, 300)
        post = pre + x @ [0.8, -0.4] + 0.5 * is_treated + random.normal(0, 1, 300)
        units = UnitChanges("e", "y", "control", "new", is_treated, pre, post, x)
        found = estimate_did_adjusted(units, settings)
        covered.append(found.ci_lower <= 0.5 <= found.ci_upper)
        bare = UnitChanges("e", "y", "c", "t", is_treated, pre, post, x[:, :0])
        found = estimate_did_adjusted(bare, settings)
        plain.append(found.ci_lower <= 0.5 <= found.ci_upper)
    assert abs(np.mean(covered) - 0.95) < _slack(0.95, runs)
    assert np.mean(plain) < 0.6


def _event_study(random, drift):
    """Six periods around a reference, effect 0: only the drift is in the data."""
    root = np.linalg.cholesky(0.3 + 0.7 * np.eye(6))
    covariance = 0.01 * (root @ root.T)
    coefficients = drift + 0.1 * root @ random.standard_normal(6)
    return EventPath(coefficients, covariance, 3, np.full(3, 1 / 3))


def test_relative_magnitudes_cover_at_the_worst_drift(random):
    # Violations of .2 per period before, and as large as allowed after the event.
    drift = np.array([-0.2, 0.0, -0.2, 0.2, 0.4, 0.6])
    runs = 400
    covered = []
    for _ in range(runs):
        found = bound_relative_magnitudes(_event_study(random, drift), 1.0)
        covered.append(found.lower <= 0 <= found.upper)
    # At least .95: the bound need not bind in every sample.
    assert np.mean(covered) > 0.95 - _slack(0.95, runs)
    wrong = [
        bound_relative_magnitudes(_event_study(random, drift), 0.0).excludes_zero
        for _ in range(50)
    ]
    assert np.mean(wrong) > 0.5


def test_smoothness_covers_a_bending_trend(random):
    # The slope bends by .05 per period throughout.
    time = np.array([-3, -2, -1, 1, 2, 3])
    drift = 0.025 * time**2 + 0.1 * time
    runs = 1000
    covered = []
    for _ in range(runs):
        found = bound_smoothness(_event_study(random, drift), 0.05)
        covered.append(found.lower <= 0 <= found.upper)
    assert np.mean(covered) > 0.95 - _slack(0.95, runs)


def test_straight_drift_is_covered_without_a_bend(random):
    drift = 0.3 * np.array([-3, -2, -1, 1, 2, 3])
    runs = 1500
    covered = []
    for _ in range(runs):
        found = bound_smoothness(_event_study(random, drift), 0.0)
        covered.append(found.lower <= 0 <= found.upper)
    assert abs(np.mean(covered) - 0.95) < _slack(0.95, runs)


def test_average_effects_are_unbiased(random):
    from exp_platform.causal.cohort_totals import total_cohorts
    from exp_platform.causal.group_times import compare_cohorts
    from exp_platform.causal.panel_data import arrange_panel

    errors = []
    for _ in range(300):
        data, effect = _staggered(random)
        found = compare_cohorts(total_cohorts(arrange_panel(data)))
        errors.append(average_effects(found, "simple").overall - _truths(effect)[0])
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(300)
