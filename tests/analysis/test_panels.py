"""Panels from frames: the answers of independent tools."""

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.errors import UsageError
from exp_platform.records import EstimateStatus

ROUNDING = 1e-8
SHOPS = {
    "unit": "shop",
    "time": "year",
    "treated": "treated",
    "policy_date": "2004",
    "cluster": "town",
}
COHORTS = {"unit": "unit", "time": "year", "cohort": "cohort"}
AVERAGES = ("simple", "group", "dynamic", "calendar")


def test_staggered_agrees_with_csdid(golden, make):
    answer = golden("staggered")
    frame = make(answer["panels"]["usual"])
    for control_group in ("not_yet", "never"):
        rows = xp.staggered(frame, "y", control_group=control_group, **COHORTS)
        found = {row.method.rsplit("_", 1)[1]: row for row in rows}
        for name in AVERAGES:
            expected = answer["csdid"][control_group][name]
            assert found[name].difference == pytest.approx(
                expected["overall"], rel=ROUNDING
            )
        group = found["group"].details["effects"]
        assert [row["label"] for row in group] == ["2003", "2004", "2006"]
    assert "control_group" in rows[0].details


def test_staggered_is_the_row_of_did(golden):
    frame = pd.DataFrame(golden("staggered")["panels"]["usual"])
    by_did = {row.method: row for row in xp.did(frame, "y", **COHORTS)}
    for row in xp.staggered(frame, "y", **COHORTS):
        assert by_did[row.method].difference == row.difference
        assert by_did[row.method].p_value == row.p_value


def test_event_study_agrees_with_statsmodels(golden, make):
    answer = golden("panel")
    deltas, test = xp.event_study(make(answer["rows"]), "sales", **SHOPS)
    assert [d.day for d in deltas if d.is_reference] == [-1]
    post = [d.delta for d in deltas if d.period == "post"]
    average = sum(post) / len(post)
    expected = answer["event_study"]["difference"]
    assert average == pytest.approx(expected, rel=ROUNDING)
    assert test.status is EstimateStatus.OK
    assert 0 < test.p_joint < 1


def test_event_study_of_several_dates_is_dynamic(golden):
    answer = golden("staggered")
    frame = pd.DataFrame(answer["panels"]["usual"])
    deltas, test = xp.event_study(frame, "y", **COHORTS)
    expected = answer["csdid"]["universal"]["dynamic"]
    found = {d.day: d.delta for d in deltas}
    for at, value in zip(expected["at"], expected["estimate"], strict=True):
        assert found[int(at)] == pytest.approx(value, rel=ROUNDING, abs=1e-12)
    assert test is not None


def test_sensitivity_is_that_of_did(golden):
    frame = pd.DataFrame(golden("panel")["rows"])
    found = xp.sensitivity(frame, "sales", **SHOPS)
    primary = xp.did(frame, "sales", **SHOPS)[0]
    assert found.status is EstimateStatus.OK
    assert found.breakdown_mbar == primary.details["sensitivity"]["breakdown_mbar"]
    assert found.estimate == pytest.approx(
        golden("panel")["event_study"]["difference"], rel=ROUNDING
    )


def test_synthetic_control_agrees_with_quadprog(golden, make):
    answer = golden("synthetic_control")
    outcomes, case = answer["outcomes"], answer["simulated"]
    n_units, n_periods = len(outcomes), len(outcomes[0])
    frame = make(
        {
            "unit": [f"u{i:02}" for i in range(n_units) for _ in range(n_periods)],
            "step": list(range(n_periods)) * n_units,
            "y": [value for row in outcomes for value in row],
            "treated": [int(i == 0) for i in range(n_units) for _ in range(n_periods)],
        }
    )
    row = xp.synthetic_control(
        frame, "y", unit="unit", time="step", treated="treated", policy_date="40"
    )
    assert row.difference == pytest.approx(case["difference"], rel=1e-6)


def test_synthetic_control_of_several_dates_is_refused(golden):
    frame = pd.DataFrame(golden("staggered")["panels"]["usual"])
    row = xp.synthetic_control(frame, "y", **COHORTS)
    assert (row.difference, bool(row.reason)) == (None, True)


def test_sensitivity_without_a_panel_over_time_has_a_reason(golden):
    frame = pd.DataFrame(golden("panel")["rows"]).query("year >= 2003")
    found = xp.sensitivity(frame, "sales", **SHOPS)
    assert (found.status, found.estimate) == (EstimateStatus.INSUFFICIENT_DATA, None)
    assert found.reason


