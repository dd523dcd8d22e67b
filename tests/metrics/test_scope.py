"""The relations that a run's models join with."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from exp_platform.lake import Engine
from exp_platform.metrics.scope import maturity_us, microseconds, write_scope
from exp_platform.metrics.spans import DAY_US
from exp_platform.records import (
    AnalysisPlan,
    Covariate,
    Direction,
    MetricDefinition,
    MetricType,
)


def _metric(name: str, **rest: Any) -> MetricDefinition:
    return MetricDefinition(name, 1, MetricType.MEAN, Direction.INCREASE, "m", **rest)


def test_write_scope_describes_the_experiment(engine: Engine, spec: Any) -> None:
    plan = AnalysisPlan(metrics=(), bot_rows_per_day=7, exclude_bots=True)
    metrics = {
        "a": _metric("a", covariate=Covariate("x", 7)),
        "b": _metric("b", covariate=Covariate("x", 28)),
    }
    write_scope(engine, spec(plan=plan, cluster="market"), metrics)
    (row,) = engine.records("from exp_run.run_experiments")
    assert row["end_us"] - row["start_us"] == 4 * DAY_US
    assert row["watermark_us"] - row["start_us"] == 6 * DAY_US
    assert row["lookback_us"] == 28 * DAY_US
    assert (row["bot_rows_per_day"], row["exclude_bots"]) == (7, True)
    assert row["cluster_attribute"] == "market"


def test_write_scope_lists_arms_with_their_control(engine: Engine, spec: Any) -> None:
    write_scope(engine, spec(), {"a": _metric("a")})
    rows = engine.rows(
        "select variant, planned_share, is_control from exp_run.run_variants"
    )
    assert rows == [("control", 0.5, True), ("treatment", 0.5, False)]


def test_write_scope_keeps_a_metrics_own_spans(engine: Engine, spec: Any) -> None:
    metrics = {
        "plain": _metric("plain"),
        "full": _metric(
            "full",
            denominator="d",
            covariate=Covariate("x", 7),
            delay_days=0.5,
            window_days=2.0,
        ),
    }
    write_scope(engine, spec(), metrics)
    plain, full = engine.records("from exp_run.run_metrics")
    empty = ("denominator", "covariate", "window_us", "lookback_us")
    assert [plain[name] for name in empty] == [None] * 4
    assert (plain["numerator"], plain["delay_us"], plain["maturity_us"]) == ("m", 0, 0)
    assert (full["denominator"], full["covariate"]) == ("d", "x_7d")
    assert (full["delay_us"], full["window_us"]) == (DAY_US // 2, 2 * DAY_US)
    assert (full["lookback_us"], full["maturity_us"]) == (7 * DAY_US, DAY_US * 5 // 2)


def test_write_scope_without_metrics_has_the_columns(engine: Engine, spec: Any) -> None:
    write_scope(engine, spec(), {})
    assert engine.rows("select metric_name, window_us from exp_run.run_metrics") == []


def test_maturity_without_a_window_is_the_delay() -> None:
    assert maturity_us(_metric("m", delay_days=1.0)) == DAY_US
    assert maturity_us(_metric("m")) == 0


def test_microseconds_are_exact_in_any_zone() -> None:
    instant = datetime(2026, 1, 5, 3, 4, 5, 678901, tzinfo=UTC)
    zone = timezone(timedelta(hours=9))
    expected = 1767582245678901
    assert microseconds(instant) == microseconds(instant.astimezone(zone)) == expected
