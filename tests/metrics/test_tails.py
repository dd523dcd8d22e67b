"""The tail in SQL beside the same in numpy."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from exp_platform.metrics.tails import read_tails, tail_sql
from exp_platform.metrics.totals import read_totals
from exp_platform.records import Direction, MetricDefinition, MetricType
from exp_platform.stats.tail import find_threshold, summarise_tail

START = datetime(2026, 1, 5, tzinfo=UTC)
MONEY = MetricDefinition("money", 1, MetricType.MEAN, Direction.INCREASE, "m")


@pytest.fixture
def drawn(build: Any, spec: Any) -> Any:
    random = np.random.default_rng(5)
    values = {
        "control": random.lognormal(0, 2, 2600).round(4),
        "treatment": random.lognormal(0, 2, 2900).round(4),
    }
    names = [(v, f"{v}{i}") for v, drawn in values.items() for i in range(len(drawn))]
    money = np.concatenate(list(values.values()))
    exposures = [{"user": u, "variant": v, "at": START} for v, u in names]
    outcomes = [
        {"user": user, "metric": "m", "value": float(value), "at": START}
        for (_, user), value in zip(names, money, strict=True)
    ]
    engine = build(exposures, outcomes, [MONEY], spec())
    rows = engine.records("select * from exp_run.metric_aggregates_overall")
    return engine, values, read_totals(rows).values()


def test_tails_agree_with_numpy(drawn: Any) -> None:
    engine, values, totals = drawn
    threshold = find_threshold(np.concatenate(list(values.values())))
    found = read_tails(engine, totals)
    assert sorted(found) == [("money", "control"), ("money", "treatment")]
    for (_, variant), tail in found.items():
        names = ("exp_a", "money", variant)
        expected = summarise_tail(names, values[variant], threshold)
        assert (tail.threshold, tail.n_above) == (threshold, expected.n_above)
        assert tail.mean_above == pytest.approx(expected.mean_above)
        # a mean of squares of two numbers in another order
        assert tail.variance_above == pytest.approx(expected.variance_above, rel=1e-9)
    assert sum(tail.n_above for tail in found.values()) == 5


def test_nobody_is_above_when_the_share_is_not_one_unit(drawn: Any) -> None:
    engine, values, _ = drawn
    (row,) = engine.rows(tail_sql("money", 0))
    largest = max(float(v.max()) for v in values.values())
    assert row[:3] == (largest, None, 0)


def test_ties_at_the_threshold_are_not_above(build: Any, spec: Any) -> None:
    exposures = [
        {"user": f"u{i}", "variant": "control", "at": START} for i in range(10)
    ]
    outcomes = [
        {"user": f"u{i}", "metric": "m", "value": 7.0, "at": START} for i in range(3)
    ]
    engine = build(exposures, outcomes, [MONEY], spec())
    assert engine.rows(tail_sql("money", 2)) == [(7.0, None, 0, None, None)]
    assert engine.rows(tail_sql("money", 3)) == [(0.0, "control", 3, 7.0, 0.0)]


def test_metric_without_units_is_left_out(build: Any, spec: Any) -> None:
    engine = build([], [], [MONEY], spec())
    rows = engine.records("select * from exp_run.metric_aggregates_overall")
    assert read_tails(engine, read_totals(rows).values()) == {}
