from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.cluster_sums import (
    ClusterSums,
    collapse_clusters,
    count_effective,
    sum_clusters,
)
from exp_platform.causal.did import estimate_did
from exp_platform.causal.few_clusters import (
    estimate_by_randomisation,
    estimate_did_by_cluster,
)
from exp_platform.errors import ContractError
from exp_platform.records import EstimateStatus


def _draw(seed, n_clusters, *, effect=0.0, sizes=4, variant="control"):
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(n_clusters), sizes)
    pre = random.normal(10, 2, cluster.size)
    post = pre + effect + random.normal(0, 1, n_clusters)[cluster]
    return sum_clusters(
        ("exp_1", "spend", variant),
        (pre, post + random.normal(0, 1, cluster.size)),
        cluster,
        days=(7, 14),
    )


def _arms(n_control, n_treated, effect=1.0, sizes=4):
    return (
        _draw(1, n_control),
        _draw(2, n_treated, effect=effect, sizes=sizes, variant="new"),
    )


def test_collapse_clusters_gives_the_totals_of_the_units(panel):
    random = np.random.default_rng(3)
    pre, post, cluster = *random.normal(5, 1, (2, 60)), np.arange(60) % 12
    sums = sum_clusters(
        ("exp_1", "spend", "control"), (pre, post), cluster, days=(7, 14)
    )
    found, expected = collapse_clusters(sums), panel(pre, post, cluster=cluster)
    for name in ("n", "n_clusters", "mean_pre", "mean_post", "score_sum_of_squares"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9)
    assert found.pre_score_product == pytest.approx(expected.pre_score_product)


def test_enough_clusters_need_no_bootstrap(settings):
    arms = _arms(25, 25)
    found = estimate_did_by_cluster(*arms, settings)
    plain = estimate_did(*map(collapse_clusters, arms), settings)
    assert (found.p_value, found.ci_lower) == (plain.p_value, plain.ci_lower)
    assert "inference" not in found.details
    assert found.details["n_clusters_effective"] == pytest.approx(50)


def test_few_clusters_are_bootstrapped(settings):
    arms = _arms(8, 6)
    found = estimate_did_by_cluster(*arms, settings)
    plain = estimate_did(*map(collapse_clusters, arms), settings)
    assert plain.reason == "NEEDS_WILD_BOOTSTRAP"
    assert found.is_ok
    assert found.details["inference"] == "wild_cluster_bootstrap"
    assert found.ci_lower < found.difference < found.ci_upper
    assert found.relative_method == "point_counterfactual"
    assert found.relative_ci_lower is None


def test_one_giant_cluster_makes_many_clusters_few(settings):
    sizes = [4] * 24 + [400]
    arms = _arms(25, 25, sizes=sizes)
    assert count_effective(*arms) < 20
    found = estimate_did_by_cluster(*arms, settings)
    assert found.details["inference"] == "wild_cluster_bootstrap"


@pytest.mark.parametrize("n_treated", [1, 4])
def test_fewer_than_five_treated_clusters_have_no_interval(n_treated, settings):
    found = estimate_did_by_cluster(*_arms(46, n_treated), settings)
    assert found.status is EstimateStatus.INSUFFICIENT_DATA
    assert found.reason == "TOO_FEW_CLUSTERS"
    assert found.difference is found.p_value is found.ci_lower is None
    assert found.details["inference"] == "randomisation"
    assert 0 < found.details["randomisation_p_value"] <= 1


def test_estimate_by_randomisation_is_a_row_of_its_own(settings):
    found = estimate_by_randomisation(*_arms(12, 3, effect=3.0), settings)
    assert (found.method, found.is_ok) == ("did_randomisation", True)
    assert found.ci_lower < found.difference < found.ci_upper
    assert found.details["n_assignments"] == 455


def test_estimate_by_randomisation_without_enough_choices_is_refused(settings):
    found = estimate_by_randomisation(*_arms(5, 1), settings)
    assert (found.status, found.reason) == (
        EstimateStatus.INSUFFICIENT_DATA,
        "TOO_FEW_CLUSTERS",
    )
    assert found.p_value is None
    assert found.details["randomisation_p_value"] >= 1 / 6


def test_constant_changes_have_no_variance(settings):
    one = np.ones(8)
    arm = ClusterSums("exp_1", "spend", "control", one, one, 2 * one, 7, 14)
    arms = (arm, replace(arm, variant="new"))
    for estimate in (estimate_did_by_cluster, estimate_by_randomisation):
        assert estimate(*arms, settings).reason == "ZERO_VARIANCE"


def test_missing_period_is_refused(settings):
    arms = [replace(arm, pre_days=0) for arm in _arms(8, 8)]
    for estimate in (estimate_did_by_cluster, estimate_by_randomisation):
        assert estimate(*arms, settings).reason == "NO_PRE_PERIOD"


def test_alpha_that_so_few_clusters_cannot_reach_is_refused(settings):
    found = estimate_did_by_cluster(*_arms(5, 5), replace(settings, alpha=0.001))
    assert (found.reason, found.p_value) == ("TOO_FEW_CLUSTERS", None)
    assert found.difference is None


def test_sums_of_unequal_length_are_a_broken_contract():
    one = np.ones(3)
    with pytest.raises(ContractError, match="do not belong together"):
        ClusterSums("exp_1", "spend", "control", one, one, np.ones(4), 7, 14)


def test_sums_that_are_not_finite_are_an_error(settings):
    control, treatment = _arms(8, 8)
    post = treatment.post.copy()
    post[0] = np.nan
    broken = replace(treatment, post=post)
    for estimate in (estimate_did_by_cluster, estimate_by_randomisation):
        found = estimate(control, broken, settings)
        assert found.status is EstimateStatus.METRIC_ERRORED
        assert found.reason == "INVALID_MOMENTS"


def test_missing_period_is_the_reason_also_with_one_cluster(settings):
    arms = [replace(arm, pre_days=0) for arm in _arms(8, 1)]
    assert estimate_did_by_cluster(*arms, settings).reason == "NO_PRE_PERIOD"
