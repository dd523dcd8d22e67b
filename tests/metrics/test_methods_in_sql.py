"""Totals of the compiled SQL beside a naive reading of METHODS section 1, in words."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exp_platform.lake import Engine
from exp_platform.metrics.models import (
    model_order,
)
from exp_platform.metrics.totals import read_totals
from exp_platform.records import (
    AnalysisPlan,
    Covariate,
    Direction,
    ExperimentSpec,
    MetricDefinition,
    MetricTotals,
    MetricType,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
ROOT = Path(__file__).parents[2]
Rows = list[dict[str, Any]]


def _metric(name: str, kind: str, numerator: str, **rest: Any) -> MetricDefinition:
    return MetricDefinition(
        name, 1, MetricType(kind), Direction.INCREASE, numerator, **rest
    )


METRICS = (
    _metric("money", "mean", "m", covariate=Covariate("m", 2)),
    _metric("weekly", "mean", "m", delay_days=0.5, window_days=2.0, cap=4.0),
    _metric("bought", "proportion", "k", covariate=Covariate("k", 1)),
    _metric("rows", "count", "k", aggregation="count", delay_days=1.0),
    _metric("best", "mean", "k", aggregation="max", window_days=3.0),
    _metric(
        "share", "ratio", "m", denominator="k", window_days=4.0,
        covariate=Covariate("m", 3),
    ),
    _metric("never", "mean", "nothing"),
)  # fmt: skip


# --- METHODS section 1, read slowly -------------------------------------------------


def _units(exposures: Rows, outcomes: Rows, spec: ExperimentSpec) -> Rows:
    """A unit with a valid first exposure in [start, end) counts once."""
    units: Rows = []
    for user in sorted({row["user"] for row in exposures}):
        inside = [
            row
            for row in exposures
            if row["user"] == user and spec.start_ts <= row["at"] < spec.end_ts
        ]
        if not inside:
            continue
        first = min(inside, key=lambda row: (row["at"], row["variant"]))
        per_day: dict[Any, int] = {}
        for row in outcomes:
            is_read = row["value"] is not None and row["at"] < spec.watermark_ts
            if row["user"] == user and is_read:
                per_day[row["at"].date()] = per_day.get(row["at"].date(), 0) + 1
        is_bot = any(n > spec.plan.bot_rows_per_day for n in per_day.values())
        is_crossover = len({row["variant"] for row in inside}) > 1
        units.append({**first, "is_bot": is_bot, "is_crossover": is_crossover})
    return units


def _between(
    rows: Rows, name: str | None, lower: datetime, upper: datetime
) -> list[float | None]:
    return [
        r["value"] for r in rows if r["metric"] == name and lower <= r["at"] < upper
    ]


def _aggregate(metric: MetricDefinition, values: Sequence[float]) -> float:
    if metric.type is MetricType.PROPORTION:
        return 1.0 if any(value > 0 for value in values) else 0.0
    if metric.aggregation == "count":
        return float(len(values))
    if metric.aggregation == "max":
        return max(values, default=0.0)
    return float(sum(values))


def _measure(
    unit: dict[str, Any],
    metric: MetricDefinition,
    outcomes: Rows,
    spec: ExperimentSpec,
) -> dict[str, Any]:
    """One unit's value, denominator and covariate, or why it has none."""
    mine = [
        row
        for row in outcomes
        if row["user"] == unit["user"] and row["at"] < spec.watermark_ts
    ]
    opens = unit["at"] + metric.delay_days * DAY
    closes, is_mature = spec.watermark_ts, opens <= spec.watermark_ts
    if metric.window_days is not None:
        closes = opens + metric.window_days * DAY
        is_mature = closes <= spec.watermark_ts
    above = _between(mine, metric.numerator, opens, closes)
    below = _between(mine, metric.denominator, opens, closes)
    found = {
        "metric": metric.name,
        "variant": unit["variant"],
        "is_mature": is_mature,
        "is_missing": is_mature and None in (*above, *below),
        "attributes": unit.get("attributes"),
        "is_crossover": unit["is_crossover"],
        "is_bot": unit["is_bot"],
    }
    if not is_mature or found["is_missing"]:
        return found
    value = _aggregate(metric, [v for v in above if v is not None])
    found["value"] = value if metric.cap is None else min(value, metric.cap)
    if metric.denominator is not None:
        found["denominator"] = float(sum(v for v in below if v is not None))
    if metric.covariate is not None:
        since = unit["at"] - metric.covariate.lookback_days * DAY
        before = _between(mine, metric.covariate.metric_name, since, unit["at"])
        seen = unit.get("first_seen")
        unknown = None in before or (seen is not None and seen >= since)
        known = [v for v in before if v is not None]
        found["covariate"] = 0.0 if unknown else _aggregate(metric, known)
        found["unknown"] = float(unknown)
    return found


