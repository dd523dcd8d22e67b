from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.aggregation import average_effects
from exp_platform.causal.cohort_path import assess_cohorts, path_of_effects
from exp_platform.causal.cohort_totals import total_cohorts
from exp_platform.causal.group_times import compare_cohorts
from exp_platform.causal.panel_data import PanelData, arrange_panel
from exp_platform.causal.sensitivity import Sensitivity
from exp_platform.records import EstimateStatus

BLANK = Sensitivity("e", "sales", "old", "new", EstimateStatus.INSUFFICIENT_DATA)


def _compare(cohorts=(5, 7, np.inf), *, n=40, n_periods=10, effect=3.0, drift=0.0):
    random = np.random.default_rng(3)
    # Cohorts of unequal size, so that averages by time and by share differ.
    cohort = np.repeat(cohorts, [n * (1 + place) for place in range(len(cohorts))])
    time = np.arange(1.0, n_periods + 1)
    is_on = cohort[:, None] <= time
    values = random.normal(0, 1, is_on.shape) + np.where(is_on, effect, 0.0)
    values += np.where(np.isfinite(cohort), drift, 0.0)[:, None] * time
    # An effect that grows, so that the averages differ in the estimate too.
    values += 0.5 * np.where(is_on, time - cohort[:, None], 0.0)
    unit, period = np.meshgrid(np.arange(cohort.size), time, indexing="ij")
    data = PanelData(
        "e", "sales", unit.ravel(), period.ravel(), values.ravel(), cohort[unit.ravel()]
    )
    panel = total_cohorts(arrange_panel(data))
    return compare_cohorts(panel, base_period="universal")


def test_path_of_effects_has_the_effect_of_its_averaging():
    found = _compare()
    for kind in ("simple", "dynamic"):
        path = path_of_effects(found, averaging=kind)
        overall = average_effects(found, kind).overall
        assert path.estimate == pytest.approx(overall, rel=1e-9), kind
        assert path.weights.sum() == pytest.approx(1)
    assert path_of_effects(found, averaging="simple").weights[-1] < path.weights[-1]


def test_path_of_effects_leaves_out_leads_of_few_clusters():
    found = _compare()
    # Leads beyond 4 periods are those of the later cohort alone.
    few = replace(found, group_clusters=np.array([40, 4]))
    assert path_of_effects(found, fewest=5).n_pre == 5
    assert path_of_effects(few, fewest=5).n_pre == 3
    assert path_of_effects(few, fewest=50) is None


def test_assess_cohorts_of_a_clear_effect_is_robust_and_of_a_drift_is_not():
    clear = assess_cohorts(_compare(effect=6.0), BLANK)
    assert (clear.status, clear.period_days) == (EstimateStatus.OK, 1)
    assert (clear.n_pre, clear.n_post) == (5, 6)
    assert clear.is_robust
    assert clear.breakdown_mbar > 1
    drift = assess_cohorts(_compare(effect=0.0, drift=1.0), BLANK)
    assert drift.status is EstimateStatus.OK
    assert not drift.is_robust


def test_assess_cohorts_gathers_long_panels():
    found = assess_cohorts(_compare((20, np.inf), n_periods=30), BLANK)
    assert (found.period_days, found.n_pre) == (2, 8)


def test_assess_cohorts_refuses_what_it_cannot_judge():
    few = replace(_compare(), group_clusters=np.array([2, 2]))
    assert assess_cohorts(few, BLANK).reason == "TOO_FEW_CLUSTERS"
    bare = replace(_compare(), n_clusters_control=4)
    assert assess_cohorts(bare, BLANK).reason == "TOO_FEW_CLUSTERS"
    at_once = _compare((2, np.inf))
    assert assess_cohorts(at_once, BLANK).reason == "NO_PRE_PERIOD"
    assert not assess_cohorts(at_once, BLANK).is_robust
    assert path_of_effects(at_once) is None
