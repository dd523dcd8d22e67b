from dataclasses import replace

import pytest

from exp_platform.checks.twin import check_sql_twin
from exp_platform.records import CheckStatus, Estimate, EstimateStatus

FIELDS = (
    "n_control",
    "n_treatment",
    "control_mean",
    "treatment_mean",
    "difference",
    "standard_error",
    "df",
    "statistic",
)
ESTIMATE = Estimate(
    experiment_id="e",
    metric_name="revenue",
    method="welch_t",
    control="control",
    treatment="B",
    status=EstimateStatus.OK,
    n_control=1000,
    n_treatment=990,
    control_mean=5.0,
    treatment_mean=5.5,
    difference=0.5,
    standard_error=0.2,
    df=1900.0,
    statistic=2.5,
    relative_lift=0.1,
    relative_ci_lower=0.0199,
    relative_ci_upper=0.1866,
    relative_method="fieller",
    details={
        "baseline_mean": 5.0,
        "baseline_variance": 0.02,
        "baseline_covariance": -0.02,
    },
)
# roots of (.5 - 5 r)^2 = 1.95996^2 (.04 + .04 r + .02 r^2), by the formula of school
ROOTS = (0.02078258904045579293, 0.18599922011645071892)
# Phi(-2.5) and the 97.5 % point of the normal distribution, from tables
ROW = {
    **{name: getattr(ESTIMATE, name) for name in FIELDS},
    "p_value_z": 2 * 0.00620966532577613517,
    "ci_lower_z": 0.5 - 0.2 * 1.95996398454005424,
    "ci_upper_z": 0.5 + 0.2 * 1.95996398454005424,
    "relative_lift": 0.1,
    "relative_ci_lower_z": ROOTS[0],
    "relative_ci_upper_z": ROOTS[1],
}


def test_check_sql_twin_of_equal_numbers_passes():
    check = check_sql_twin("e", [(ESTIMATE, ROW)])
    assert check.status is CheckStatus.PASSED
    # the tables have one digit more than a double
    assert check.value == pytest.approx(0, abs=1e-5)
    assert check.can_fail


# Allowed: 1e-9 * SE + 1e-12 * 5.5 = 2.055e-10 of a mean; 1e-9 relative of the rest.
# p: 1e-12 + 1e-9 * 3.5^2 * p = 1.531e-10. Ends: a mean's and 1e-9 of the width, 9.9e-10.
# Lift: a mean's times 1.1 / 5 = 4.52e-11. Its ends, with 1e-9 of the width .165 and over
# 1 - z^2 .02 / 25 = .997: (2 x 1.021 x 4.11e-11 + 1.65e-10) / .997 = 2.50e-10 and 2.64e-10.
@pytest.mark.parametrize(
    ("field", "inside", "outside"),
    [
        ("difference", 2.0e-10, 2.1e-10),
        ("treatment_mean", 2.0e-10, 2.1e-10),
        ("standard_error", 1.9e-10, 2.1e-10),
        ("df", 1.8e-6, 2.0e-6),
        ("statistic", 3.4e-9, 3.6e-9),
        ("p_value_z", 1.52e-10, 1.54e-10),
        ("ci_lower_z", 9.8e-10, 1.0e-9),
        ("ci_upper_z", 9.8e-10, 1.0e-9),
        ("relative_lift", 4.5e-11, 4.6e-11),
        ("relative_ci_lower_z", 2.45e-10, 2.55e-10),
        ("relative_ci_upper_z", 2.6e-10, 2.7e-10),
    ],
)
def test_check_sql_twin_at_the_tolerance(field, inside, outside):
    near = check_sql_twin("e", [(ESTIMATE, {**ROW, field: ROW[field] + inside})])
    far = check_sql_twin("e", [(ESTIMATE, {**ROW, field: ROW[field] - outside})])
    assert near.status is CheckStatus.PASSED
    assert (far.status, far.reason) == (CheckStatus.FAILED, "TWINS_DISAGREE")
    assert f"first in {field} of revenue:B" in far.message


@pytest.mark.parametrize(
    "row", [None, {**ROW, "difference": None}, {**ROW, "n_control": 1001}, {}]
)
def test_check_sql_twin_with_a_missing_or_other_number_fails(row):
    check = check_sql_twin("e", [(ESTIMATE, row)])
    assert (check.status, check.value) == (CheckStatus.FAILED, None)


def test_check_sql_twin_with_nan_fails():
    check = check_sql_twin("e", [(ESTIMATE, {**ROW, "df": float("nan")})])
    assert check.status is CheckStatus.FAILED


def refuse(reason, status=EstimateStatus.INSUFFICIENT_DATA):
    names = ("difference", "standard_error", "df", "statistic", "relative_lift")
    nothing = dict.fromkeys(names)
    return replace(ESTIMATE, status=status, reason=reason, **nothing)


def test_check_sql_twin_does_not_ask_where_python_errored():
    errored = refuse("INVALID_MOMENTS", EstimateStatus.METRIC_ERRORED)
    for row in (ROW, None):
        check = check_sql_twin("e", [(ESTIMATE, ROW), (errored, row)])
        assert check.status is CheckStatus.PASSED


