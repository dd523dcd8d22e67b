"""The generated SELECTs: windows, aggregations, and names that try to be SQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlglot

from exp_platform.metrics.observations import (
    CROSSOVER_SEGMENT,
    observation_sql,
    segment_sql,
    transpile,
    union_of,
    unit_day_sql,
)
from exp_platform.records import (
    AnalysisPlan,
    Covariate,
    Direction,
    MetricDefinition,
    MetricType,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
ATTACK = "m') or 1=1; drop table exp_run.int_unit_outcomes; --"


def _metric(kind: str = "mean", numerator: str = "m", **rest: Any) -> MetricDefinition:
    return MetricDefinition(
        rest.pop("name", "metric"), 1, MetricType(kind), Direction.INCREASE, numerator,
        **rest,
    )  # fmt: skip


def _row(value: float, after: timedelta, name: str = "m") -> dict[str, Any]:
    return {"user": "u", "metric": name, "value": value, "at": START + after}


def _observe(build: Any, spec: Any, metric: MetricDefinition, *rows: Any) -> Any:
    unit = {"user": "u", "variant": "control", "at": START}
    engine = build([unit], rows, [metric], spec())
    found = engine.records("from exp_run.metric_observations")
    assert len(found) == 1
    return found[0]


WINDOW = [
    _row(1.0, DAY - TICK),
    _row(10.0, DAY),
    _row(100.0, 3 * DAY - TICK),
    _row(1000.0, 3 * DAY),
]


def test_observation_counts_inside_delay_and_window(build: Any, spec: Any) -> None:
    metric = _metric(delay_days=1.0, window_days=2.0)
    assert _observe(build, spec, metric, *WINDOW)["value"] == 110.0


def test_observation_without_a_window_ends_at_the_watermark(
    build: Any, spec: Any
) -> None:
    rows = [_row(1.0, 6 * DAY - TICK), _row(2.0, 6 * DAY), _row(4.0, 0 * DAY)]
    assert _observe(build, spec, _metric(), *rows)["value"] == 5.0


@pytest.mark.parametrize(
    ("kind", "rest", "answer"),
    [
        ("mean", {}, 6.0),
        ("count", {"aggregation": "count"}, 3.0),
        ("mean", {"aggregation": "max"}, 5.0),
        ("proportion", {}, 1.0),
        ("mean", {"cap": 5.5}, 5.5),
        ("mean", {"cap": 1e16}, 6.0),
    ],
)
def test_observation_aggregates(
    build: Any, spec: Any, kind: str, rest: dict[str, Any], answer: float
) -> None:
    rows = [_row(5.0, DAY), _row(2.0, DAY), _row(-1.0, DAY)]
    found = _observe(build, spec, _metric(kind, **rest), *rows)
    assert found["value"] == answer
    assert isinstance(found["value"], float)


def test_observation_of_a_proportion_needs_a_positive_value(
    build: Any, spec: Any
) -> None:
    rows = [_row(0.0, DAY), _row(-2.0, DAY)]
    assert _observe(build, spec, _metric("proportion"), *rows)["value"] == 0.0


def test_observation_of_a_ratio_has_both_sums(build: Any, spec: Any) -> None:
    metric = _metric("ratio", denominator="d", window_days=2.0)
    rows = [_row(3.0, DAY), _row(4.0, DAY, "d"), _row(8.0, 2 * DAY, "d")]
    found = _observe(build, spec, metric, *rows)
    assert (found["value"], found["denominator"]) == (3.0, 4.0)


def test_observation_covariate_looks_back_from_exposure(build: Any, spec: Any) -> None:
    metric = _metric(covariate=Covariate("x", 2))
    rows = [
        _row(1.0, -2 * DAY - TICK, "x"),
        _row(10.0, -2 * DAY, "x"),
        _row(100.0, -TICK, "x"),
        _row(1000.0, 0 * DAY, "x"),
    ]
    found = _observe(build, spec, metric, *rows)
    assert (found["value"], found["covariate"]) == (0.0, 110.0)


def test_observation_sum_does_not_depend_on_the_order(build: Any, spec: Any) -> None:
    values = [1 / 3, 1e10, -1e10, 1e-7, 2 / 7]
    sums = {
        _observe(build, spec, _metric(), *[_row(v, DAY) for v in order])["value"]
        for order in (values, values[::-1], sorted(values))
    }
    assert len(sums) == 1


def test_fixed_point_sum_is_exact(build: Any, spec: Any) -> None:
    rows = [_row(0.1, DAY), _row(0.2, DAY), _row(123456789.123456, DAY)]
    found = _observe(build, spec, _metric(), *rows)["value"]
    assert found == 123456789.423456


def test_names_stay_literals(build: Any, spec: Any) -> None:
    metric = _metric(
        "ratio", ATTACK, name=ATTACK, denominator=ATTACK, covariate=Covariate(ATTACK)
    )
    found = _observe(build, spec, metric, _row(2.0, DAY, ATTACK), _row(5.0, DAY))
    assert (found["metric_name"], found["value"]) == (ATTACK, 2.0)


def test_segment_names_stay_literals(build: Any, spec: Any) -> None:
    unit = {
        "user": "u",
        "variant": "control",
        "at": START,
        "attributes": {ATTACK: "it's"},
    }
    plan = AnalysisPlan(metrics=(), segments=(ATTACK,))
    engine = build([unit], [], [_metric()], spec(plan=plan))
    rows = engine.rows("select segment from exp_run.unit_segments")
    assert rows == [("all",), (f"{ATTACK}=it's",)]


def test_unit_day_splits_by_utc_day(build: Any, spec: Any) -> None:
    unit = {"user": "u", "variant": "control", "at": START}
    rows = [_row(1.0, DAY - TICK), _row(2.0, DAY), _row(3.0, DAY), _row(9.0, -TICK)]
    engine = build([unit], rows, [_metric()], spec())
    found = engine.rows(
        "select outcome_day, value from exp_run.metric_unit_days order by 1"
    )
    first = START.toordinal() - datetime(1970, 1, 1, tzinfo=UTC).toordinal()
    assert found == [(first, 1.0), (first + 1, 5.0)]


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
def test_transpile_gives_sql_of_the_dialect(dialect: str) -> None:
    metric = _metric(
        "ratio", "it's", denominator="d", cap=2.0, covariate=Covariate("it's")
    )
    for sql in (
        observation_sql(metric, fixed_point=["d"]),
        unit_day_sql(metric, fixed_point=[]),
        segment_sql(["a'b"], subsets=[CROSSOVER_SEGMENT]),
    ):
        text = transpile(sql, dialect)
        literals = sqlglot.parse_one(text, read=dialect).find_all(sqlglot.exp.Literal)
        assert {"it's", "a'b", "a'b="} & {literal.name for literal in literals}
        if dialect != "duckdb":
            assert "list_sum" not in text.lower()


def test_transpile_asks_trino_for_a_map_entry_that_may_be_absent() -> None:
    assert "ELEMENT_AT(attributes, 'p')" in transpile(segment_sql(["p"]), "trino")


def test_transpile_asks_so_inside_a_sum_too() -> None:
    sql = (
        "select list_sum(list_sort(list(properties['a'])"
        " filter (where properties['b'] = 'x'))) from t"
    )
    text = transpile(sql, "trino")
    assert text.count("ELEMENT_AT(") == 2
    assert "[" not in text


def test_transpile_folds_a_list_in_spark_and_trino() -> None:
    sql = observation_sql(_metric(), fixed_point=[])
    assert "AGGREGATE(" in transpile(sql, "spark")
    assert "REDUCE(" in transpile(sql, "trino")


def test_union_of_sorts_when_asked() -> None:
    branches = ["select 1 as x", "select 2 as x"]
    assert union_of(branches) == "select 1 as x\nunion all\nselect 2 as x"
    assert union_of(branches, order="x").endswith("order by x")
