"""Published panels: castle doctrine laws, organ donations, New Jersey's minimum wage."""

import csv
from dataclasses import replace
from pathlib import Path

import causaldata
import numpy as np
import pytest

from exp_platform.causal.aggregation import AGGREGATIONS, average_effects
from exp_platform.causal.cluster_sums import ClusterSums, sum_clusters
from exp_platform.causal.cohort_totals import total_cohorts
from exp_platform.causal.few_clusters import (
    estimate_by_randomisation,
    estimate_did_by_cluster,
)
from exp_platform.causal.goodman_bacon import decompose_panel
from exp_platform.causal.group_times import compare_cohorts
from exp_platform.causal.panel_data import PanelData, arrange_panel
from exp_platform.causal.staggered import estimate_staggered
from exp_platform.causal.twfe import estimate_twfe
from exp_platform.records import EstimateStatus

NJMIN = Path(__file__).parents[3] / "shared" / "data" / "njmin.csv"


@pytest.fixture(scope="module")
def castle():
    frame = causaldata.castle.load_pandas().data
    first = frame[frame.post > 0].groupby("sid").year.min()
    return PanelData(
        "castle",
        "log homicides",
        frame.sid.to_numpy(),
        frame.year.to_numpy(dtype=float),
        frame.l_homicide.to_numpy(dtype=float),
        frame.sid.map(first).to_numpy(dtype=float),
        weight=frame.popwt.to_numpy(dtype=float),
    )


def _unweighted(data):
    return PanelData(
        data.experiment_id,
        data.metric_name,
        data.unit,
        data.period,
        data.outcome,
        data.cohort,
    )


@pytest.mark.parametrize("is_weighted", [False, True])
def test_castle_doctrine_by_cohort_and_period(is_weighted, castle, golden, settings):
    data = castle if is_weighted else _unweighted(castle)
    told = golden("staggered")["csdid"]["castle_weighted" if is_weighted else "castle"]
    found = estimate_staggered(data, settings, control_group="never")
    totals = total_cohorts(arrange_panel(data))
    effects = compare_cohorts(totals, control_group="never")
    for kind, one in zip(AGGREGATIONS, found.estimates, strict=True):
        assert one.difference == pytest.approx(told[kind]["overall"], rel=1e-8)
        error = average_effects(effects, kind).overall_variance ** 0.5
        assert error == pytest.approx(told[kind]["overall_se"], rel=1e-8)
        # Weighted by people, the states are effectively fewer than 20: dealt anew.
        assert (one.standard_error == pytest.approx(error)) is not is_weighted
    details = found.estimates[0].details
    assert (details["n_clusters_effective"] < 20) is is_weighted
    assert (details["n_clusters_treatment"], details["n_clusters_control"]) == (21, 29)
    # By the first whole year of the law: Florida alone in 2006, then 13 states at once,
    # then four, two and one.
    assert details["cohorts_of_few_clusters"] == [2006, 2008, 2009, 2010]


@pytest.mark.parametrize("is_weighted", [False, True])
def test_castle_doctrine_by_two_way_fixed_effects(
    is_weighted, castle, golden, settings
):
    # Cheng and Hoekstra (2013), table 5, print .0801 for the weighted regression: their
    # treatment is the share of the first year in which the law was in force.
    told = golden("twfe")["castle_weighted" if is_weighted else "castle"]
    data = castle if is_weighted else _unweighted(castle)
    found = estimate_twfe(data, settings)
    assert found.difference == pytest.approx(told["estimate"], rel=1e-9)
    assert found.standard_error == pytest.approx(told["standard_error"], rel=1e-9)


def test_castle_doctrine_decomposed(castle, golden):
    panel = arrange_panel(_unweighted(castle), keep_always=True)
    found = {
        (one.treated, one.control): one for one in decompose_panel(panel).comparisons
    }
    for treated, control, _, weight, estimate in golden("twfe")["bacon_castle"]:
        one = found[treated, control or np.inf]
        assert one.weight == pytest.approx(weight, rel=1e-9)
        assert one.estimate == pytest.approx(estimate, rel=1e-9)


@pytest.fixture(scope="module")
def organ_donations():
    """California's active-choice phrasing from the third quarter of 2011."""
    frame = causaldata.organ_donations.load_pandas().data
    wide = frame.pivot_table(index="State", columns="Quarter_Num", values="Rate")
    pre, post = wide[[1, 2, 3]].mean(axis=1), wide[[4, 5, 6]].mean(axis=1)
    is_treated = (wide.index == "California").tolist()
    sides = (np.logical_not(is_treated), np.array(is_treated))
    return [
        sum_clusters(
            ("organs", "rate", name),
            (pre[side].to_numpy(), post[side].to_numpy()),
            wide.index[side].to_numpy(),
            days=(3, 3),
        )
        for name, side in zip(("others", "California"), sides, strict=True)
    ]


def test_one_treated_state_has_no_clustered_interval(organ_donations, settings):
    found = estimate_did_by_cluster(
        *organ_donations, replace(settings, min_units_per_arm=1)
    )
    assert found.status is EstimateStatus.INSUFFICIENT_DATA
    assert found.reason == "TOO_FEW_CLUSTERS"
    assert found.p_value is found.ci_lower is None
    assert found.details["n_assignments"] == 27


def test_one_treated_state_by_randomisation(organ_donations, settings):
    found = estimate_by_randomisation(
        *organ_donations, replace(settings, min_units_per_arm=1)
    )
    # Huntington-Klein, The Effect (2021), chapter 18, prints -.022 with an error of
    # .006 clustered by state, hence "p < .001": no use with one treated state.
    assert round(found.difference, 3) == -0.022
    assert found.details["n_assignments"] == 27
    assert found.p_value > 0.05


def test_new_jersey_beside_pennsylvania_is_two_clusters(settings):
    """Card and Krueger (1994), table 3: 2.76; the file says 1993 for the second wave."""
    if not NJMIN.exists():
        pytest.skip(f"{NJMIN} is not here: public data are not part of the project")
    arms = []
    for state in ("Pennsylvania", "New Jersey"):
        means = [_read_mean(state, year) for year in (1991, 1993)]
        one = np.ones(1)
        arms.append(
            ClusterSums("minimum wage", "fte", state, one, means[0], means[1], 1, 1)
        )
    found = estimate_did_by_cluster(*arms, replace(settings, min_units_per_arm=1))
    assert found.reason == "TOO_FEW_CLUSTERS"
    assert found.details["randomisation_difference"] == pytest.approx(2.7536, abs=5e-5)
    assert found.details["randomisation_p_value"] == 1


def _read_mean(state, year):
    with NJMIN.open(newline="") as file:
        values = [
            float(row["fte"])
            for row in csv.DictReader(file)
            if row["fte"] not in {"", "NA"}
            and (row["state"], row["year"]) == (state, str(year))
        ]
    return np.array([np.mean(values)])
