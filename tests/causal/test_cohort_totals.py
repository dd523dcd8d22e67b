from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.cohort_totals import (
    spans_cohorts,
    split_clusters,
    total_cohorts,
)
from exp_platform.causal.panel_data import NEVER, Panel, sum_by_cluster
from exp_platform.causal.vector_moments import BLOCK


def _panel(n, n_clusters=None, *, is_weighted=False):
    random = np.random.default_rng(n)
    cohort = np.array([2.0, 3.0, NEVER])[np.arange(n_clusters or n) % 3]
    cluster = (
        np.arange(n)
        if n_clusters is None
        else random.permutation(np.arange(n) % n_clusters)
    )
    return Panel(
        "exp_1",
        "y",
        periods=np.arange(5.0),
        outcomes=random.gamma(0.5, 10, (n, 5)) + 1000,
        cohort=cohort[cluster],
        cluster=cluster,
        weight=random.uniform(0.5, 2, n) if is_weighted else np.ones(n),
        covariates=np.empty((n, 0)),
    )


def _brute(panel, cohort):
    """The definitions, cluster by cluster, in long double."""
    inside = panel.cohort == cohort
    values = panel.outcomes[inside].astype(np.longdouble)
    weight = panel.weight[inside].astype(np.longdouble)
    means = weight @ values / weight.sum()
    labels, place = np.unique(panel.cluster[inside], return_inverse=True)
    scores = np.zeros((labels.size, 5), dtype=np.longdouble)
    np.add.at(scores, place, weight[:, None] * (values - means))
    sizes = np.zeros(labels.size, dtype=np.longdouble)
    np.add.at(sizes, place, weight)
    return means, scores, sizes


@pytest.mark.parametrize("is_weighted", [False, True])
@pytest.mark.parametrize("n_clusters", [None, 60, BLOCK + 3])
def test_total_cohorts_agrees_with_the_definitions(n_clusters, is_weighted):
    panel = _panel(2 * BLOCK + 100, n_clusters, is_weighted=is_weighted)
    found = total_cohorts(panel)
    assert [one.cohort for one in found.cohorts] == [2, 3, NEVER]
    for one in found.cohorts:
        means, scores, sizes = _brute(panel, one.cohort)
        assert one.n == np.sum(panel.cohort == one.cohort)
        assert one.n_clusters == sizes.size
        np.testing.assert_allclose(one.means, means.astype(float), rtol=1e-14)
        gram = (scores.T @ scores).astype(float)
        # Of the size of a product of two standard deviations, as a correlation is.
        size = np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
        assert np.all(np.abs(one.score_gram - gram) <= 1e-12 * size)
        spread = np.sqrt(np.diag(gram) * float(sizes @ sizes))
        missed = one.size_score - (scores.T @ sizes).astype(float)
        assert np.all(np.abs(missed) <= 1e-12 * spread)
        assert one.size_square == pytest.approx(float(sizes @ sizes), rel=1e-13)
        assert one.weight == pytest.approx(float(sizes.sum()), rel=1e-13)


def test_total_cohorts_of_nobody_is_empty():
    panel = _panel(9)
    assert total_cohorts(panel.keep(np.zeros(9, dtype=bool))).cohorts == ()


def test_split_clusters_cuts_what_spans_cohorts():
    panel = _panel(90, 6)
    assert split_clusters(panel) is panel
    mixed = replace(panel, cohort=np.resize([2.0, NEVER], 90))
    assert spans_cohorts(mixed)
    split = split_clusters(mixed)
    assert not spans_cohorts(split)
    pairs = {*zip(mixed.cluster.tolist(), mixed.cohort.tolist(), strict=True)}
    assert split.n_clusters == len(pairs)


def test_sum_by_cluster_adds_weighted_values():
    panel = _panel(30, 4, is_weighted=True)
    found = sum_by_cluster(panel, 1000.0)
    for cluster in range(4):
        inside = panel.cluster == cluster
        expected = panel.weight[inside] @ (panel.outcomes[inside] - 1000)
        np.testing.assert_allclose(found[cluster], expected, rtol=1e-12)
