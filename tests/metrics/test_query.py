"""Questions as SQL: whatever a segment and its values are called, the numbers are its own."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import duckdb
import pytest
import sqlglot

from exp_platform.errors import UsageError
from exp_platform.metrics.observations import transpile
from exp_platform.metrics.query import (
    Clock,
    Filter,
    Grain,
    MetricQuery,
    Vocabulary,
    compile_query,
    compile_values,
)
from exp_platform.records import MetricType

OURS = [
    *("variance", "denominator_variance", "covariance", "experiment_id", "user_id"),
    *("moments", "m", "facts", "units", "d1", "d2", "D3", "age_day", "time"),
]
ODD = ["Country", "country", "Variant", 'a b"c', "select", "m.n", "it's"]
ANSWER = ["metric_name", "n", "total", "denominator_total", "value", "standard_error"]
WORDS = Vocabulary(
    {"spend": MetricType.MEAN, "rate": MetricType.RATIO},
    (*OURS, *ODD, *ANSWER, "Time", "odd"),
    ("A", "B"),
)
VALUES = ["", "\t", "a\nb", "x" * 9_000, "it's", "\\", "ios"]


def value_of(segment: str, unit: int) -> str:
    """Another pattern for each segment, so that no two can be taken for each other."""
    if segment == "odd":
        return VALUES[unit % len(VALUES)]
    return f"{segment}{unit % (2 + WORDS.segments.index(segment) % 5)}"


@pytest.fixture(scope="module")
def units() -> list[dict[str, Any]]:
    return [
        {
            "user_id": f"u{i}",
            "variant": "AB"[i // 3 % 2],
            "attributes": {name: value_of(name, i) for name in WORDS.segments},
            "spend": float(i * 7 % 13),
            "sessions": float(i % 3 + 1),
        }
        for i in range(240)
    ]


@pytest.fixture(scope="module")
def ask(units: list[dict[str, Any]]) -> Iterator[Callable[[str], Any]]:
    """Columns and rows of a SELECT over the units' published rows."""
    with duckdb.connect() as engine:
        engine.execute("create schema exp")
        engine.execute(
            "create table exp.experiment_assignments (experiment_id text, user_id text,"
            " variant text, exposure_ts timestamptz, is_in_analysis boolean,"
            " attributes map(text, text))"
        )
        engine.execute(
            "create table exp.metric_calculations (experiment_id text, user_id text,"
            " metric_name text, value double, denominator double)"
        )
        engine.executemany(
            "insert into exp.experiment_assignments"
            " values ('e', ?, ?, '2026-01-05 00:00:00+00', true, map(?, ?))",
            [
                (u["user_id"], u["variant"], [*u["attributes"]], [*_values(u)])
                for u in units
            ],
        )
        engine.executemany(
            "insert into exp.metric_calculations values ('e', ?, ?, ?, ?)",
            [
                (u["user_id"], metric, u["spend"], below)
                for u in units
                for metric, below in (("spend", None), ("rate", u["sessions"]))
            ],
        )

        def read(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
            found = engine.execute(sql)
            return [column[0] for column in found.description], found.fetchall()

        yield read


def _values(unit: dict[str, Any]) -> list[str]:
    return list(unit["attributes"].values())


def label_of(unit: dict[str, Any], dimension: str) -> str:
    label: str = (unit if dimension == "variant" else unit["attributes"])[dimension]
    return label


def expected(units: list[dict[str, Any]], dimensions: tuple[str, ...]) -> Any:
    """n, mean and its error by hand."""
    groups = defaultdict(list)
    for unit in units:
        labels = tuple(label_of(unit, name) for name in dimensions)
        groups[labels].append(unit["spend"])
    return {
        labels: (
            len(spent),
            pytest.approx(statistics.fmean(spent)),
            pytest.approx(statistics.stdev(spent) / math.sqrt(len(spent))),
        )
        for labels, spent in groups.items()
    }


def test_units_of_assigned_clusters_have_no_standard_error(ask):
    query = MetricQuery(("spend", "rate"))
    clustered = replace(WORDS, has_clusters=True)
    for words, is_null in ((WORDS, {False}), (clustered, {True})):
        columns, rows = ask(compile_query(query, words))
        assert columns[-1] == "standard_error"
        assert {row[-1] is None for row in rows} == is_null


@pytest.mark.parametrize("name", [*OURS, *ODD])
def test_a_segment_may_be_called_like_anything_inside(ask, units, name):
    other = "m" if name == "d1" else "d1"
    asked = [(name,), (name, other), (other, name)]
    if name.lower() != "variant":
        asked += [("variant", name)]
    for dimensions in asked:
        sql = compile_query(MetricQuery(("spend",), dimensions), WORDS)
        columns, rows = ask(sql)
        wide = len(dimensions) + 1
        assert columns == ["metric_name", *dimensions, *ANSWER[1:]]
        found = {row[1:wide]: (row[wide], *row[wide + 3 :]) for row in rows}
        assert found == expected(units, dimensions)


@pytest.mark.parametrize("name", ["Country", "variance", "d2"])
@pytest.mark.parametrize("dialect", ["spark", "trino"])
def test_other_engines_get_the_same_columns(name, dialect):
    query = MetricQuery(("rate",), ("variant", name), Grain.WEEK)
    sql = transpile(compile_query(query, WORDS), dialect)
    (select,) = sqlglot.parse(sql, read=dialect)
    assert select.named_selects == ["metric_name", "variant", name, "time", *ANSWER[1:]]


@pytest.mark.parametrize(
    ("dimensions", "grain", "words"),
    [
        *(((name,), None, [repr(name), "filter by it"]) for name in ANSWER),
        (("Time",), Grain.DAY, ["'Time'", "column 'time'"]),
        (("Country", "d1", "country"), None, ["Country, country", "one at a time"]),
        (("variant", "Variant"), None, ["variant, Variant"]),
    ],
)
def test_two_columns_of_one_name_are_refused(dimensions, grain, words):
    with pytest.raises(UsageError) as caught:
        compile_query(MetricQuery(("spend",), dimensions, grain), WORDS)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["value", "n", "time"])