def _expected(
    exposures: Rows, outcomes: Rows, spec: ExperimentSpec
) -> dict[tuple[str, str, str], dict[str, Any]]:
    units = _units(exposures, outcomes, spec)
    counted = [u for u in units if not (spec.plan.exclude_bots and u["is_bot"])]
    rows = [_measure(u, m, outcomes, spec) for u, m in product(counted, METRICS)]
    segments: dict[str, Callable[[dict[str, Any]], bool]] = {"all": lambda _: True}
    for row in rows:
        country = (row["attributes"] or {}).get("country") or "(unknown)"
        segments[f"country={country}"] = lambda r, c=country: (
            ((r["attributes"] or {}).get("country") or "(unknown)") == c
        )
    if any(u["is_crossover"] for u in counted):
        segments["population=without_crossover"] = lambda r: not r["is_crossover"]
    if any(u["is_bot"] for u in counted):
        segments["population=without_bots"] = lambda r: not r["is_bot"]
    answers = {}
    for (name, inside), metric, variant in product(
        segments.items(), METRICS, ("control", "treatment")
    ):
        here = [
            r
            for r in rows
            if r["metric"] == metric.name and r["variant"] == variant and inside(r)
        ]
        if here:
            answers[metric.name, name, variant] = _moments(here)
    return answers


def _moments(rows: Rows) -> dict[str, Any]:
    columns = ["value", "denominator", "covariate", "unknown"]
    kept = [row for row in rows if "value" in row]
    frame = pd.DataFrame(kept, columns=columns, dtype="float64")
    cov = frame.cov() if len(frame) > 1 else frame.corr() * float("nan")
    value = frame["value"]
    return {
        "n": len(frame),
        "mean": value.mean(),
        "variance": cov.loc["value", "value"],
        "third_moment": ((value - value.mean()) ** 3).mean(),
        "min_value": value.min(),
        "max_value": value.max(),
        "denominator_mean": frame["denominator"].mean(),
        "denominator_variance": cov.loc["denominator", "denominator"],
        "denominator_covariance": cov.loc["value", "denominator"],
        "covariate_mean": frame["covariate"].mean(),
        "covariate_variance": cov.loc["covariate", "covariate"],
        "covariate_covariance": cov.loc["value", "covariate"],
        "covariate_denominator_covariance": cov.loc["denominator", "covariate"],
        "new_share": frame["unknown"].mean(),
        "new_covariance": cov.loc["value", "unknown"],
        "n_immature": sum(not row["is_mature"] for row in rows),
        "n_missing": sum(row["is_missing"] for row in rows),
    }


# --- experiments that sit on the edges ----------------------------------------------

EDGES = [
    -TICK, 0 * DAY, 0.5 * DAY, 0.5 * DAY, DAY, 2 * DAY, 3 * DAY, 4 * DAY - TICK, 4 * DAY,
    5 * DAY,
]  # fmt: skip
OFFSETS = [
    -3 * DAY - TICK, -3 * DAY, -2 * DAY, -DAY - TICK, -DAY, -TICK, 0 * DAY, 0.5 * DAY - TICK,
    0.5 * DAY, DAY, 2.5 * DAY - TICK, 2.5 * DAY, 3 * DAY, 4 * DAY - TICK, 4 * DAY, 6 * DAY,
]  # fmt: skip
VALUES = [1.0, 2.5, 0.0, -1.0, 1 / 3, 7.25, None]


