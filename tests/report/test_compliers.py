"""The section on those who took what their arm offered."""

from dataclasses import replace

import pytest

from exp_platform.records import EstimateRole, EstimateStatus
from exp_platform.report.comparisons import sort_comparisons
from exp_platform.report.compliers import describe_compliers

FOUND = {
    "uptake_control": 0.1,
    "uptake_treatment": 0.6,
    "complier_share": 0.5,
    "first_stage_f": 900.0,
    "itt": 0.51,
}


@pytest.fixture
def section(shippable):
    """The section where a metric of the shippable facts has an effect on compliers."""

    def describe(metric, change=lambda row: row, **fields):
        first = next(e for e in shippable.estimates if e.metric_name == metric)
        role = EstimateRole.SECONDARY
        cace = replace(first, method="cace", role=role, details=FOUND, **fields)
        facts = replace(shippable, estimates=(*shippable.estimates, change(cace)))
        return describe_compliers(sort_comparisons(facts))

    return describe


def test_describe_compliers_says_that_cuped_is_not_in_it(section):
    view = section("revenue")
    assert "Neither effect here is adjusted for the covariate" in view.lead
    assert "decides about revenue is (CUPED)" in view.lead
    assert view.rows[0].cells[3].note == "not adjusted"


def test_describe_compliers_is_silent_where_nothing_is_adjusted(section):
    view = section("conversion")
    assert "adjusted" not in view.lead
    assert view.rows[0].cells[3].note == ""


def test_describe_compliers_says_why_there_is_no_test_before_the_end(section):
    from exp_platform.pipelines.analyze_compliance import withhold_test

    (row,) = section("conversion", change=withhold_test).rows
    assert row.cells[4].note == "no interval yet"
    assert row.cells[5].text == "not tested yet"
    assert row.cells[5].note == "its test would hold for a single look, at the end"


def test_describe_compliers_explains_an_uptake_that_runs_backwards(section):
    view = section(
        "revenue",
        status=EstimateStatus.INSUFFICIENT_DATA,
        reason="REVERSED_FIRST_STAGE",
        difference=None,
    )
    assert "coded backwards" in view.rows[0].why_no_number
    assert "adjusted" not in view.lead
