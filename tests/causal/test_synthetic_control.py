from dataclasses import replace

import numpy as np
import pytest
from causaldata import texas
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.synthetic_control import (
    DonorPanel,
    estimate_synthetic_control,
)
from exp_platform.errors import ContractError
from exp_platform.records import EstimateRole, EstimateStatus

PREDICTORS = ["poverty", "alcohol", "aidscapita", "perc1519"]


def _panel(outcomes, n_pre, names=None, **extra):
    outcomes = np.asarray(outcomes, dtype=float)
    return DonorPanel(
        experiment_id="exp_1",
        metric_name="spend",
        control="control",
        treatment="treated",
        periods=tuple(range(-n_pre, outcomes.shape[1] - n_pre)),
        treated=outcomes[0],
        donors=outcomes[1:],
        donor_names=tuple(names or (f"d{i}" for i in range(1, len(outcomes)))),
        **extra,
    )


def _draw(seed=3, n_units=24, effect=0.0, noise=0.15):
    random = np.random.default_rng(seed)
    level = random.normal(10, 1, (n_units, 1))
    factors = np.cumsum(random.normal(0, 0.3, (2, 50)), axis=1)
    outcomes = level + random.uniform(0, 1, (n_units, 2)) @ factors
    outcomes += random.normal(0, noise, outcomes.shape)
    # A mixture of donors: certain to lie within their reach.
    outcomes[0] = outcomes[1:5].mean(axis=0) + random.normal(0, noise, 50)
    outcomes[0, 40:] += effect
    return outcomes


def _texas():
    frame = texas.load_pandas().data
    wide = frame.pivot_table(index="state", columns="year", values="bmprison")
    names = ["Texas", *(name for name in wide.index if name != "Texas")]
    before = frame[frame.year < 1993].groupby("state")[PREDICTORS].mean().loc[names]
    return wide.loc[names].to_numpy(float), names[1:], before.to_numpy(float)


def test_estimate_synthetic_control_agrees_with_quadprog(golden, settings):
    answer = golden("synthetic_control")
    outcomes, case = np.array(answer["outcomes"]), answer["simulated"]
    estimate = estimate_synthetic_control(_panel(outcomes, 40), settings)
    weights = np.zeros(len(outcomes) - 1)
    for name, weight in estimate.details["weights"].items():
        weights[int(name[1:]) - 1] = weight
    assert weights == pytest.approx(case["weights"], abs=1e-9)
    for name in ("difference", "p_value"):
        assert getattr(estimate, name) == pytest.approx(case[name], rel=1e-8)
    assert estimate.statistic == pytest.approx(case["ratio"], rel=1e-8)
    assert estimate.details["pre_rmspe"] == pytest.approx(case["pre_rmspe"], rel=1e-8)
    reach = estimate.ci_upper - estimate.difference
    assert reach == pytest.approx(case["half_width"], rel=1e-8)
    assert estimate.difference - estimate.ci_lower == pytest.approx(reach)


def test_estimate_synthetic_control_on_texas(golden, settings):
    """Prisons in Texas from 1993 on, matched on outcomes alone."""
    case = golden("synthetic_control")["texas"]
    outcomes, names, _ = _texas()
    estimate = estimate_synthetic_control(_panel(outcomes, 8, names), settings)
    assert set(estimate.details["weights"]) == {"Florida", "Illinois", "New York"}
    # quadprog needed a ridge of 1e-9 for 50 donors and 8 years.
    assert estimate.difference == pytest.approx(case["difference"], rel=1e-6)
    assert estimate.p_value == case["p_value"]
    assert estimate.statistic == pytest.approx(case["ratio"], rel=1e-6)
    assert (estimate.method, estimate.estimand) == ("synthetic_control", "ATT")


def test_predictors_agree_with_pysyncon(golden, settings):
    case = golden("synthetic_control")["texas_with_predictors"]["weights"]
    outcomes, names, before = _texas()
    estimate = estimate_synthetic_control(
        _panel(
            outcomes,
            8,
            names,
            treated_predictors=before[0],
            donor_predictors=before[1:],
        ),
        settings,
    )
    weights = estimate.details["weights"]
    for name, weight in case.items():
        # pysyncon descends (SLSQP) to 1e-6 of the loss.
        assert weights.get(name, 0.0) == pytest.approx(weight, abs=1e-4)


def test_estimate_synthetic_control_finds_an_effect(settings):
    estimate = estimate_synthetic_control(_panel(_draw(effect=2.0), 40), settings)
    assert estimate.p_value == pytest.approx(1 / 24)
    assert estimate.ci_lower < 2.0 < estimate.ci_upper
    assert estimate.ci_lower > 0
    assert estimate.standard_error is None
    assert estimate.relative_lift == pytest.approx(
        estimate.difference / estimate.control_mean
    )
    lowest, highest = (
        estimate.details[f"leave_one_out_{end}"] for end in ("lowest", "highest")
    )
    assert lowest <= highest


def test_estimate_synthetic_control_is_never_primary(settings):
    assert settings.role is EstimateRole.PRIMARY
    estimate = estimate_synthetic_control(_panel(_draw(), 40), settings)
    assert estimate.role is EstimateRole.SECONDARY
    diagnostic = replace(settings, role=EstimateRole.DIAGNOSTIC)
    estimate = estimate_synthetic_control(_panel(_draw(), 40), diagnostic)
    assert estimate.role is EstimateRole.DIAGNOSTIC


