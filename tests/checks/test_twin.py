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
)
ROW = {name: getattr(ESTIMATE, name) for name in FIELDS}


def test_check_sql_twin_of_equal_numbers_passes():
    check = check_sql_twin("e", [(ESTIMATE, ROW)])
    assert (check.status, check.value) == (CheckStatus.PASSED, 0.0)
    assert check.can_fail


# Allowed: 1e-9 * SE + 1e-12 * 5.5 = 2.055e-10 of a mean; 1e-9 relative of the rest.
@pytest.mark.parametrize(
    ("field", "inside", "outside"),
    [
        ("difference", 2.0e-10, 2.1e-10),
        ("treatment_mean", 2.0e-10, 2.1e-10),
        ("standard_error", 1.9e-10, 2.1e-10),
        ("df", 1.8e-6, 2.0e-6),
        ("statistic", 3.4e-9, 3.6e-9),
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


def test_check_sql_twin_does_not_ask_where_python_has_no_number():
    refused = replace(
        ESTIMATE,
        status=EstimateStatus.INSUFFICIENT_DATA,
        control_mean=None,
        treatment_mean=None,
        difference=None,
        standard_error=None,
        df=None,
        statistic=None,
    )
    assert check_sql_twin("e", [(refused, ROW)]).status is CheckStatus.PASSED
    assert check_sql_twin("e", [(refused, None)]).status is CheckStatus.PASSED


def test_check_sql_twin_without_pairs_is_not_run_and_blocks():
    check = check_sql_twin("e", [])
    assert (check.status, check.can_fail) == (CheckStatus.NOT_RUN, True)


def test_check_sql_twin_names_the_segment():
    mobile = replace(ESTIMATE, segment="device=mobile")
    check = check_sql_twin("e", [(ESTIMATE, ROW), (mobile, None)])
    assert check.details["disagree"] == ["revenue:B:device=mobile"]
