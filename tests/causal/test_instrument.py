import math
from dataclasses import replace

import numpy as np
import pytest
from causaldata import thornton_hiv
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.instrument import (
    ComplianceTotals,
    compliance_of_totals,
    compliance_of_units,
    estimate_cace,
)
from exp_platform.errors import ContractError
from exp_platform.records import EstimateStatus, MetricTotals

# Two regressions by QR against sums of scores.
ROUNDING = 1e-8


def _arms(units):
    units = {name: np.array(values) for name, values in units.items()}
    arms = []
    for variant, side in (("control", 0.0), ("treatment", 1.0)):
        rows = units["offered"] == side
        arms.append(
            compliance_of_units(
                units["outcome"][rows],
                units["uptake"][rows],
                cluster=units["cluster"][rows],
                metric_name="spend",
                variant=variant,
            )
        )
    return arms


def _draw(seed=1, n=400, compliers=0.6, effect=1.0):
    random = np.random.default_rng(seed)
    offered = np.arange(n) % 2
    kind = random.random(n)
    uptake = np.where(kind < compliers, offered, kind > 0.9)
    outcome = 3 + effect * uptake + kind + random.normal(0, 1, n)
    return _arms(
        {
            "offered": offered,
            "uptake": uptake.astype(float),
            "outcome": outcome,
            "cluster": np.arange(n),
        }
    )


@pytest.mark.parametrize("case", ["by_unit", "by_cluster", "moderate"])
def test_estimate_cace_agrees_with_linearmodels(case, golden, settings):
    answer = golden("instrument")[case]
    estimate = estimate_cace(*_arms(answer["units"]), settings)
    for name in ("difference", "standard_error", "p_value"):
        assert getattr(estimate, name) == pytest.approx(answer[name], rel=ROUNDING)
    for name in ("itt", "itt_standard_error", "first_stage_f"):
        assert estimate.details[name] == pytest.approx(answer[name], rel=ROUNDING)
    # statsmodels solved for the ends of the interval, to 1e-13.
    assert estimate.ci_lower == pytest.approx(answer["ci_lower"], rel=ROUNDING)
    assert estimate.ci_upper == pytest.approx(answer["ci_upper"], rel=ROUNDING)
    assert estimate.n_clusters == answer["n_clusters"]
    assert (estimate.method, estimate.estimand) == ("cace", "CACE")


def test_estimate_cace_on_thornton(golden, settings):
    """Incentive and learning one's HIV result: Thornton (2008), +.45."""
    frame = thornton_hiv.load_pandas().data.dropna(subset=["got", "any", "hiv2004"])
    estimate = estimate_cace(
        *_arms(
            {
                "offered": frame["any"].to_numpy(),
                "uptake": frame["got"].to_numpy(),
                "outcome": frame["hiv2004"].to_numpy(),
                "cluster": np.arange(len(frame)),
            }
        ),
        settings,
    )
    answer = golden("instrument")["thornton"]
    assert estimate.details["complier_share"] == pytest.approx(0.45, abs=0.005)
    assert estimate.details["uptake_control"] == pytest.approx(0.34, abs=0.005)
    assert estimate.difference == pytest.approx(answer["difference"], abs=1e-12)
    assert estimate.standard_error == pytest.approx(answer["standard_error"], rel=1e-8)
    # The incentive came after HIV status was known: no effect is the right answer.
    assert estimate.ci_lower < 0 < estimate.ci_upper


def test_estimate_cace_refuses_a_weak_first_stage(settings):
    estimate = estimate_cace(*_draw(compliers=0.0), settings)
    assert estimate.status is EstimateStatus.INSUFFICIENT_DATA
    assert estimate.reason == "WEAK_FIRST_STAGE"
    assert estimate.difference is None
    assert estimate.p_value is None
    assert estimate.details["first_stage_f"] < 10


def test_estimate_cace_refuses_an_unbounded_interval(settings):
    # At so small an alpha even this first stage does not exclude 0.
    estimate = estimate_cace(*_draw(n=80), replace(settings, alpha=1e-14))
    assert estimate.reason == "WEAK_FIRST_STAGE"
    assert estimate.details["first_stage_f"] > 10