@pytest.mark.parametrize(
    ("n_units", "n_pre", "reason"),
    [
        (24, 50, "NO_POST_PERIOD"),
        (24, 4, "TOO_FEW_PRE_PERIODS"),
        (19, 40, "TOO_FEW_DONORS"),
    ],
)
def test_estimate_synthetic_control_refuses_too_little(
    n_units, n_pre, reason, settings
):
    panel = _panel(_draw(n_units=n_units), n_pre)
    estimate = estimate_synthetic_control(panel, settings)
    assert estimate.status is EstimateStatus.INSUFFICIENT_DATA
    assert estimate.reason == reason
    assert estimate.difference is None


def test_nineteen_donors_are_enough_at_five_per_cent(settings):
    estimate = estimate_synthetic_control(_panel(_draw(n_units=20), 40), settings)
    assert estimate.is_ok
    assert estimate.details["least_p_value"] == pytest.approx(0.05)


def test_a_looser_alpha_needs_fewer_donors(settings):
    estimate = estimate_synthetic_control(
        _panel(_draw(n_units=11), 40), replace(settings, alpha=0.1)
    )
    assert estimate.is_ok


def test_estimate_synthetic_control_refuses_a_bad_fit(settings):
    outcomes = _draw()
    outcomes[0] += 20
    estimate = estimate_synthetic_control(_panel(outcomes, 40), settings)
    assert estimate.reason == "POOR_PRE_FIT"
    assert estimate.p_value is None
    assert estimate.details["pre_rmspe_in_sd"] > 0.5


def test_estimate_synthetic_control_refuses_an_exact_fit(settings):
    outcomes = _draw()
    outcomes[0] = outcomes[1:3].mean(axis=0)
    estimate = estimate_synthetic_control(_panel(outcomes, 40), settings)
    assert estimate.reason == "EXACT_PRE_FIT"


def test_estimate_synthetic_control_refuses_donors_that_copy_each_other(settings):
    """Placebos that fit exactly leave nothing to measure the treated unit by."""
    outcomes = _draw()
    outcomes[5:] = outcomes[5:6]
    estimate = estimate_synthetic_control(_panel(outcomes, 40), settings)
    assert estimate.reason == "EXACT_PRE_FIT"


def test_estimate_synthetic_control_refuses_constant_outcomes(settings):
    estimate = estimate_synthetic_control(_panel(np.ones((24, 50)), 40), settings)
    assert estimate.reason == "ZERO_VARIANCE"


def test_estimate_synthetic_control_refuses_a_missing_value(settings):
    outcomes = _draw()
    outcomes[3, 7] = np.nan
    estimate = estimate_synthetic_control(_panel(outcomes, 40), settings)
    assert estimate.status is EstimateStatus.METRIC_ERRORED


def test_constant_predictors_change_nothing(settings):
    outcomes = _draw()
    plain = estimate_synthetic_control(_panel(outcomes, 40), settings)
    constant = {
        "treated_predictors": np.ones(1),
        "donor_predictors": np.ones((23, 1)),
    }
    other = estimate_synthetic_control(_panel(outcomes, 40, **constant), settings)
    assert other.difference == plain.difference


def test_predictors_must_fit_the_panel(settings):
    panel = _panel(_draw(), 40, treated_predictors=np.ones(2))
    with pytest.raises(ContractError, match="do not fit together"):
        estimate_synthetic_control(panel, settings)
    panel = replace(panel, donor_predictors=np.ones((23, 3)))
    with pytest.raises(ContractError, match="do not fit together"):
        estimate_synthetic_control(panel, settings)


def test_the_lift_needs_a_positive_counterfactual(settings):
    estimate = estimate_synthetic_control(_panel(_draw() - 100, 40), settings)
    assert estimate.is_ok
    assert estimate.relative_lift is None
    assert estimate.relative_method is None


@given(shift=st.floats(-50, 50), scale=st.floats(0.01, 100))
def test_estimate_synthetic_control_scales(shift, scale, settings):
    outcomes = _draw()
    plain, moved = (
        estimate_synthetic_control(_panel(values, 40), settings)
        for values in (outcomes, shift + scale * outcomes)
    )
    assert moved.difference == pytest.approx(scale * plain.difference, rel=1e-6)
    assert moved.ci_upper == pytest.approx(scale * plain.ci_upper, rel=1e-6)
    assert moved.p_value == plain.p_value


@given(seed=st.integers(0, 100))
def test_no_number_is_missing_when_the_status_is_ok(seed, settings):
    estimate = estimate_synthetic_control(_panel(_draw(seed), 40), settings)
    if estimate.is_ok:
        numbers = (estimate.difference, estimate.ci_lower, estimate.ci_upper)
        assert np.isfinite([*numbers, estimate.p_value, estimate.statistic]).all()
        assert estimate.p_value >= estimate.details["least_p_value"]


@pytest.mark.calibration
def test_placebo_test_holds_its_level(settings):
    """Units are exchangeable: p is uniform on its steps of 1/20, or larger."""
    random = np.random.default_rng(77)
    n_runs, found = 400, []
    for _ in range(n_runs):
        factors = np.cumsum(random.normal(0, 0.3, (2, 20)), axis=1)
        outcomes = (
            random.normal(0, 1, (20, 1)) + random.uniform(0, 1, (20, 2)) @ factors
        )
        outcomes += random.normal(0, 0.1, outcomes.shape)
        estimate = estimate_synthetic_control(_panel(outcomes, 14), settings)
        if estimate.is_ok:
            found.append(estimate.p_value)
    rate = np.mean(np.array(found) <= 0.1)
    assert rate <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / len(found))
