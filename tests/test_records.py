"""The nouns: frozen, comparable, and the same names as the columns that store them."""

import dataclasses
import inspect
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import pytest

from exp_platform import records
from exp_platform.pipelines.rows import from_rows, to_rows
from exp_platform.records import (
    AnalysisPlan,
    CheckResult,
    CheckStatus,
    Decision,
    Direction,
    Estimate,
    EstimateRole,
    EstimateStatus,
    ExperimentSpec,
    MetricDefinition,
    MetricPlan,
    MetricRole,
    MetricTotals,
    MetricType,
    Outcome,
    PretrendDelta,
    PretrendTest,
    Variant,
    Verdict,
)
from exp_platform.schemas import load_schema

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
STORED = {
    "analysis_results": Estimate,
    "check_results": CheckResult,
    "decisions": Decision,
    "did_pretrend_delta": PretrendDelta,
    "did_pretrend_tests": PretrendTest,
}
CLASSES = [
    kind
    for _, kind in inspect.getmembers(records, dataclasses.is_dataclass)
    if kind.__module__.startswith(records.__name__)
]


@pytest.mark.parametrize("table", STORED)
def test_fields_are_the_columns_in_order(table):
    names = tuple(field.name for field in dataclasses.fields(STORED[table]))
    assert names == load_schema(table).names


def test_totals_are_columns_of_the_aggregates():
    names = {field.name for field in dataclasses.fields(MetricTotals)}
    assert names <= set(load_schema("metric_aggregates_overall").names)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_records_are_frozen_and_documented(kind):
    assert kind.__doc__
    assert not kind.__doc__.startswith(f"{kind.__name__}(")
    assert kind.__dataclass_params__.frozen


@pytest.mark.parametrize(
    "kind",
    [
        k
        for _, k in inspect.getmembers(records, inspect.isclass)
        if issubclass(k, StrEnum) and k is not StrEnum
    ],
    ids=lambda kind: kind.__name__,
)
def test_outcomes_are_closed_sets_of_their_own_text(kind):
    assert all(member == kind(member.value) for member in kind)


def spec(**changed):
    values = {
        "experiment_id": "exp_a",
        "start_ts": NOW,
        "end_ts": NOW + timedelta(days=7),
        "watermark_ts": NOW + timedelta(days=7),
        "variants": (Variant("b", 0.25), Variant("a", 0.5), Variant("c", 0.25)),
        "control": "a",
        "plan": AnalysisPlan((MetricPlan("x", MetricRole.GOAL),)),
    }
    return ExperimentSpec(**{**values, **changed})


def test_treatments_keep_the_order_of_the_registry():
    assert spec().treatments == ("b", "c")


@pytest.mark.parametrize(("hours", "is_complete"), [(-1, False), (0, True), (1, True)])
def test_is_complete_compares_watermark_and_end(hours, is_complete):
    watermark = NOW + timedelta(days=7, hours=hours)
    assert spec(watermark_ts=watermark).is_complete is is_complete


def test_plan_of_an_unplanned_metric_only_monitors():
    plan = AnalysisPlan((MetricPlan("x", MetricRole.GOAL),))
    assert plan.of("x").role is MetricRole.GOAL
    assert plan.of("y") == MetricPlan("y", MetricRole.MONITOR)
    assert plan.names(MetricRole.GOAL) == ("x",)


def test_definition_hash_follows_the_meaning_only():
    first = MetricDefinition("m", 1, MetricType.MEAN, Direction.INCREASE, "m")
    same = dataclasses.replace(first, owner="x", description="y", unit_label="z")
    assert same.definition_hash == first.definition_hash
    for changed in ({"cap": 3.0}, {"window_days": 7.0}, {"numerator": "n"}):
        other = dataclasses.replace(first, **changed)
        assert other.definition_hash != first.definition_hash


def test_estimate_is_ok_only_with_that_status():
    for status in EstimateStatus:
        estimate = Estimate("e", "m", "welch_t", "a", "b", status)
        assert estimate.is_ok is (status is EstimateStatus.OK)


RECORDS = {
    "analysis_results": Estimate(
        "exp_a",
        '{"odd": "name"}',
        "welch_t",
        "a",
        "b",
        EstimateStatus.OK,
        difference=0.1,
        role=EstimateRole.SECONDARY,
        details={"theta": 0.5, "nested": {"a": [1, 2.5, None, "x"]}},
        run_id="r",
        computed_at=NOW,
    ),
    "check_results": CheckResult(
        "exp_a",
        "SRM",
        CheckStatus.NOT_RUN,
        "null",
        "123",
        subject="true",
        details={"e": 1.5},
        run_id="r",
        computed_at=NOW,
    ),
    "decisions": Decision(
        "exp_a",
        "",
        Outcome.KEEP_RUNNING,
        "e",
        Verdict.CAUTION,
        ("NOT_COMPLETE", "X"),
        "why",
        run_id="r",
        computed_at=NOW,
    ),
}


@pytest.mark.parametrize("table", RECORDS)
def test_record_survives_its_row(table):
    record = RECORDS[table]
    stamps = {"experiment_id": "exp_a", "run_id": "other", "computed_at": NOW}
    rows = to_rows(table, [record], stamps).to_pylist()
    assert from_rows(table, type(record), rows) == [record]