@pytest.mark.parametrize(
    ("n_clusters", "reason"), [(4, "TOO_FEW_CLUSTERS"), (10, "NEEDS_WILD_BOOTSTRAP")]
)
def test_estimate_cace_refuses_few_clusters(n_clusters, reason, settings):
    arms = [replace(arm, n_clusters=n_clusters) for arm in _draw()]
    assert estimate_cace(*arms, settings).reason == reason


def test_estimate_cace_refuses_too_few_units(settings):
    arms = _draw()
    few = replace(settings, min_units_per_arm=1000)
    assert estimate_cace(*arms, few).reason == "TOO_FEW_UNITS"


def test_estimate_cace_refuses_a_broken_moment(settings):
    control, treatment = _draw()
    broken = replace(control, mean_outcome=math.nan)
    estimate = estimate_cace(broken, treatment, settings)
    assert estimate.status is EstimateStatus.METRIC_ERRORED


def test_estimate_cace_refuses_a_constant_outcome(settings):
    flat = {"outcome_squares": 0.0, "cross_products": 0.0, "outcome_range": 0.0}
    arms = [replace(arm, **flat) for arm in _draw()]
    assert estimate_cace(*arms, settings).reason == "ZERO_VARIANCE"


def test_full_compliance_is_the_effect_of_assignment(settings):
    estimate = estimate_cace(*_draw(compliers=1.0), settings)
    assert estimate.difference == pytest.approx(estimate.details["itt"], rel=1e-12)
    assert estimate.standard_error == pytest.approx(
        estimate.details["itt_standard_error"], rel=1e-12
    )
    assert estimate.details["first_stage_f"] is None
    assert estimate.ci_lower == pytest.approx(estimate.details["wald_ci_lower"])


def test_triggered_share_divides_the_diluted_effect(settings):
    """Nobody triggers in control: Bloom's estimate, the effect on the triggered."""
    random = np.random.default_rng(5)
    n = 4000
    offered = np.arange(n) % 2
    triggered = (random.random(n) < 0.2) * offered
    outcome = random.normal(10, 1, n) + 2.0 * triggered
    estimate = estimate_cace(
        *_arms(
            {
                "offered": offered,
                "uptake": triggered.astype(float),
                "outcome": outcome,
                "cluster": np.arange(n),
            }
        ),
        settings,
    )
    assert estimate.details["is_one_sided"]
    share = estimate.details["complier_share"]
    assert estimate.difference == pytest.approx(estimate.details["itt"] / share)
    assert estimate.ci_lower < 2.0 < estimate.ci_upper


def test_means_are_those_of_the_compliers(settings):
    control, treatment = _draw(n=20_000, effect=1.5)
    estimate = estimate_cace(control, treatment, settings)
    # Compliers are the kinds below .6: mean 3 + .3 without treatment.
    assert estimate.control_mean == pytest.approx(3.3, abs=0.1)
    gap = estimate.treatment_mean - estimate.control_mean
    assert gap == pytest.approx(estimate.difference, rel=1e-9)
    assert estimate.relative_lift == pytest.approx(
        estimate.difference / estimate.control_mean
    )


def test_means_are_absent_without_the_joint_moment(settings):
    arms = [replace(arm, mean_joint=None) for arm in _draw()]
    estimate = estimate_cace(*arms, settings)
    assert estimate.control_mean is None
    assert estimate.relative_lift is None
    assert estimate.difference is not None


@given(shift=st.floats(-100, 100), scale=st.floats(0.01, 100))
def test_estimate_cace_scales_with_the_outcome(shift, scale, settings):
    arms = _draw()
    moved = [
        replace(
            arm,
            mean_outcome=shift + scale * arm.mean_outcome,
            outcome_squares=scale**2 * arm.outcome_squares,
            cross_products=scale * arm.cross_products,
            mean_joint=None,
        )
        for arm in arms
    ]
    plain, other = (estimate_cace(*pair, settings) for pair in (arms, moved))
    # Means of up to 100 lose two digits in their difference.
    assert other.difference == pytest.approx(scale * plain.difference, rel=1e-6)
    assert other.ci_upper == pytest.approx(scale * plain.ci_upper, rel=1e-6)
    assert other.p_value == pytest.approx(plain.p_value, rel=1e-6)


