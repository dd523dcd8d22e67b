"""One cluster of 50 times the others' size: no method takes such clusters for many."""

from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.did_adjusted import UnitChanges, estimate_did_adjusted
from exp_platform.causal.event_average import estimate_event_study
from exp_platform.causal.event_study import estimate_deltas
from exp_platform.causal.instrument import compliance_of_units, estimate_cace
from exp_platform.causal.novelty import assess_novelty
from exp_platform.causal.observational import (
    ObservedUnits,
    estimate_aipw,
    estimate_regression_adjustment,
)
from exp_platform.causal.panel_data import PanelData
from exp_platform.causal.period_totals import total_periods
from exp_platform.causal.pretrends import assess_pretrends
from exp_platform.causal.sensitivity import assess_sensitivity
from exp_platform.causal.twfe import estimate_twfe

N_CLUSTERS, PERIODS = 25, (-3, -2, -1, 0, 1, 2)


class Units:
    """Units of two arms of 25 clusters each, in which clusters move together."""

    def __init__(self, giant: int):
        rng = np.random.default_rng(5)
        sizes = [giant, *[4] * (N_CLUSTERS - 1)] * 2
        self.cluster = np.repeat(np.arange(2 * N_CLUSTERS), sizes)
        self.is_treated = self.cluster >= N_CLUSTERS
        n = self.cluster.size
        shared = rng.normal(0, 1, (2 * N_CLUSTERS, len(PERIODS)))
        self.values = shared[self.cluster] + rng.normal(0, 1, (n, len(PERIODS)))
        self.covariate = rng.normal(0, 1, (n, 1))
        self.uptake = self.is_treated * (rng.random(n) < 0.9)

    def arms(self):
        """Totals by period of both arms."""
        return [
            total_periods(
                self.values[side],
                weight=np.ones(int(side.sum())),
                cluster=self.cluster[side],
                periods=PERIODS,
                totals_of=("exp_1", "spend", name),
            )
            for name, side in (("a", ~self.is_treated), ("b", self.is_treated))
        ]


def _event_study(units, settings):
    return estimate_event_study(*units.arms(), settings)


def _adjusted(units, settings):
    pre, post = units.values[:, :3].mean(axis=1), units.values[:, 3:].mean(axis=1)
    names = ("exp_1", "spend", "a", "b")
    changes = UnitChanges(
        *names, units.is_treated, pre, post, units.covariate, cluster=units.cluster
    )
    return estimate_did_adjusted(changes, settings)


def _fixed_effects(units, settings):
    n, periods = len(units.values), len(PERIODS)
    data = PanelData(
        "exp_1",
        "spend",
        unit=np.repeat(np.arange(n), periods),
        period=np.tile(np.arange(periods, dtype=float), n),
        outcome=units.values.ravel(),
        cohort=np.repeat(np.where(units.is_treated, 3.0, np.inf), periods),
        cluster=np.repeat(units.cluster, periods),
    )
    return estimate_twfe(data, settings)


def _compliers(units, settings):
    totals = [
        compliance_of_units(
            units.values[side, -1], units.uptake[side], cluster=units.cluster[side]
        )
        for side in (~units.is_treated, units.is_treated)
    ]
    control, treatment = totals
    return estimate_cace(control, replace(treatment, variant="b"), settings)


def _observed(estimate):
    def run(units, settings):
        observed = ObservedUnits(
            "exp_1",
            "spend",
            "a",
            "b",
            outcome=units.values[:, -1],
            is_treated=units.is_treated,
            covariates=units.covariate,
            covariate_names=("age",),
            cluster=units.cluster,
        )
        return estimate(observed, settings)

    return run


@pytest.mark.parametrize(
    "estimate",
    [
        _event_study,
        _adjusted,
        _compliers,
        _observed(estimate_aipw),
        _observed(estimate_regression_adjustment),
    ],
)
def test_an_estimate_counts_clusters_by_their_size(estimate, settings):
    assert estimate(Units(giant=4), settings).is_ok
    found = estimate(Units(giant=200), settings)
    assert (found.status, found.reason, found.p_value) == (
        "INSUFFICIENT_DATA",
        "NEEDS_WILD_BOOTSTRAP",
        None,
    )


def test_fixed_effects_are_refused_where_one_cluster_outweighs_all(settings):
    assert _fixed_effects(Units(giant=4), settings).is_ok
    assert _fixed_effects(Units(giant=20), settings).is_ok
    found = _fixed_effects(Units(giant=200), settings)
    assert (found.reason, found.p_value) == ("TOO_FEW_CLUSTERS", None)


def test_a_path_by_period_has_no_errors_with_effectively_few_clusters():
    equal, uneven = (estimate_deltas(*Units(giant).arms()) for giant in (4, 200))
    assert equal[0].standard_error is not None
    assert [row.standard_error for row in uneven] == [None] * len(PERIODS)
    assert uneven[0].delta is not None


@pytest.mark.parametrize(
    "assess",
    [
        lambda arms: assess_pretrends(*arms, planned_effect=1.0, estimate=None),
        lambda arms: assess_novelty(*arms),
        lambda arms: assess_sensitivity(*arms),
    ],
)
def test_trends_and_bounds_need_more_than_one_cluster_that_outweighs_all(assess):
    assert assess(Units(giant=4).arms()).status == "OK"
    assert assess(Units(giant=200).arms()).reason == "TOO_FEW_CLUSTERS"


def test_degrees_of_freedom_of_a_pre_trend_are_of_effective_clusters():
    found = [
        assess_pretrends(*Units(giant).arms(), planned_effect=1.0, estimate=None)
        for giant in (4, 12)
    ]
    assert found[0].df_denominator > 40
    assert 4 < found[1].df_denominator < 40