@st.composite
def _experiments(draw: st.DrawFn) -> tuple[Rows, Rows, ExperimentSpec]:
    exposures: Rows = []
    outcomes: Rows = []
    for number in range(draw(st.integers(1, 12))):
        user = f"u{number}"
        at = START + draw(st.sampled_from(EDGES))
        seen = draw(st.sampled_from([None, None, -3 * DAY, -DAY, -2 * DAY - TICK]))
        country = draw(
            st.sampled_from([None, {}, {"country": "NL"}, {"country": "DE"}])
        )
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            exposures.append(
                {
                    "user": user,
                    "variant": draw(st.sampled_from(["control", "treatment"])),
                    "at": at,
                    "first_seen": None if seen is None else at + seen,
                    "attributes": country,
                }
            )
            later = draw(st.sampled_from([0 * DAY, DAY, -DAY]))
            at += later
            seen = None if seen is None else seen - later
        first = exposures[-1]["at"]
        for _ in range(draw(st.integers(0, 6))):
            outcomes.append(
                {
                    "user": user,
                    "metric": draw(st.sampled_from(["m", "m", "k", "other"])),
                    "value": draw(st.sampled_from(VALUES)),
                    "at": first + draw(st.sampled_from(OFFSETS)),
                }
            )
    plan = AnalysisPlan(
        metrics=(),
        segments=("country",),
        bot_rows_per_day=2,
        exclude_bots=draw(st.booleans()),
    )
    spec = ExperimentSpec(
        "exp_a",
        START,
        START + 4 * DAY,
        START + draw(st.sampled_from([3 * DAY, 6 * DAY, 9 * DAY])),
        variants=_arms(),
        control="control",
        plan=plan,
    )
    return exposures, outcomes, spec


def _arms() -> tuple[Any, ...]:
    from exp_platform.records import Variant

    return (Variant("control", 0.5), Variant("treatment", 0.5))


def _totals(engine: Engine) -> dict[tuple[str, str, str], MetricTotals]:
    return read_totals(engine.records("from exp_run.metric_aggregates_overall"))


def _assert_equal(found: MetricTotals, expected: dict[str, Any]) -> None:
    for name, number in expected.items():
        value = getattr(found, name)
        if pd.isna(number):
            assert value is None, name
        else:
            # doubles summed in another order, on numbers below 100
            assert value == pytest.approx(number, rel=1e-9, abs=1e-11), name


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(experiment=_experiments())
def test_totals_agree_with_the_words_of_the_methods(
    build: Any, experiment: tuple[Rows, Rows, ExperimentSpec]
) -> None:
    exposures, outcomes, spec = experiment
    found = _totals(build(exposures, outcomes, METRICS, spec))
    expected = _expected(exposures, outcomes, spec)
    assert found.keys() == expected.keys()
    for key, numbers in expected.items():
        _assert_equal(found[key], numbers)


# --- single cases -------------------------------------------------------------------


def _exposed(user: str, variant: str = "control", **rest: Any) -> dict[str, Any]:
    return {"user": user, "variant": variant, "at": START, **rest}


def _happened(user: str, value: float | None, after: timedelta) -> dict[str, Any]:
    return {"user": user, "metric": "m", "value": value, "at": START + after}


MONEY = (_metric("money", "mean", "m", covariate=Covariate("m", 2)),)


# rows that follow from the plan, whatever the data
OF_THE_PLAN = {
    "int_normal_quantiles",
    "int_metric_findings",
    "int_arm_findings",
    "experiment_summary",
}


def test_totals_without_exposures_are_empty(build: Any, spec: Any) -> None:
    engine = build([], [_happened("u", 1.0, DAY)], MONEY, spec())
    for table, _ in model_order(groups=("metrics",)):
        if table not in OF_THE_PLAN | {"stg_outcomes", "int_bot_units"}:
            assert engine.rows(f"select count(*) from exp_run.{table}")[0][0] == 0, (
                table
            )


def test_models_without_metrics_still_check_the_split(build: Any, spec: Any) -> None:
    engine = build([_exposed("a")], [_happened("a", 1.0, DAY)], [], spec())
    assert _totals(engine) == {}
    split = engine.rows(
        "select slice, observed from exp_run.sample_ratio_mismatch where level = 'all'"
    )
    assert split == [("overall", 1), ("overall", 0)]
    signal = engine.rows("select sql_signal, reason from exp_run.experiment_summary")
    assert signal == [("DO_NOT_SHIP", "NO_PLAN")]


def test_totals_of_one_arm_alone_have_no_comparison(build: Any, spec: Any) -> None:
    engine = build([_exposed("a"), _exposed("b")], [], MONEY, spec())
    assert [t.n for t in _totals(engine).values()] == [2]
    assert engine.rows("from exp_run.experiment_results") == []
    split = engine.rows(
        "select variant, observed, expected from exp_run.sample_ratio_mismatch"
        " where slice = 'overall'"
    )
    assert split == [("control", 2, 1.0), ("treatment", 0, 1.0)]


