from dataclasses import replace

import numpy as np
import pytest

from exp_platform.records import MetricType
from exp_platform.stats.cluster import (
    effective_clusters,
    estimate_cluster_means,
    summarise_clusters,
)
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch


def _draw(random, n_clusters=40, effect=0.0, spread=1.0, size=20):
    sizes = 1 + random.poisson(size, n_clusters)
    clusters = np.repeat(np.arange(n_clusters), sizes)
    level = random.normal(effect, spread, n_clusters)[clusters]
    return level + random.normal(0, 1, clusters.size), clusters


def _totals(values, clusters, variant="control"):
    return summarise_clusters(("exp_1", "spend", variant), values, clusters)


def test_variance_is_cluster_robust_in_each_arm(golden, settings):
    answer = golden("cluster")
    arms = [answer["control"], answer["treatment"]]
    totals = [_totals(np.array(a["values"]), np.array(a["clusters"])) for a in arms]
    found = estimate_cluster_means(*totals, settings)
    assert found.control_mean == pytest.approx(arms[0]["mean"], rel=1e-12)
    assert found.treatment_mean == pytest.approx(arms[1]["mean"], rel=1e-12)
    expected = np.sqrt(arms[0]["variance"] + arms[1]["variance"])
    # Sums of clusters against residuals of units: two digits apart.
    assert found.standard_error == pytest.approx(expected, rel=1e-10)


def test_clusters_of_one_unit_are_welch(total, settings):
    random = np.random.default_rng(1)
    values = [random.normal(5, 2, n) for n in (60, 90)]
    found = estimate_cluster_means(
        *(_totals(v, np.arange(v.size)) for v in values), settings
    )
    welch = estimate_welch(*(total(v) for v in values), settings)
    for name in ("difference", "standard_error", "df", "p_value", "ci_lower"):
        assert getattr(found, name) == pytest.approx(getattr(welch, name), rel=1e-9)


@pytest.mark.parametrize(
    ("n_clusters", "reason"),
    [(4, "TOO_FEW_CLUSTERS"), (12, "NEEDS_WILD_BOOTSTRAP")],
)
def test_few_clusters_are_refused(n_clusters, reason, settings):
    random = np.random.default_rng(2)
    few, many = _totals(*_draw(random, n_clusters)), _totals(*_draw(random))
    assert estimate_cluster_means(many, few, settings).reason == reason


def test_one_huge_cluster_leaves_few_effective_ones(settings):
    random = np.random.default_rng(3)
    values, clusters = _draw(random, 30)
    values = np.append(values, random.normal(0, 1, 3000))
    clusters = np.append(clusters, np.full(3000, 30))
    totals = _totals(values, clusters)
    assert effective_clusters(totals) < 3
    other = _totals(*_draw(random))
    assert (
        estimate_cluster_means(other, totals, settings).reason == "NEEDS_WILD_BOOTSTRAP"
    )


def test_broken_moments_are_errored(settings):
    totals = _totals(*_draw(np.random.default_rng(4)))
    for broken in ({"sum_mean": None}, {"sum_variance": -1.0}, {"size_mean": 0.0}):
        found = estimate_cluster_means(totals, replace(totals, **broken), settings)
        assert found.reason == "INVALID_MOMENTS"


@pytest.mark.parametrize("size", [0.0, -1.0])
def test_a_ratio_without_a_denominator_lacks_data(define, size):
    totals = _totals(*_draw(np.random.default_rng(4)))
    settings = EstimateSettings(define(MetricType.RATIO), min_units_per_arm=2)
    found = estimate_cluster_means(totals, replace(totals, size_mean=size), settings)
    assert (found.status.value, found.reason) == (
        "INSUFFICIENT_DATA",
        "DENOMINATOR_NEAR_ZERO",
    )


@pytest.mark.parametrize(
    "estimate", [estimate_welch, estimate_proportions, estimate_ratio]
)
def test_units_inside_assigned_clusters_are_refused(estimate, total, define):
    settings = EstimateSettings(define(), min_units_per_arm=2, is_clustered=True)
    arm = total(np.arange(10) % 2, denominator=np.ones(10))
    found = estimate(arm, arm, settings)
    assert (found.status.value, found.reason) == (
        "NOT_IDENTIFIED",
        "UNIT_FINER_THAN_ASSIGNMENT",
    )
    assert found.standard_error is None


def test_cluster_totals_are_not_refused_when_clusters_were_assigned(define):
    settings = EstimateSettings(define(), min_units_per_arm=2, is_clustered=True)
    random = np.random.default_rng(5)
    arms = [_totals(*_draw(random)) for _ in range(2)]
    assert estimate_cluster_means(*arms, settings).is_ok


@pytest.mark.calibration
def test_cluster_delta_holds_its_level_where_units_do_not(
    named_random, total, settings
):
    runs, by_cluster, by_unit = 2000, 0, 0
    for _ in range(runs):
        draws = [_draw(named_random, spread=0.7) for _ in range(2)]
        totals = [_totals(*draw) for draw in draws]
        by_cluster += estimate_cluster_means(*totals, settings).p_value < 0.05
        units = [total(values) for values, _ in draws]
        by_unit += estimate_welch(*units, settings).p_value < 0.05
    # 4 binomial errors; residuals of 40 clusters are a little too small: .005.
    assert abs(by_cluster / runs - 0.05) < 4 * np.sqrt(0.05 * 0.95 / runs) + 0.005
    assert by_unit / runs > 0.3