def test_check_sql_twin_fails_where_sql_tests_what_python_refuses():
    refused = refuse("TOO_FEW_UNITS")
    silent = {**ROW, "p_value_z": None}
    passed = check_sql_twin("e", [(ESTIMATE, ROW), (refused, silent)])
    failed = check_sql_twin("e", [(ESTIMATE, ROW), (refused, {**ROW, "p_value_z": 0})])
    assert passed.status is CheckStatus.PASSED
    assert failed.status is CheckStatus.FAILED
    assert "first in p_value_z of revenue:B" in failed.message


def _with_baseline(**moments):
    details = {f"baseline_{name}": value for name, value in moments.items()}
    return replace(ESTIMATE, details={**ESTIMATE.details, **details})


def test_check_sql_twin_asks_for_the_lifts_interval_where_it_is_bounded():
    silent = {**ROW, "relative_ci_lower_z": None, "relative_ci_upper_z": None}
    assert check_sql_twin("e", [(ESTIMATE, silent)]).status is CheckStatus.FAILED
    # The control mean is within z errors of 0, or an arm does not vary.
    for bare in (
        _with_baseline(variance=7.0, covariance=-7.0),
        _with_baseline(variance=0.04, covariance=-0.04),
        _with_baseline(variance=0.0, covariance=0.0),
    ):
        assert check_sql_twin("e", [(bare, silent)]).status is CheckStatus.PASSED
        check = check_sql_twin("e", [(bare, ROW)])
        assert check.status is CheckStatus.FAILED
        assert "relative_ci_lower_z" in check.message


def test_check_sql_twin_leaves_out_ends_that_rounding_decides():
    edge = 25 / 1.9599639845400542**2
    for variance in (edge * (1 - 1e-9), edge * (1 - 1e-8)):
        near = _with_baseline(variance=variance, covariance=0.0)
        for row in (ROW, {**ROW, "relative_ci_upper_z": None}):
            assert check_sql_twin("e", [(near, row)]).status is CheckStatus.PASSED


def test_check_sql_twin_compares_holm_over_the_planned_family():
    # z 2.5 and 1 in a family of 3: p .01242 x 3 and .3173 x 2
    other = replace(ESTIMATE, treatment="C", difference=0.2, statistic=1.0, details={})
    other_row = {
        **ROW,
        "difference": 0.2,
        "statistic": 1.0,
        "p_value_z": 0.31731050786291410,
        "ci_lower_z": 0.2 - 0.2 * 1.95996398454005424,
        "ci_upper_z": 0.2 + 0.2 * 1.95996398454005424,
        "relative_ci_lower_z": None,
        "relative_ci_upper_z": None,
    }
    pairs = [
        (ESTIMATE, {**ROW, "p_value_z_adjusted": 0.03725799195465681}),
        (other, {**other_row, "p_value_z_adjusted": 0.63462101572582820}),
    ]
    told = {"goals": ("revenue",), "family_size": 3}
    assert check_sql_twin("e", pairs, **told).status is CheckStatus.PASSED
    too_small = check_sql_twin("e", pairs, goals=("revenue",), family_size=2)
    assert "first in p_value_z_adjusted" in too_small.message
    assert check_sql_twin("e", [(ESTIMATE, ROW)], **told).status is CheckStatus.FAILED


@pytest.mark.parametrize("pairs", [[], [(refuse("TOO_FEW_UNITS"), ROW)]])
def test_check_sql_twin_without_numbers_is_not_run_and_blocks(pairs):
    check = check_sql_twin("e", pairs)
    assert (check.status, check.can_fail) == (CheckStatus.NOT_RUN, True)


def test_check_sql_twin_names_the_segment():
    mobile = replace(ESTIMATE, segment="device=mobile")
    check = check_sql_twin("e", [(ESTIMATE, ROW), (mobile, None)])
    assert check.details["disagree"] == ["revenue:B:device=mobile"]


def test_check_sql_twin_of_arms_that_do_not_vary_compares_the_means():
    """Everybody against nobody: SQL refuses for want of variance, Python is exact."""
    ours = replace(
        ESTIMATE,
        method="two_proportion_z",
        control_mean=0.0,
        treatment_mean=1.0,
        difference=1.0,
        standard_error=0.0317,
        statistic=31.5,
        df=float("inf"),
        p_value=1e-200,
        relative_lift=None,
        relative_ci_lower=None,
        relative_ci_upper=None,
        relative_method=None,
        details={"standard_error": "pooled"},
    )
    row = dict.fromkeys(ROW) | {
        "n_control": 1000,
        "n_treatment": 990,
        "control_mean": 0.0,
        "treatment_mean": 1.0,
        "difference": 1.0,
        "standard_error": 0.0,
    }
    pairs = [(ours, row), (ESTIMATE, {**ROW, "p_value_z_adjusted": ROW["p_value_z"]})]
    check = check_sql_twin("e", pairs, goals={"revenue"}, family_size=1)
    assert check.status is CheckStatus.PASSED
    wrong = check_sql_twin("e", [(ours, {**row, "difference": 0.9})])
    assert wrong.status is CheckStatus.FAILED
