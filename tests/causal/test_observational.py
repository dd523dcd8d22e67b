import math
from dataclasses import replace

import numpy as np
import pytest
from causaldata import nhefs_complete
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.observational import (
    ObservedUnits,
    estimate_aipw,
    estimate_regression_adjustment,
)
from exp_platform.causal.propensity import fit_logistic
from exp_platform.errors import ContractError
from exp_platform.records import EstimateRole, EstimateStatus

METHODS = (estimate_regression_adjustment, estimate_aipw)

# Linear algebra by another route, and iterations ended at 1e-14.
ROUNDING = 1e-8


def _units(outcome, is_treated, covariates, **extra):
    covariates = np.asarray(covariates, dtype=float)
    return ObservedUnits(
        experiment_id="exp_1",
        metric_name="spend",
        control="without",
        treatment="with",
        outcome=np.asarray(outcome, dtype=float),
        is_treated=np.asarray(is_treated, dtype=bool),
        covariates=covariates,
        covariate_names=tuple(f"x{i}" for i in range(covariates.shape[1])),
        **extra,
    )


def _golden_units(answer):
    values = {name: np.array(column) for name, column in answer["units"].items()}
    covariates = np.column_stack([values[f"x{i}"] for i in range(3)])
    return _units(values["outcome"], values["treated"] == 1, covariates)


def _draw(seed=1, n=400, pull=0.7, effect=0.5, cluster=None):
    random = np.random.default_rng(seed)
    x = random.normal(0, 1, (n, 2))
    treated = random.random(n) < 1 / (1 + np.exp(-pull * x[:, 0]))
    outcome = 4 + 2 * x[:, 0] - x[:, 1] + effect * treated + random.normal(0, 1, n)
    return _units(outcome, treated, x, cluster=cluster)


def _without_factor(estimate, n):
    """The oracles have no small-sample factor G/(G-1)."""
    return estimate.standard_error * math.sqrt((n - 1) / n)


def test_estimate_regression_adjustment_agrees_with_statsmodels(golden, settings):
    answer = golden("observational")
    units, case = _golden_units(answer), answer["statsmodels"]
    estimate = estimate_regression_adjustment(units, settings)
    assert estimate.difference == pytest.approx(case["ra_difference"], rel=ROUNDING)
    assert _without_factor(estimate, len(units.outcome)) == pytest.approx(
        case["ra_standard_error"], rel=ROUNDING
    )


def test_estimate_aipw_agrees_with_doubleml(golden, settings):
    answer = golden("observational")
    units, case = _golden_units(answer), answer["doubleml"]
    estimate = estimate_aipw(units, settings)
    assert estimate.difference == pytest.approx(case["difference"], rel=ROUNDING)
    assert _without_factor(estimate, len(units.outcome)) == pytest.approx(
        case["standard_error"], rel=ROUNDING
    )


def test_estimate_aipw_in_one_fold_agrees_with_statsmodels(golden, settings):
    answer = golden("observational")
    estimate = estimate_aipw(_golden_units(answer), settings, n_folds=1)
    expected = answer["statsmodels"]["aipw_difference"]
    assert estimate.difference == pytest.approx(expected, rel=ROUNDING)


def test_fit_logistic_agrees_with_statsmodels(golden):
    answer = golden("observational")
    units = _golden_units(answer)
    slopes = fit_logistic(units.design, units.is_treated)
    chance = 1 / (1 + np.exp(-units.design @ slopes))
    assert chance[:20] == pytest.approx(answer["statsmodels"]["propensity"], rel=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_giving_up_smoking_adds_weight(method, settings):
    """Hernan and Robins, What If, chapters 13 and 21: 3.5 kg (2.6 to 4.5)."""
    frame = nhefs_complete.load_pandas().data
    parts = [frame[["sex", "race", "age", "smokeintensity", "smokeyrs", "wt71"]]]
    parts += [frame[["age", "smokeintensity", "smokeyrs", "wt71"]] ** 2]
    columns = [part.to_numpy(float) for part in parts]
    for name in ("education", "exercise", "active"):
        levels = np.unique(frame[name])[1:]
        columns.append((frame[name].to_numpy()[:, None] == levels).astype(float))
    units = _units(frame.wt82_71, frame.qsmk == 1, np.hstack(columns))
    estimate = method(units, settings)
    assert estimate.difference == pytest.approx(3.5, abs=0.15)
    assert estimate.ci_lower == pytest.approx(2.6, abs=0.25)
    assert estimate.ci_upper == pytest.approx(4.5, abs=0.25)
    # The plain difference is 2.5: those who gave up were older.
    assert estimate.details["unadjusted_difference"] == pytest.approx(2.5, abs=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_presented_as_an_experiment(method, settings):
    assert settings.role is EstimateRole.PRIMARY
    estimate = method(_draw(), settings)
    assert estimate.role is EstimateRole.SECONDARY
    assert "unmeasured" in estimate.estimand
    assert "observational" in estimate.details["design"]
    diagnostic = replace(settings, role=EstimateRole.DIAGNOSTIC)
    assert method(_draw(), diagnostic).role is EstimateRole.DIAGNOSTIC


@pytest.mark.parametrize("method", METHODS)
def test_adjustment_removes_what_the_covariates_explain(method, settings):
    estimate = method(_draw(n=4000), settings)
    assert estimate.ci_lower < 0.5 < estimate.ci_upper
    assert estimate.details["unadjusted_difference"] > 1.0
    assert estimate.details["standardised_gaps"]["x0"] > 0.3


@pytest.mark.parametrize("method", METHODS)
def test_units_without_counterpart_are_refused(method, settings):
    estimate = method(_draw(pull=8), settings)
    assert estimate.status is EstimateStatus.INSUFFICIENT_DATA
    assert estimate.reason == "POOR_OVERLAP"
    assert estimate.difference is None
    assert estimate.details["share_outside"] > 0.05


@pytest.mark.parametrize("method", METHODS)
def test_separated_arms_are_refused(method, settings):
    random = np.random.default_rng(4)
    x = random.normal(0, 1, (300, 1))
    units = _units(random.normal(0, 1, 300), x[:, 0] > 0, x)
    assert method(units, settings).reason == "POOR_OVERLAP"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"covariates": np.empty((400, 0)), "covariate_names": ()},
            "NO_COVARIATE_DATA",
        ),
        ({"covariates": np.ones((400, 2))}, "COLLINEAR_COVARIATES"),
        ({"outcome": np.full(400, np.nan)}, "INVALID_MOMENTS"),
        ({"outcome": np.full(400, 3.0)}, "ZERO_VARIANCE"),
        ({"cluster": np.arange(400) % 4}, "TOO_FEW_CLUSTERS"),
        ({"cluster": np.arange(400) % 12}, "NEEDS_WILD_BOOTSTRAP"),
    ],
)
def test_data_that_allow_no_number_are_refused(method, change, reason, settings):
    estimate = method(replace(_draw(), **change), settings)
    assert estimate.reason == reason
    assert estimate.p_value is None


