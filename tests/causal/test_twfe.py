from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.goodman_bacon import decompose_panel
from exp_platform.causal.panel_data import PanelData, arrange_panel
from exp_platform.causal.twfe import estimate_twfe
from exp_platform.records import EstimateStatus

KINDS = ("treated_vs_never", "earlier_vs_later", "later_vs_earlier")


@pytest.fixture
def usual(golden):
    columns = golden("staggered")["panels"]["usual"]
    columns = {name: np.array(values) for name, values in columns.items()}
    cohort = columns["cohort"].astype(float)
    return PanelData(
        "exp_1",
        "y",
        columns["unit"],
        columns["year"].astype(float),
        columns["y"],
        np.where(cohort == 0, np.inf, cohort),
        cluster=columns["cluster"],
        weight=columns["weight"],
    )


@pytest.mark.parametrize("case", ["by_unit", "by_cluster", "weighted"])
def test_estimate_twfe_agrees_with_pyfixest(case, usual, golden, settings):
    answer = golden("twfe")[case]
    data = replace(
        usual,
        cluster=usual.cluster if case == "by_cluster" else None,
        weight=usual.weight if case == "weighted" else None,
    )
    found = estimate_twfe(data, settings)
    assert found.difference == pytest.approx(answer["estimate"], rel=1e-10)
    assert found.standard_error == pytest.approx(answer["standard_error"], rel=1e-10)
    # pyfixest computes 1 - cdf, which is 0 below 1e-16.
    assert found.p_value == pytest.approx(answer["p_value"], rel=1e-2, abs=1e-15)
    assert found.df == found.n_clusters - 1


def test_estimate_twfe_differs_from_linearmodels_by_its_factor(usual, golden, settings):
    answer = golden("twfe")["linearmodels"]
    found = estimate_twfe(replace(usual, cluster=None, weight=None), settings)
    # linearmodels: N/(N-k), k counting every unit and period, and no G/(G-1).
    n, g, periods = 1260, 180, 7
    theirs = n / (n - (1 + g + periods - 1))
    ours = g / (g - 1) * (n - 1) / (n - (1 + periods))
    expected = found.standard_error * np.sqrt(theirs / ours)
    assert found.difference == pytest.approx(answer["estimate"], rel=1e-10)
    assert expected == pytest.approx(answer["standard_error"], rel=1e-8)


def test_decompose_panel_agrees_with_diff_diff(usual, golden):
    panel = arrange_panel(replace(usual, weight=None), keep_always=True)
    found = {
        (one.treated, one.control): one for one in decompose_panel(panel).comparisons
    }
    told = golden("twfe")["bacon"]
    assert len(told) == len(found)
    for treated, control, kind, weight, estimate in told:
        one = found[treated, control or np.inf]
        assert one.kind == kind
        assert one.weight == pytest.approx(weight, rel=1e-9)
        assert one.estimate == pytest.approx(estimate, rel=1e-9)


@pytest.mark.parametrize("is_weighted", [False, True])
def test_comparisons_add_up_to_the_coefficient(is_weighted, usual, settings):
    data = usual if is_weighted else replace(usual, weight=None)
    # Some units are treated from the start: they are controls in the regression.
    cohort = np.where(data.unit % 10 == 0, 2001.0, data.cohort)
    data = replace(data, cohort=cohort, cluster=None)
    found = decompose_panel(arrange_panel(data, keep_always=True))
    total = sum(one.weight * one.estimate for one in found.comparisons)
    assert total == pytest.approx(estimate_twfe(data, settings).difference, rel=1e-10)
    assert sum(one.weight for one in found.comparisons) == pytest.approx(1)
    assert "treated_vs_always" in {one.kind for one in found.comparisons}


def test_forbidden_comparisons_are_warned_of(usual, settings):
    found = estimate_twfe(replace(usual, cluster=None), settings)
    details = found.details
    assert details["warning"] == "FORBIDDEN_COMPARISONS"
    assert 0.1 < details["bacon_share_forbidden"] < 0.2
    # Growing effects: later against earlier treated is biased downwards.
    assert details["bacon_forbidden_estimate"] < details["bacon_clean_estimate"]


def test_one_date_has_nothing_forbidden(usual, settings):
    data = replace(usual, cohort=np.where(usual.unit % 2, 2004.0, np.inf), cluster=None)
    found = estimate_twfe(data, settings)
    assert found.details["bacon_share_forbidden"] == 0
    assert found.details["share_negative_weights"] == 0
    assert "warning" not in found.details


def test_long_treated_cohorts_get_negative_weights(settings):
    # Two cohorts and nobody untreated at the end.
    unit, period = np.repeat(np.arange(60), 10), np.tile(np.arange(10.0), 60)
    cohort = np.where(unit % 2, 2.0, 7.0)
    random = np.random.default_rng(1)
    data = PanelData("exp_1", "y", unit, period, random.normal(0, 1, 600), cohort)
    assert estimate_twfe(data, settings).details["share_negative_weights"] > 0.05


@pytest.mark.parametrize(
    ("n", "reason"),
    [(1, "TOO_FEW_UNITS"), (8, "TOO_FEW_CLUSTERS"), (20, "NEEDS_WILD_BOOTSTRAP")],
)
def test_estimate_twfe_refuses(n, reason, settings):
    unit, period = np.repeat(np.arange(n), 4), np.tile(np.arange(4.0), n)
    cohort = np.where(unit % 2, 2.0, np.inf)
    data = PanelData("exp_1", "y", unit, period, unit * period, cohort)
    found = estimate_twfe(data, settings)
    assert (found.status, found.reason) == (EstimateStatus.INSUFFICIENT_DATA, reason)
    assert found.difference is None


def test_treatment_without_variation_is_refused(usual, settings):
    data = replace(usual, cohort=np.full(usual.unit.size, 2004.0), cluster=None)
    assert estimate_twfe(data, settings).status is EstimateStatus.INSUFFICIENT_DATA
    flat = replace(usual, outcome=np.ones(usual.unit.size), cluster=None)
    assert estimate_twfe(flat, settings).reason == "ZERO_VARIANCE"
