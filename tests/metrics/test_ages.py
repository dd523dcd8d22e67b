"""Days since exposure beside a naive pandas reading of raw rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from exp_platform.metrics.totals import read_totals
from exp_platform.records import Direction, MetricDefinition, MetricType

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY, HOUR, TICK = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
ARMS = ("control", "treatment")
Rows = list[dict[str, Any]]


def _metric(name: str, kind: str, **rest: Any) -> MetricDefinition:
    return MetricDefinition(name, 1, MetricType(kind), Direction.INCREASE, "m", **rest)


METRICS = (
    _metric("plain", "mean"),
    _metric("late", "mean", delay_days=0.5, window_days=2.25),
    _metric("capped", "mean", window_days=3.0, cap=4.0),
    _metric("ever", "proportion", window_days=2.0),
    _metric("best", "mean", aggregation="max", delay_days=1.0),
    _metric("rows", "count", aggregation="count", window_days=3.0, cap=2.0),
    _metric("kinds", "count", aggregation="distinct", window_days=3.0),
    _metric("dated", "mean", is_day_grained=True, window_days=2.0),
    _metric("share", "ratio", denominator="k", window_days=2.0, cap=6.0),
)


# --- read slowly, from raw rows -------------------------------------------------------


def _value(metric: MetricDefinition, values: list[float]) -> float:
    if not values:
        return 0.0
    if metric.type is MetricType.PROPORTION:
        value = float(max(values) > 0)
    elif metric.aggregation == "count":
        value = float(len(values))
    elif metric.aggregation == "distinct":
        value = float(len(set(values)))
    elif metric.aggregation == "max":
        value = max(values)
    else:
        value = sum(values)
    return value if metric.cap is None else min(value, metric.cap)


def _window(metric: MetricDefinition, at: datetime) -> tuple[datetime, datetime]:
    base = at
    if metric.is_day_grained:
        base = at.replace(hour=0, minute=0, second=0, microsecond=0)
    opens = base + metric.delay_days * DAY
    days = 1000.0 if metric.window_days is None else metric.window_days
    return opens, opens + days * DAY


def _unit_ages(
    metric: MetricDefinition, unit: dict[str, Any], rows: Rows, watermark: datetime
) -> Rows:
    """What one unit did at each age that was over, and through it."""
    opens, closes = _window(metric, unit["at"])
    mine = [
        r
        for r in rows
        if r["user"] == unit["user"] and opens <= r["at"] < min(closes, watermark)
    ]
    if any(
        r["value"] is None and r["metric"] in {"m", metric.denominator} for r in mine
    ):
        return []
    above = [r for r in mine if r["metric"] == "m"]
    found: Rows = []
    midnight = unit["at"].replace(hour=0, minute=0, second=0, microsecond=0)
    for age in range(30):
        begins, ends = midnight + age * DAY, midnight + (age + 1) * DAY
        if ends > watermark:
            break
        until = [r["value"] for r in above if r["at"] < ends]
        here = [r["value"] for r in above if begins <= r["at"] < ends]
        found.append(
            {
                "age": age,
                "variant": unit["variant"],
                "is_open": opens < ends and closes > begins,
                "is_active": bool(here),
                "value": _value(metric, here),
                "so_far": _value(metric, until),
            }
        )
    return found


def _expected(
    metric: MetricDefinition, units: Rows, rows: Rows, watermark: datetime
) -> dict[tuple[str, int], dict[str, Any]]:
    ordered = sorted(rows, key=lambda r: r["at"])
    cells = [c for u in units for c in _unit_ages(metric, u, ordered, watermark)]
    if not cells:
        return {}
    frame = pd.DataFrame(cells)
    ages = set(frame.loc[frame.is_open, "age"])
    answers = {}
    for (variant, age), group in frame.groupby(["variant", "age"]):
        if age in ages:
            shown = group[group.is_open]
            answers[str(variant), int(age)] = {
                "n": len(shown),
                "n_active": int(shown.is_active.sum()),
                "mean": shown.value.mean(),
                "variance": shown.value.var(),
                "cumulative_n": len(group),
                "cumulative_mean": group.so_far.mean(),
            }
    return answers


# --- experiments ----------------------------------------------------------------------


def _experiment(seed: int) -> tuple[Rows, Rows, datetime]:
    random = np.random.default_rng(seed)
    edges = [0 * HOUR, 12 * HOUR - TICK, 12 * HOUR, 18 * HOUR, 24 * HOUR - TICK]
    starts = [day * DAY + edge for day in range(4) for edge in edges]
    units = [
        {
            "user": f"u{i}",
            "variant": ARMS[int(random.integers(2))],
            "at": START + starts[int(random.integers(len(starts)))],
        }
        for i in range(int(random.integers(1, 40)))
    ]
    values = [1.0, 2.5, 0.0, -1.0, 7.25, 1 / 3]
    rows: Rows = []
    for unit in units:
        for _ in range(int(random.integers(0, 7))):
            gap = int(random.integers(-4, 28)) * 6 * HOUR
            is_lost = random.random() < 0.01
            value = values[int(random.integers(len(values)))]
            rows.append(
                {
                    "user": unit["user"],
                    "metric": "m" if random.random() < 0.8 else "k",
                    "value": None if is_lost else value,
                    "at": unit["at"] + gap,
                }
            )
    # within a day, at its end, long after the last window
    watermark = START + [2 * DAY + HOUR, 4 * DAY, 5.5 * DAY, 20 * DAY][seed % 4]
    return units, rows, watermark


@pytest.mark.parametrize("seed", range(12))
def test_ages_agree_with_raw_rows(build: Any, spec: Any, seed: int) -> None:
    units, rows, watermark = _experiment(seed)
    engine = build(units, rows, METRICS, spec(watermark_ts=watermark))
    stored = engine.records("from exp_run.metric_aggregates_by_age")
    assert stored
    for metric in METRICS:
        expected = _expected(metric, units, rows, watermark)
        found = {
            (r["variant"], r["age_day"]): r
            for r in stored
            if r["metric_name"] == metric.name
        }
        assert found.keys() == expected.keys(), metric.name
        for key, numbers in expected.items():
            if metric.name == "kinds":
                # the same thing on two days is one thing
                numbers["cumulative_mean"] = None
            for name, number in numbers.items():
                where = (metric.name, key, name)
                if pd.isna(number):
                    assert found[key][name] is None, where
                else:
                    # sums in another order, of numbers below 100
                    near = pytest.approx(number, rel=1e-12, abs=1e-12)
                    assert found[key][name] == near, where


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_last_age_is_the_total_once_all_windows_closed(
    build: Any, spec: Any, seed: int
) -> None:
    units, rows, watermark = _experiment(seed)
    engine = build(units, rows, METRICS, spec(watermark_ts=watermark))
    totals = read_totals(engine.records("from exp_run.metric_aggregates_overall"))
    last = engine.rows(
        "select metric_name, variant, cumulative_n, cumulative_mean\n"
        "from exp_run.metric_aggregates_by_age\n"
        "where metric_name not in ('plain', 'best', 'kinds')\n"
        "qualify age_day = max(age_day) over (partition by metric_name, variant)"
    )
    assert len(last) == 2 * (len(METRICS) - 3)
    for metric, variant, n, mean in last:
        there = totals[metric, "all", variant]
        assert (n, mean) == (there.n, pytest.approx(there.mean, rel=1e-12, abs=1e-12))


def test_young_cohorts_do_not_thin_a_running_mean(build: Any, spec: Any) -> None:
    """One euro a day from everybody: the running mean is the age, whoever is young."""
    units = [
        {"user": f"u{day}_{i}", "variant": "control", "at": START + day * DAY}
        for day in range(4)
        for i in range(10**day)
    ]
    rows = [
        {"user": u["user"], "metric": "m", "value": 1.0, "at": u["at"] + day * DAY}
        for u in units
        for day in range(8)
    ]
    watermark = START + 5 * DAY + 12 * HOUR
    engine = build(units, rows, METRICS[:1], spec(watermark_ts=watermark))
    found = engine.rows(
        "select age_day, n, mean, cumulative_n, cumulative_mean"
        " from exp_run.metric_aggregates_by_age order by age_day"
    )
    older = [1111, 1111, 111, 11, 1]
    assert found == [(age, n, 1.0, n, age + 1.0) for age, n in enumerate(older)]


def test_start_inside_a_day_leaves_its_cohort_in(build: Any, spec: Any) -> None:
    """What a unit did since its exposure is whole, however late the first day began."""
    begins = START + 9 * HOUR
    units = [{"user": "a", "variant": "control", "at": begins + HOUR}]
    rows = [{"user": "a", "metric": "m", "value": 3.0, "at": begins + 2 * HOUR}]
    changed = spec(start_ts=begins, watermark_ts=START + 2 * DAY)
    engine = build(units, rows, METRICS[:1], changed)
    found = engine.rows(
        "select age_day, cumulative_n, cumulative_mean, exact_sum"
        " from exp_run.metric_aggregates_by_age order by age_day"
    )
    assert found == [(0, 1, 3.0, "3.000000"), (1, 1, 3.0, "0.000000")]