@pytest.mark.parametrize("method", METHODS)
def test_a_covariate_that_is_the_outcome_is_named(method, settings):
    drawn = _draw()
    units = replace(drawn, outcome=drawn.covariates[:, 0].copy())
    assert method(units, settings).reason == "NO_RESIDUAL_VARIANCE"


@pytest.mark.parametrize("method", METHODS)
def test_too_few_units_are_refused(method, settings):
    few = replace(settings, min_units_per_arm=1000)
    assert method(_draw(), few).reason == "TOO_FEW_UNITS"


@pytest.mark.parametrize("method", METHODS)
def test_arrays_must_fit_together(method, settings):
    with pytest.raises(ContractError, match="do not fit together"):
        method(replace(_draw(), outcome=np.ones(3)), settings)
    with pytest.raises(ContractError, match="do not fit together"):
        method(replace(_draw(), cluster=np.ones(3)), settings)


def test_clusters_of_one_unit_change_nothing(settings):
    units = _draw()
    single = replace(units, cluster=np.arange(400)[::-1])
    plain, other = (
        estimate_regression_adjustment(each, settings) for each in (units, single)
    )
    assert other.standard_error == pytest.approx(plain.standard_error, rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_copies_of_units_in_clusters_widen_the_interval(method, settings):
    units = _draw(n=200)
    twice = _units(
        np.tile(units.outcome, 2),
        np.tile(units.is_treated, 2),
        np.tile(units.covariates, (2, 1)),
        cluster=np.tile(np.arange(200), 2),
    )
    honest = method(twice, settings)
    naive = method(replace(twice, cluster=None), settings)
    assert honest.n_clusters == 200
    assert honest.standard_error > 1.3 * naive.standard_error


@pytest.mark.parametrize("method", METHODS)
@given(seed=st.integers(0, 1000))
def test_the_order_of_units_does_not_matter(method, seed, settings):
    units = _draw(n=200)
    order = np.random.default_rng(seed).permutation(200)
    shuffled = replace(
        units,
        outcome=units.outcome[order],
        is_treated=units.is_treated[order],
        covariates=units.covariates[order],
    )
    plain, other = method(units, settings), method(shuffled, settings)
    assert other.difference == pytest.approx(plain.difference, rel=1e-9)
    assert other.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
@given(shift=st.floats(-100, 100), scale=st.floats(0.01, 100))
def test_estimates_scale_with_outcome_and_covariates(method, shift, scale, settings):
    units = _draw(n=200)
    moved = replace(
        units,
        outcome=shift + scale * units.outcome,
        covariates=3 + scale * units.covariates,
    )
    plain, other = method(units, settings), method(moved, settings)
    assert other.difference == pytest.approx(scale * plain.difference, rel=1e-6)
    assert other.p_value == pytest.approx(plain.p_value, rel=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_arms_swapped_flip_the_sign(method, settings):
    units = _draw()
    plain = method(units, settings)
    other = method(replace(units, is_treated=~units.is_treated), settings)
    assert other.difference == pytest.approx(-plain.difference, rel=1e-9)
    assert other.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


def test_the_lift_needs_a_positive_control_mean(settings):
    estimate = estimate_aipw(replace(_draw(), outcome=_draw().outcome - 100), settings)
    assert estimate.relative_lift is None
    assert estimate.difference is not None


@pytest.mark.calibration
@pytest.mark.parametrize("method", METHODS)
def test_intervals_cover(method, settings):
    """Two-sided .05 +- 3 standard errors of 600 runs."""
    hits = [
        e.ci_lower < 0.5 < e.ci_upper
        for e in (method(_draw(seed, n=300), settings) for seed in range(600))
        if e.is_ok
    ]
    assert len(hits) > 500
    assert np.mean(hits) == pytest.approx(0.95, abs=3 * math.sqrt(0.0475 / len(hits)))
