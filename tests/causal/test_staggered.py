from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from exp_platform.causal.aggregation import (
    AGGREGATIONS,
    average_effects,
    find_band,
)
from exp_platform.causal.cohort_path import path_of_effects
from exp_platform.causal.cohort_totals import spans_cohorts, total_cohorts
from exp_platform.causal.group_times import compare_cohorts, compare_units
from exp_platform.causal.panel_data import PanelData, arrange_panel
from exp_platform.causal.relative_magnitudes import bound_relative_magnitudes
from exp_platform.causal.staggered import estimate_staggered
from exp_platform.causal.staggered_randomisation import permute_cohorts
from exp_platform.records import EstimateRole, EstimateStatus

# Sums by cohort against regressions unit by unit.
ROUNDING = 1e-8

CASES = {
    "never": ("usual", {"control_group": "never"}, ()),
    "not_yet": ("usual", {"control_group": "not_yet"}, ()),
    "universal": (
        "usual",
        {"control_group": "not_yet", "base_period": "universal"},
        (),
    ),
    "weighted": ("usual", {"control_group": "never"}, ("weight",)),
    "all_treated": ("all_treated", {"control_group": "not_yet"}, ()),
    "outcome_regression": (
        "usual",
        {"control_group": "never", "adjustment": "outcome_regression"},
        ("x",),
    ),
    "weighting": (
        "usual",
        {"control_group": "never", "adjustment": "weighting"},
        ("x",),
    ),
    "doubly_robust": (
        "usual",
        {"control_group": "not_yet", "adjustment": "doubly_robust"},
        ("x",),
    ),
}


def _data(columns, extra=()):
    columns = {name: np.array(values) for name, values in columns.items()}
    cohort = columns["cohort"].astype(float)
    return PanelData(
        "exp_1",
        "y",
        columns["unit"],
        columns["year"].astype(float),
        columns["y"].astype(float),
        np.where(cohort == 0, np.inf, cohort),
        cluster=columns["cluster"] if "cluster" in extra else None,
        weight=columns["weight"] if "weight" in extra else None,
        covariates=columns["x"][:, None] if "x" in extra else None,
    )


def _solve(answer, case):
    name, options, extra = CASES[case]
    panel = arrange_panel(_data(answer["panels"][name], extra))
    if "x" in extra:
        return compare_units(panel, **options)
    return compare_cohorts(total_cohorts(panel), **options)