def test_bad_input_names_what_is_allowed(golden):
    frame = pd.DataFrame(golden("staggered")["panels"]["usual"])
    with pytest.raises(UsageError, match="no control_group"):
        xp.staggered(frame, "y", control_group="later", **COHORTS)
    with pytest.raises(UsageError, match="no column"):
        xp.event_study(frame, "z", **COHORTS)
    with pytest.raises(TypeError, match="cohorts"):
        xp.sensitivity(frame, "y", time="year", cohorts="cohort")


@pytest.mark.parametrize(
    "methods", ["did_2x2", ["event_study"], ("twfe", "callaway_santanna_group")]
)
def test_chosen_methods_are_the_rows_of_all(methods, golden):
    frame = pd.DataFrame(golden("panel")["rows"])
    every = {row.method: row for row in xp.did(frame, "sales", **SHOPS)}
    found = xp.did(frame, "sales", methods=methods, **SHOPS)
    named = {methods} if isinstance(methods, str) else set(methods)
    assert {row.method for row in found} == named
    for row in found:
        whole = every[row.method]
        assert (row.difference, row.standard_error) == (
            whole.difference,
            whole.standard_error,
        )
        assert (row.role, row.reason) == (whole.role, whole.reason)


def test_chosen_method_that_is_refused_says_why(golden):
    frame = pd.DataFrame(golden("staggered")["panels"]["usual"])
    (row,) = xp.did(frame, "y", methods="did_2x2", **COHORTS)
    assert (row.reason, row.difference) == ("NEEDS_STAGGERED", None)


@pytest.mark.parametrize("methods", ["did2x2", ["did_2x2", "dit"], (), 3])
def test_unknown_method_is_refused_by_name(methods, golden):
    frame = pd.DataFrame(golden("panel")["rows"])
    with pytest.raises(UsageError, match="methods") as caught:
        xp.did(frame, "sales", methods=methods, **SHOPS)
    assert caught.value.parts["allowed"]


def _panel(n_treated, n_control):
    """Firms over six years; the treated gain 2 from 2013 on."""
    random = np.random.default_rng(3)
    firm, year = np.divmod(np.arange(6 * (n_treated + n_control)), 6)
    is_on = (firm < n_treated) & (year >= 3)
    return pd.DataFrame(
        {
            "firm": firm,
            "year": 2010 + year,
            "tr": (firm < n_treated).astype(int),
            "since": np.where(firm < n_treated, 2013 + firm % 2, 0),
            "y": 9 + 2 * is_on + random.normal(0, 1, firm.size),
        }
    )


@pytest.mark.parametrize(
    ("n_treated", "has_errors"), [(4, False), (7, False), (19, False), (20, True)]
)
@pytest.mark.parametrize(
    "columns", [{"treated": "tr", "policy_date": 2013}, {"cohort": "since"}]
)
def test_event_study_has_errors_where_did_allows_them(n_treated, has_errors, columns):
    frame, where = _panel(n_treated, 20), {"unit": "firm", "time": "year", **columns}
    deltas, _ = xp.event_study(frame, "y", **where)
    gaps = [row for row in deltas if not row.is_reference]
    assert all(row.delta is not None for row in gaps)
    parts = ("standard_error", "ci_lower", "ci_upper", "p_value")
    known = {getattr(row, part) is not None for row in gaps for part in parts}
    assert known == {has_errors}
    if "treated" in columns:
        (row,) = xp.did(frame, "y", methods="event_study", **where)
        assert (row.standard_error is not None) == has_errors


def test_lift_without_an_interval_says_why_when_clusters_are_few():
    columns = {"unit": "firm", "time": "year", "treated": "tr", "policy_date": 2013}
    names = [f"callaway_santanna_{name}" for name in AVERAGES]
    rows = xp.did(_panel(7, 20), "y", methods=["did_2x2", *names], **columns)
    assert len(rows) == 5
    for row in rows:
        assert row.status is EstimateStatus.OK
        assert row.relative_ci_lower is None
        assert row.details["relative_reason"] == "FEW_CLUSTERS"


def test_did_takes_one_covariate_by_its_name():
    frame = _panel(20, 20)
    frame["size"] = frame.firm % 7
    columns = {"unit": "firm", "time": "year", "treated": "tr", "policy_date": 2013}
    name = "callaway_santanna_simple"
    (one,) = xp.did(frame, "y", covariates="size", methods=name, **columns)
    (several,) = xp.did(frame, "y", covariates=["size"], methods=name, **columns)
    assert one.difference is not None
    assert one.difference == several.difference
    with pytest.raises(UsageError, match="covariates names no columns"):
        xp.did(frame, "y", covariates=3, **columns)
