"""Randomisation inference for staggered adoption: cohorts dealt anew to the clusters.

With few clusters the influence functions' errors are too small. Here the averages are
computed again for other deals of the same cohorts; it tests one constant effect on all
treated units and takes all deals for equally likely.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.aggregation import Aggregation
from exp_platform.causal.group_times import Comparison, ControlGroup, list_comparisons
from exp_platform.causal.inversion import invert_test
from exp_platform.causal.panel_data import Panel, sum_by_cluster
from exp_platform.causal.randomisation import EQUAL, RandomisationTest
from exp_platform.stats.inference import Array


@dataclass(frozen=True, slots=True)
class _Deals:
    """Cohort means under every deal of cohorts to clusters.

    Attributes:
        cohorts: ascending, shape (n_cohorts,). weight: of each, shape
            (n_deals, n_cohorts).
        means: outcome and observed treatment, shape (2, n_deals, n_cohorts, n_periods).
    """

    cohorts: Array
    weight: Array
    means: Array


def permute_cohorts(
    panel: Panel,
    kinds: Sequence[Aggregation],
    *,
    control_group: ControlGroup = "not_yet",
    alpha: float = 0.05,
    draws: int = 1999,
    seed: int = 0,
) -> tuple[RandomisationTest, ...]:
    """How unusual are the average effects among other deals of the cohorts?

    Args:
        panel: without covariates, clusters wholly in one cohort.
        kinds: which averages; one test each.
        control_group: see `group_times.list_comparisons`.
        alpha: two-sided error rate of the interval.
        draws: deals at random beside the observed one.
        seed: of the deals.

    Estimand:
        A constant effect on treated units and periods.

    Assumptions:
        Any cluster could have been in any cohort.

    References:
        Fisher (1935); MacKinnon and Webb (2020); Roth and Sant'Anna (2023) on random
        timing.
    """
    deals = _deal(panel, draws, seed)
    rows = list(
        list_comparisons(panel.periods, deals.cohorts, control_group=control_group)
    )
    rows = [row for row in rows if panel.periods[row.period] >= row.cohort]
    effects = [_compare(means, deals, rows) for means in deals.means]
    return tuple(
        _test(
            _weigh(panel.periods, deals, rows, kind),
            effects[0],
            effects[1],
            alpha=alpha,
        )
        for kind in kinds
    )


def _test(
    weights: Array, effects: Array, switched: Array, *, alpha: float
) -> RandomisationTest:
    """The observed average, of the first deal, among those of all deals.

    The average is linear in the outcomes: a constant effect b moves it by b times the
    same average of the observed treatment.
    """
    found, moved = (np.sum(weights * one, axis=1) for one in (effects, switched))
    observed, spread = float(found[0]), float(np.std(found))

    def p_of(effect: float) -> float:
        """Share of draws that are as far from this effect as the actual dates."""
        distance = np.abs(found - effect * moved)
        return float(np.mean(distance >= abs(observed - effect) * (1 - EQUAL)))

    return RandomisationTest(
        difference=observed,
        spread=spread,
        p_value=p_of(0.0),
        interval=invert_test(p_of, observed, step=2 * spread or 1.0, alpha=alpha),
        n_assignments=found.size,
        is_exact=False,
    )


def _deal(panel: Panel, draws: int, seed: int) -> _Deals:
    n_clusters = int(panel.cluster.max()) + 1
    cohorts, code = panel.cohort_codes
    observed = np.zeros(n_clusters, dtype=np.int64)
    observed[panel.cluster] = code
    shuffled = np.random.default_rng(seed).permuted(
        np.tile(observed, (draws, 1)), axis=1
    )
    dealt = np.vstack([observed, shuffled])
    is_in = (dealt[:, :, None] == np.arange(cohorts.size)).astype(float)
    sizes = np.bincount(panel.cluster, panel.weight)
    weight = np.einsum("dgk,g->dk", is_in, sizes)
    is_treated = cohorts[observed][:, None] <= panel.periods
    sums = np.stack([sum_by_cluster(panel), sizes[:, None] * is_treated])
    means = np.einsum("dgk,vgt->vdkt", is_in, sums, optimize=True)
    return _Deals(cohorts, weight, means / weight[None, :, :, None])


def _compare(means: Array, deals: _Deals, rows: list[Comparison]) -> Array:
    """ATT(g, t) of each row under every deal, shape (n_deals, n_rows)."""
    effects = np.empty((means.shape[0], len(rows)))
    place = {float(cohort): index for index, cohort in enumerate(deals.cohorts)}
    for column, row in enumerate(rows):
        change = means[:, :, row.period] - means[:, :, row.base]
        controls = [place[cohort] for cohort in row.controls]
        weight = deals.weight[:, controls]
        control = np.sum(weight * change[:, controls], axis=1) / weight.sum(axis=1)
        effects[:, column] = change[:, place[row.cohort]] - control
    return effects


def _weigh(
    periods: Array, deals: _Deals, rows: list[Comparison], kind: Aggregation
) -> Array:
    """What each effect adds to the average, shape (n_deals, n_rows)."""
    cohort = np.array([row.cohort for row in rows])
    period = periods[[row.period for row in rows]]
    shares = deals.weight[:, np.searchsorted(deals.cohorts, cohort)]
    if kind == "simple":
        return _share(shares)
    if kind == "group":
        counts = np.array([np.sum(cohort == one) for one in cohort])
        return _share(shares / counts)
    keys = period - cohort if kind == "dynamic" else period
    weights = np.zeros(shares.shape)
    for key in np.unique(keys):
        is_row: NDArray[np.bool_] = keys == key
        weights[:, is_row] = _share(shares[:, is_row])
    return weights / np.unique(keys).size


def _share(values: Array) -> Array:
    return np.asarray(values / values.sum(axis=1, keepdims=True))