def _by_key(cohorts, periods, estimates, errors):
    keys = zip(cohorts, periods, strict=True)
    return dict(zip(keys, zip(estimates, errors, strict=True), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_group_time_effects_agree_with_csdid(case, golden):
    answer = golden("staggered")
    found = _solve(answer, case)
    errors = np.sqrt(np.diag(found.covariance))[: found.estimates.size]
    ours = _by_key(found.cohorts, found.periods, found.estimates, errors)
    told = answer["csdid"][case]
    theirs = _by_key(
        told["cohort"], told["period"], told["estimate"], told["standard_error"]
    )
    # csdid lists the reference period of a universal base as an effect of exactly 0.
    theirs = {key: pair for key, pair in theirs.items() if pair[0] != 0}
    assert ours.keys() == theirs.keys()
    for key, pair in theirs.items():
        assert ours[key] == pytest.approx(pair, rel=ROUNDING, abs=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", AGGREGATIONS)
def test_averages_agree_with_csdid(case, kind, golden):
    answer = golden("staggered")
    found = average_effects(_solve(answer, case), kind)
    told = answer["csdid"][case][kind]
    assert found.overall == pytest.approx(told["overall"], rel=ROUNDING)
    error = np.sqrt(found.overall_variance)
    assert error == pytest.approx(told["overall_se"], rel=ROUNDING)
    if kind == "simple":
        assert not found.at.size
        return
    rows = {
        key: pair
        for key, *pair in zip(
            told["at"], told["estimate"], told["standard_error"], strict=True
        )
        if pair[0] != 0
    }
    assert found.at.tolist() == sorted(rows)
    errors = np.sqrt(np.diag(found.covariance))
    for key, estimate, error in zip(found.at, found.estimates, errors, strict=True):
        assert [estimate, error] == pytest.approx(rows[key], rel=ROUNDING, abs=1e-12)


@pytest.mark.parametrize("case", ["never", "not_yet", "doubly_robust"])
def test_group_time_effects_agree_with_diff_diff(case, golden):
    answer = golden("staggered")
    found = _solve(answer, case)
    errors = np.sqrt(np.diag(found.covariance))[: found.estimates.size]
    ours = _by_key(found.cohorts, found.periods, found.estimates, errors)
    told = answer["diff_diff"][case]
    theirs = _by_key(
        told["cohort"], told["period"], told["estimate"], told["standard_error"]
    )
    # diff-diff stops its logistic regression earlier than csdid and we do.
    tolerance = 1e-4 if case == "doubly_robust" else ROUNDING
    for key, pair in theirs.items():
        assert ours[key] == pytest.approx(pair, rel=tolerance, abs=1e-12)
    simple = average_effects(found, "simple")
    assert simple.overall == pytest.approx(told["overall"], rel=tolerance)
    error = np.sqrt(simple.overall_variance)
    assert error == pytest.approx(told["overall_se"], rel=tolerance)


def test_units_and_cohort_totals_give_the_same_answer(golden):
    panel = arrange_panel(_data(golden("staggered")["panels"]["usual"], ("weight",)))
    one = compare_cohorts(total_cohorts(panel))
    other = compare_units(panel)
    np.testing.assert_allclose(one.estimates, other.estimates, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-7, atol=1e-12)
    assert one.n_clusters_control == other.n_clusters_control
    assert one.treated_means == pytest.approx(other.treated_means)


def test_clusters_inside_cohorts_sum_their_units(golden):
    columns = dict(golden("staggered")["panels"]["usual"])
    cohort, unit = np.array(columns["cohort"]), np.array(columns["unit"])
    columns["cluster"] = cohort * 100 + unit % 7
    panel = arrange_panel(_data(columns, ("cluster", "weight")))
    assert not spans_cohorts(panel)
    one, other = compare_cohorts(total_cohorts(panel)), compare_units(panel)
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-7, atol=1e-12)
    assert one.n_clusters == 28


def test_clusters_across_cohorts_are_summed_unit_by_unit(golden, settings):
    data = _data(golden("staggered")["panels"]["usual"], ("cluster",))
    assert spans_cohorts(arrange_panel(data))
    found = estimate_staggered(data, settings)
    assert found.estimates[0].is_ok
    assert found.estimates[0].n_clusters == 60


def test_estimate_staggered_has_one_row_per_average(golden, settings):
    data = _data(golden("staggered")["panels"]["usual"])
    found = estimate_staggered(data, settings)
    names = [f"callaway_santanna_{kind}" for kind in AGGREGATIONS]
    assert [one.method for one in found.estimates] == names
    roles = [one.role for one in found.estimates]
    assert roles == [EstimateRole.PRIMARY] + [EstimateRole.SECONDARY] * 3
    for one in found.estimates:
        assert (one.status, one.estimand) == (EstimateStatus.OK, "ATT")
        assert one.ci_lower < one.difference < one.ci_upper
        assert one.df == one.n_clusters - 1
    dynamic = [row for row in found.rows if row.method.endswith("dynamic")]
    assert [row.at for row in dynamic] == [-4, -3, -2, -1, 0, 1, 2, 3, 4]
    assert all(row.band_lower < row.ci_lower for row in dynamic)
    details = found.estimates[2].details
    assert 0 < details["pretrend_p_value"] < 1


def test_totals_are_as_good_as_units(golden, settings):
    data = _data(golden("staggered")["panels"]["usual"])
    one = estimate_staggered(data, settings).estimates
    other = estimate_staggered(total_cohorts(arrange_panel(data)), settings).estimates
    for ours, theirs in zip(one, other, strict=True):
        assert ours.difference == theirs.difference
        assert ours.standard_error == theirs.standard_error


def test_path_of_effects_feeds_the_sensitivity_bounds(golden):
    answer = golden("staggered")
    path = path_of_effects(_solve(answer, "universal"))
    assert path.estimate == pytest.approx(
        answer["csdid"]["universal"]["dynamic"]["overall"]
    )
    found = bound_relative_magnitudes(path, 0.5)
    assert found.lower < path.estimate < found.upper


def _panel(cohorts, *, n=40, periods=range(1, 7), effect=1.0, seed=1, size=1):
    random = np.random.default_rng(seed)
    unit = np.arange(n * len(cohorts))
    cohort = np.repeat(np.array(cohorts, dtype=float), n)
    periods = np.array(periods, dtype=float)
    values = random.normal(0, 1, (unit.size, periods.size)) + periods
    values += effect * (cohort[:, None] <= periods)
    return PanelData(
        "exp_1",
        "y",
        np.repeat(unit, periods.size),
        np.tile(periods, unit.size),
        values.ravel(),
        np.repeat(cohort, periods.size),
        cluster=np.repeat(unit // size, periods.size),
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_panel([3, 4], size=10), "TOO_FEW_CLUSTERS"),
        (_panel([3, 3]), "NO_CONTROLS"),
        (_panel([np.inf, np.inf]), "NO_CONTROLS"),
        (_panel([1, np.inf]), "NO_CONTROLS"),
        (_panel([3, np.inf], effect=0.0), ""),
    ],
)
def test_estimate_staggered_refuses(data, reason, settings):
    for one in estimate_staggered(data, settings).estimates:
        assert one.reason == reason
        assert one.is_ok is (reason == "")
        assert (one.difference is None) is (reason != "")


def test_few_clusters_are_tested_by_randomisation(settings):
    found = estimate_staggered(_panel([3, 5, np.inf], size=5), settings)
    for one in found.estimates:
        assert one.is_ok
        assert one.details["inference"] == "randomisation"
        assert one.ci_lower < 1.0 < one.ci_upper
        assert one.p_value < 0.05
    assert not found.rows
    enough = estimate_staggered(_panel([3, 5, np.inf]), settings)
    for few, many in zip(found.estimates, enough.estimates, strict=True):
        # Errors differ, the averages do not.
        assert few.difference == pytest.approx(many.difference, rel=1e-10)


def test_effectively_few_clusters_are_tested_by_randomisation(settings):
    data = _panel([3, np.inf], n=30)
    giant = np.where(data.unit == 0, 60.0, 1.0)
    plain, uneven = (
        estimate_staggered(one, settings) for one in (data, replace(data, weight=giant))
    )
    assert "inference" not in plain.estimates[0].details
    assert plain.estimates[0].details["n_clusters_effective"] == pytest.approx(60)
    for one in uneven.estimates:
        assert one.details["inference"] == "randomisation"
        assert one.details["n_clusters_effective"] < 2
    assert not uneven.rows


def test_effectively_few_clusters_with_covariates_are_refused(settings):
    data = _panel([3, np.inf], n=30)
    giant = np.where(data.unit == 0, 60.0, 1.0)
    given = replace(data, weight=giant, covariates=(data.unit % 3)[:, None] * 1.0)
    found = estimate_staggered(given, settings).estimates[0]
    assert found.reason == "NEEDS_WILD_BOOTSTRAP"


def test_hardly_any_treated_cluster_leaves_a_p_value(settings):
    found = estimate_staggered(_panel([3, np.inf, np.inf], size=10), settings)
    for one in found.estimates:
        assert (one.reason, one.p_value) == ("TOO_FEW_CLUSTERS", None)
        assert 0 < one.details["randomisation_p_value"] <= 1


def test_few_clusters_with_totals_or_covariates_are_refused(settings):
    data = _panel([3, np.inf], size=4)
    totals = total_cohorts(arrange_panel(data))
    given = replace(data, covariates=(data.unit % 3)[:, None].astype(float))
    for one in (totals, given):
        found = estimate_staggered(one, settings).estimates[0]
        assert found.reason == "NEEDS_WILD_BOOTSTRAP"


def test_permute_cohorts_interval_holds_the_effects_that_are_not_rejected():
    data = _panel([3, 5, np.inf], n=20, size=4)
    panel = arrange_panel(data)
    (found,) = permute_cohorts(panel, ["dynamic"])
    lower, upper = found.interval
    is_on = data.period >= data.cohort
    for effect, is_kept in ((lower - 1e-6, False), (upper - 1e-6, True)):
        moved = arrange_panel(replace(data, outcome=data.outcome - effect * is_on))
        (again,) = permute_cohorts(moved, ["dynamic"])
        assert (again.p_value > 0.05) is is_kept


@pytest.mark.parametrize("field", ["estimates", "covariance"])
def test_totals_that_are_not_finite_are_an_error(field, settings):
    totals = total_cohorts(arrange_panel(_panel([3, np.inf])))
    first = totals.cohorts[0]
    change = {
        "estimates": {"means": first.means * np.nan},
        "covariance": {"score_gram": first.score_gram * np.nan},
    }[field]
    broken = (replace(first, **change), *totals.cohorts[1:])
    found = estimate_staggered(replace(totals, cohorts=broken), settings)
    assert found.estimates[0].status is EstimateStatus.METRIC_ERRORED
    assert found.estimates[0].reason == "INVALID_MOMENTS"


def test_estimate_staggered_refuses_too_few_units(settings):
    settings = replace(settings, min_units_per_arm=100)
    found = estimate_staggered(_panel([3, 4, np.inf]), settings)
    assert {one.reason for one in found.estimates} == {"TOO_FEW_UNITS"}
    assert not found.rows


def test_no_never_treated_needs_the_later_treated(settings):
    data = _panel([3, 5])
    never = estimate_staggered(data, settings, control_group="never")
    assert never.estimates[0].reason == "NO_CONTROLS"
    found = estimate_staggered(data, settings)
    assert found.estimates[0].is_ok
    # The last cohort has nobody to be compared with; it is the control.
    assert found.group_times.groups.tolist() == [3.0]


@pytest.mark.parametrize("size", [1, 5])
def test_means_are_of_the_cells_that_the_effect_is_of(settings, size):
    data = _panel([3, 5, np.inf], size=size)
    data = replace(data, outcome=data.outcome + 10 * data.period)
    simple, group, dynamic, calendar = estimate_staggered(data, settings).estimates
    cells = {
        (g, t): data.outcome[(data.cohort == g) & (data.period == t)].mean()
        for g in (3, 5)
        for t in range(g, 7)
    }
    by_cohort = [
        np.mean([v for (g, _), v in cells.items() if g == one]) for one in (3, 5)
    ]
    by_time = [
        np.mean([v for (g, t), v in cells.items() if t - g == one]) for one in range(4)
    ]
    by_period = [
        np.mean([v for (_, t), v in cells.items() if t == one]) for one in range(3, 7)
    ]
    assert simple.treatment_mean == pytest.approx(np.mean(list(cells.values())))
    assert group.treatment_mean == pytest.approx(np.mean(by_cohort))
    assert dynamic.treatment_mean == pytest.approx(np.mean(by_time))
    assert calendar.treatment_mean == pytest.approx(np.mean(by_period))


def test_periods_without_controls_are_no_part_of_the_means(settings):
    data = _panel([3, 5])
    data = replace(data, outcome=data.outcome + 10 * data.period)
    simple = estimate_staggered(data, settings).estimates[0]
    is_compared = (data.cohort == 3) & np.isin(data.period, [3, 4])
    assert simple.treatment_mean == pytest.approx(data.outcome[is_compared].mean())


def test_constant_outcomes_have_no_variance(settings):
    data = _panel([3, np.inf])
    data = replace(data, outcome=np.ones(data.unit.size))
    found = estimate_staggered(data, settings)
    assert {one.reason for one in found.estimates} == {"ZERO_VARIANCE"}


def test_rows_of_small_cohorts_have_no_error(settings):
    big, small = _panel([3, np.inf]), _panel([4], n=3, seed=2)
    columns = [
        np.concatenate([getattr(big, name), getattr(small, name)])
        for name in ("period", "outcome", "cohort")
    ]
    unit = np.concatenate([big.unit, small.unit + 1000])
    found = estimate_staggered(PanelData("exp_1", "y", unit, *columns), settings)
    assert found.estimates[0].details["cohorts_of_few_clusters"] == [4.0]
    rows = {row.at: row for row in found.rows if row.method.endswith("group")}
    assert rows[4.0].standard_error is None
    assert rows[3.0].standard_error > 0


def test_find_band_is_the_normal_quantile_for_one_row():
    # 10,000 draws of the largest of one: two standard errors of a .95 quantile.
    assert find_band(np.array([[4.0]])) == pytest.approx(1.96, abs=0.04)
    assert find_band(np.eye(5)) == pytest.approx(2.57, abs=0.05)
    assert np.isnan(find_band(np.zeros((2, 2))))


@examples(max_examples=20)
@given(scale=st.floats(0.01, 100), shift=st.floats(-100, 100), seed=st.integers(0, 99))
def test_effects_scale_and_ignore_levels(scale, shift, seed, settings):
    data = _panel([3, 4, np.inf], seed=seed)
    moved = replace(data, outcome=scale * data.outcome + shift + data.unit)
    one, other = (
        estimate_staggered(panel, settings).estimates[0] for panel in (data, moved)
    )
    assert other.difference == pytest.approx(scale * one.difference, rel=1e-6)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-5)


def test_one_cohort_and_two_periods_is_the_2x2_estimate(panel, settings):
    from exp_platform.causal.did import estimate_did

    data = _panel([2, np.inf], periods=range(1, 3))
    wide = arrange_panel(data)
    arms = [
        panel(*wide.outcomes[side].T)
        for side in (wide.cohort == np.inf, wide.cohort == 2)
    ]
    plain = estimate_did(*arms, settings)
    found = estimate_staggered(data, settings).estimates[0]
    assert found.difference == pytest.approx(plain.difference, rel=1e-12)
    # The 2x2 row has the CR1 factor G/(G-1) x (N-1)/(N-2), this one has none.
    factor = 80 / 79 * 79 / 78
    assert found.standard_error * np.sqrt(factor) == pytest.approx(
        plain.standard_error, rel=1e-10
    )


def test_covariates_that_tell_cohorts_apart_are_refused(settings):
    data = _panel([3, np.inf])
    apart = np.isfinite(data.cohort).astype(float)[:, None]
    found = estimate_staggered(
        replace(data, covariates=apart), settings, adjustment="weighting"
    )
    assert {one.reason for one in found.estimates} == {"POOR_OVERLAP"}