def test_a_segment_called_like_a_column_can_be_a_filter(ask, units, name):
    kept = Filter(name, (f"{name}0",))
    _, rows = ask(compile_query(MetricQuery(("spend",), filters=(kept,)), WORDS))
    _, listed = ask(compile_values(name, WORDS))
    number = sum(unit["attributes"][name] == f"{name}0" for unit in units)
    assert sum(row[2] for row in rows) == number == dict(listed)[f"{name}0"]


def test_every_value_that_is_listed_can_be_filtered_by(ask):
    _, listed = ask(compile_values("odd", WORDS))
    assert {value for value, _ in listed} == set(VALUES)
    for value, number in listed:
        query = MetricQuery(("spend",), ("odd",), filters=(Filter("odd", (value,)),))
        _, rows = ask(compile_query(query, WORDS))
        assert [row[1:3] for row in rows] == [(value, number)]


@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
def test_values_are_the_same_text_in_every_dialect(dialect):
    query = MetricQuery(("spend",), filters=(Filter("odd", ("a\nb", "\\", "\t", "")),))
    sql = transpile(compile_query(query, WORDS), dialect)
    literals = sqlglot.parse_one(sql, read=dialect).find_all(sqlglot.exp.Literal)
    assert {"a\nb", "\\", "\t", ""} <= {literal.this for literal in literals}


@pytest.mark.parametrize("clock", list(Clock))
def test_data_without_dates_have_no_grain(clock):
    undated = replace(WORDS, is_dated=False)
    query = MetricQuery(("spend",), grain=Grain.DAY, clock=clock)
    compile_query(query, WORDS)
    with pytest.raises(UsageError, match="have no dates"):
        compile_query(query, undated)
    assert compile_query(MetricQuery(("spend",)), undated)