@given(seed=st.integers(0, 200))
def test_p_value_and_interval_agree_about_no_effect(seed, settings):
    estimate = estimate_cace(*_draw(seed=seed, n=200, effect=0.5), settings)
    if estimate.is_ok:
        is_inside = estimate.ci_lower <= 0 <= estimate.ci_upper
        assert is_inside == (estimate.p_value >= settings.alpha)


def test_estimate_cace_refuses_an_offer_that_lowers_the_uptake(settings):
    flipped = [
        replace(
            arm,
            mean_uptake=1 - arm.mean_uptake,
            cross_products=-arm.cross_products,
            mean_joint=None,
        )
        for arm in _draw()
    ]
    estimate = estimate_cace(*flipped, settings)
    assert estimate.status is EstimateStatus.INSUFFICIENT_DATA
    assert estimate.reason == "REVERSED_FIRST_STAGE"
    assert estimate.difference is estimate.p_value is estimate.ci_lower is None
    assert estimate.details["complier_share"] < 0
    assert estimate.details["first_stage_f"] > 10


def test_compliance_of_totals_reads_uptake_from_the_denominator():
    random = np.random.default_rng(8)
    uptake = (random.random(50) < 0.4).astype(float)
    outcome = random.normal(0, 1, 50) + uptake
    totals = MetricTotals(
        "exp_1",
        "spend",
        "control",
        50,
        outcome.mean(),
        outcome.var(ddof=1),
        denominator_mean=uptake.mean(),
        denominator_variance=uptake.var(ddof=1),
        denominator_covariance=np.cov(outcome, uptake)[0, 1],
        min_value=outcome.min(),
        max_value=outcome.max(),
    )
    found = compliance_of_totals(totals)
    expected = compliance_of_units(
        outcome, uptake, metric_name="spend", variant="control", experiment_id="exp_1"
    )
    for name in ComplianceTotals.__slots__:
        assert getattr(found, name) == pytest.approx(getattr(expected, name))


def test_compliance_of_totals_needs_a_denominator():
    with pytest.raises(ContractError, match="uptake"):
        compliance_of_totals(MetricTotals("e", "m", "control", 5, 1.0, 1.0))


def test_compliance_of_units_needs_units_of_one_length():
    with pytest.raises(ContractError, match="one value per unit"):
        compliance_of_units(np.ones(3), np.ones(3), cluster=np.arange(2))


@pytest.mark.calibration
@pytest.mark.parametrize("compliers", [0.25, 0.6])
def test_intervals_cover_the_effect_on_compliers(compliers, settings):
    """Two-sided .05 +- 3 standard errors of 1,000 runs, moderate and strong."""
    hits = []
    for seed in range(1000):
        estimate = estimate_cace(*_draw(seed, n=600, compliers=compliers), settings)
        assert estimate.is_ok
        hits.append(estimate.ci_lower < 1.0 < estimate.ci_upper)
    assert np.mean(hits) == pytest.approx(0.95, abs=3 * math.sqrt(0.0475 / 1000))


def test_estimate_cace_of_assigned_clusters_needs_totals_by_cluster(settings):
    clustered = replace(settings, is_clustered=True)
    by_unit = _draw()
    refused = estimate_cace(*by_unit, clustered)
    assert refused.status is EstimateStatus.NOT_IDENTIFIED
    assert refused.reason == "UNIT_FINER_THAN_ASSIGNMENT"
    by_cluster = [replace(arm, n_clusters=arm.n // 4) for arm in by_unit]
    assert estimate_cace(*by_cluster, clustered).status is EstimateStatus.OK