def test_missing_value_leaves_the_unit_out_and_is_counted(
    build: Any, spec: Any
) -> None:
    outcomes = [_happened("a", 4.0, DAY), _happened("b", None, DAY)]
    engine = build(
        [_exposed("a"), _exposed("b"), _exposed("c")], outcomes, MONEY, spec()
    )
    (totals,) = _totals(engine).values()
    assert (totals.n, totals.n_missing, totals.mean) == (2, 1, 2.0)
    days = engine.rows("select n, n_active, mean from exp_run.metric_aggregates_daily")
    # the watermark is six days after the start
    assert days == [(2, 0, 0.0), (2, 1, 2.0), *[(2, 0, 0.0)] * 4]


def test_missing_covariate_is_zero_with_the_indicator(build: Any, spec: Any) -> None:
    outcomes = [_happened("a", None, -DAY), _happened("b", 3.0, -DAY)]
    engine = build([_exposed("a"), _exposed("b")], outcomes, MONEY, spec())
    (totals,) = _totals(engine).values()
    assert (totals.n, totals.n_missing) == (2, 0)
    assert (totals.covariate_mean, totals.new_share) == (1.5, 0.5)


def test_immature_arm_keeps_a_row_without_moments(build: Any, spec: Any) -> None:
    slow = (_metric("slow", "mean", "m", window_days=7.0),)
    engine = build([_exposed("a"), _exposed("b", "treatment")], [], slow, spec())
    for totals in _totals(engine).values():
        assert (totals.n, totals.mean, totals.n_immature) == (0, None, 1)
    (row,) = engine.records("from exp_run.experiment_results")
    assert (row["n_control"], row["difference"], row["df"]) == (0, None, None)


def test_segment_named_twice_counts_once(build: Any, spec: Any) -> None:
    plan = AnalysisPlan(metrics=(), segments=("country", "country"))
    units = [_exposed("a", attributes={"country": "NL"}), _exposed("b")]
    totals = _totals(build(units, [], MONEY, spec(plan=plan)))
    assert {key[1]: t.n for key, t in totals.items()} == {
        "all": 2,
        "country=NL": 1,
        "country=(unknown)": 1,
    }


def test_sum_too_large_for_fixed_point_is_null(build: Any, spec: Any) -> None:
    outcomes = [_happened("a", 1e30, DAY), _happened("b", 1.0, DAY)]
    engine = build([_exposed("a"), _exposed("b")], outcomes, MONEY, spec())
    (totals,) = _totals(engine).values()
    assert totals.exact_sum is None
    assert totals.max_value == 1e30


def test_ledger_names_the_arm_of_the_first_exposure(build: Any, spec: Any) -> None:
    units = [_exposed("a", "treatment"), {**_exposed("a"), "at": START + DAY}]
    engine = build(units, [], MONEY, spec())
    rows = engine.rows(
        "select stage, metric_name, variant, n_units from exp_run.unit_ledger"
    )
    stages = ["exposed", "valid", "deduplicated", "in_window", "not_bot"]
    assert rows == [
        *((stage, "", "treatment", 1) for stage in stages),
        ("not_crossover", "", "treatment", 0),
        ("in_analysis", "", "treatment", 1),
        ("in_metric", "money", "treatment", 1),
    ]


def test_daily_rows_stand_for_days_without_an_outcome(build: Any, spec: Any) -> None:
    units = [_exposed("a"), {**_exposed("b", "treatment"), "at": START + DAY}]
    outcomes = [_happened("b", 2.0, 2 * DAY)]
    engine = build(units, outcomes, (METRICS[0], METRICS[-1]), spec())
    rows = engine.rows(
        "select metric_name, variant, day - date '2026-01-05', n, mean"
        " from exp_run.metric_aggregates_daily"
    )
    # from the first exposure (of the arm) to the watermark
    assert rows == [
        *(("money", "control", day, 1, 0.0) for day in range(6)),
        *(("money", "treatment", day, 1, 2.0 * (day == 2)) for day in range(1, 6)),
        *(("never", "control", day, 1, 0.0) for day in range(6)),
        *(("never", "treatment", day, 1, 0.0) for day in range(1, 6)),
    ]


def test_daily_units_leave_when_their_window_closes(build: Any, spec: Any) -> None:
    short = (_metric("short", "mean", "m", window_days=1.0),)
    units = [_exposed("a"), {**_exposed("b"), "at": START + 2 * DAY}]
    engine = build(units, [_happened("a", 5.0, 2 * DAY)], short, spec())
    rows = engine.rows("select day, n, n_active from exp_run.metric_aggregates_daily")
    assert [(day.day, n, active) for day, n, active in rows] == [(5, 1, 0), (7, 1, 0)]
