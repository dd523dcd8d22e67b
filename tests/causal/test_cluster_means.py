from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.cluster_means import estimate_means_by_cluster
from exp_platform.causal.cluster_sums import sum_clusters
from exp_platform.records import MetricType
from exp_platform.stats.cluster import estimate_cluster_means, summarise_clusters


def _arm(values, cluster, variant):
    """Moments over clusters, and each cluster's sums."""
    names = ("exp_1", "spend", variant)
    values = np.asarray(values, dtype=float)
    sums = sum_clusters(names, (np.zeros(values.size), values), cluster, days=(0, 1))
    return summarise_clusters(names, values, np.asarray(cluster)), sums


def _draw(n_clusters, *, effect=0.0, seed=1, variant="control", sizes=12):
    random = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(n_clusters), sizes)
    mood = random.normal(10 + effect, 1, n_clusters)[cluster]
    return _arm(mood + random.normal(0, 2, cluster.size), cluster, variant)


def _estimate(control, treatment, settings, **options):
    totals, sums = zip(control, treatment, strict=True)
    return estimate_means_by_cluster(totals, sums, settings, **options)


@pytest.mark.parametrize("case", ["enumerated", "drawn"])
def test_few_clusters_agree_with_wildboottest(case, golden, settings):
    """Means of y are changes of y when nothing was seen before."""
    answer = golden("few_clusters")[case]
    units = {name: np.array(values) for name, values in answer["units"].items()}
    change = units["post"] - units["pre"]
    arms = [
        _arm(change[side], units["cluster"][side], name)
        for name, side in (
            ("control", units["treated"] == 0),
            ("new", units["treated"] == 1),
        )
    ]
    found = _estimate(*arms, replace(settings, min_units_per_arm=2), seed=3)
    assert found.difference == pytest.approx(answer["difference"], rel=1e-10)
    if case == "enumerated":
        # They count vectors beyond the observed statistic, we also those equal to it.
        assert found.p_value == pytest.approx(answer["p_value"] + 2 / 2**11, rel=1e-12)
        assert found.details["is_enumerated"]
    else:
        error = np.sqrt(answer["p_value"] * (1 - answer["p_value"]) / 9_999)
        assert found.p_value == pytest.approx(answer["p_value"], abs=4 * error)
    assert found.details["randomisation_p_value"] == pytest.approx(
        found.p_value, abs=0.05
    )


def test_many_clusters_need_no_bootstrap(settings):
    arms = _draw(40), _draw(40, effect=1.0, seed=2, variant="new")
    found = _estimate(*arms, settings)
    plain = estimate_cluster_means(arms[0][0], arms[1][0], settings)
    assert found == plain
    assert (found.method, found.n_clusters) == ("cluster_delta", 80)
    assert "inference" not in found.details


def test_few_clusters_keep_their_error_and_change_their_test(settings):
    arms = _draw(9), _draw(11, effect=2.0, seed=2, variant="new")
    found = _estimate(*arms, settings, seed=7)
    assert found.is_ok
    assert found.n_clusters == 20
    assert found.details["inference"] == "wild_cluster_bootstrap"
    assert found.details["seed"] == 7
    assert found.ci_lower < found.difference < found.ci_upper
    assert found.relative_lift is not None
    assert found.relative_ci_lower is None
    assert found.standard_error > 0
    # the same seed is the same row; another one moves the p a little
    assert found == _estimate(*arms, settings, seed=7)
    other = _estimate(*arms, settings, seed=8)
    assert other.p_value == pytest.approx(found.p_value, abs=0.01)


def test_few_clusters_without_their_sums_have_no_number(settings):
    control, treatment = _draw(9), _draw(11, variant="new")
    totals = (control[0], treatment[0])
    found = estimate_means_by_cluster(totals, None, settings)
    assert (found.reason, found.p_value) == ("NEEDS_WILD_BOOTSTRAP", None)


def test_fewer_than_five_clusters_are_refused(settings):
    found = _estimate(_draw(4, sizes=60), _draw(30, variant="new"), settings)
    assert (found.reason, found.difference) == ("TOO_FEW_CLUSTERS", None)
    one = _estimate(_draw(1, sizes=200), _draw(30, variant="new"), settings)
    assert one.reason == "TOO_FEW_CLUSTERS"


def test_clusters_without_variance_are_refused(settings):
    control = _arm(np.ones(120), np.repeat(np.arange(10), 12), "control")
    treatment = _arm(np.full(120, 2.0), np.repeat(np.arange(10), 12), "new")
    assert _estimate(control, treatment, settings).reason == "ZERO_VARIANCE"


def test_a_ratio_whose_denominators_may_be_zero_is_refused(settings):
    ratio = replace(settings.definition, type=MetricType.RATIO, denominator="visits")
    totals = [
        # one giant cluster: sizes of mean 2 vary by 30
        replace(arm[0], size_mean=2.0, size_variance=900.0)
        for arm in (_draw(25), _draw(25, variant="new"))
    ]
    pair = (totals[0], totals[1])
    found = estimate_means_by_cluster(pair, None, replace(settings, definition=ratio))
    assert found.reason == "DENOMINATOR_NEAR_ZERO"
    # for a mean the same sizes are few effective clusters
    assert (
        estimate_means_by_cluster(pair, None, settings).reason == "NEEDS_WILD_BOOTSTRAP"
    )


def test_few_clusters_hold_their_level(settings):
    """No effect, 6 against 8 clusters: t by cluster rejects too often, this does not."""
    random = np.random.default_rng(20260)
    runs, rejected, naive = 400, 0, 0
    for run in range(runs):
        sizes = random.integers(3, 25, 14)
        cluster = np.repeat(np.arange(14), sizes)
        values = random.normal(0, 1, 14)[cluster] + random.normal(0, 1, cluster.size)
        side = cluster < 6
        arms = [_arm(values[s], cluster[s], n) for n, s in (("a", ~side), ("b", side))]
        loose = replace(settings, min_units_per_arm=2)
        found = _estimate(*arms, loose, seed=run)
        rejected += found.p_value is not None and found.p_value <= 0.05
        naive += abs(found.difference / found.standard_error) > 1.96
    # binomial error at .05 over 400 runs is .011; normal quantiles are beyond it
    assert rejected / runs <= 0.05 + 3 * 0.011
    assert naive / runs > 0.05 + 3 * 0.011
