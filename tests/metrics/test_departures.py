"""Each departure changes the models it is about and no other."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import UsageError
from exp_platform.metrics.departures import (
    _ALL_PAST_DAYS,
    DEPARTURES,
    Subject,
    _depart,
    shift_hours,
    shift_zone,
    write_models,
)
from exp_platform.metrics.foreign_query import find_tables
from exp_platform.metrics.measures import value_part
from exp_platform.metrics.rebuild import Rebuilder
from exp_platform.records import (
    Direction,
    MetricDefinition,
    MetricType,
    RowRule,
    SourceKind,
)

SOURCES = {"stg_outcomes", "stg_exposures", "stg_events"}
MISSING = {"int_missing_values", "int_missing_events"}
ROWS = {"int_unit_outcomes", "int_unit_events", *MISSING}
SPAN = {"metric_observations", "metric_missing_values"}
TOUCHED = {
    "all_assigned": {"stg_exposures"},
    "before_exposure": SPAN,
    "from_start": SPAN | ROWS,
    "crossover_dropped": {"experiment_assignments"},
    "crossover_in_each_arm": {"int_first_exposures"},
    "every_exposure": {"int_first_exposures"},
    "copies_kept": SOURCES,
    "bots_kept": {"experiment_assignments"},
    "bots_dropped": {"experiment_assignments"},
    "after_watermark": ROWS | {"int_bot_units"},
    "not_yet_received": {"stg_outcomes", "stg_events"},
    "no_delay": SPAN,
    "no_window": SPAN,
    "no_cap": {"metric_observations"},
    "immature_kept": {"int_incomplete_units"},
    "missing_kept": {"int_incomplete_units"},
    "rows_only": {"metric_calculations"},
}
DEFINITION = MetricDefinition(
    "paid",
    1,
    MetricType.RATIO,
    Direction.INCREASE,
    "revenue",
    denominator="visit",
    denominator_rows=RowRule(SourceKind.EVENT),
    delay_days=0.1,
    window_days=2.3,
    cap=20.0,
)


@pytest.fixture
def subject(spec: Any) -> Subject:
    return Subject(spec(), DEFINITION, frozenset())


@pytest.mark.parametrize("code", DEPARTURES)
def test_write_models_changes_only_what_the_departure_is_about(
    subject: Subject, code: str
) -> None:
    plain = write_models(subject, has_covariates=False)
    other = write_models(subject, [DEPARTURES[code]], has_covariates=False)
    changed = {name for name in plain if plain[name] != other[name]}
    assert changed == TOUCHED[code]


def test_write_models_reads_every_source_on_another_clock(subject: Subject) -> None:
    plain = write_models(subject, has_covariates=False)
    for clock in (shift_hours(-330), shift_zone("Europe/Berlin")):
        other = write_models(subject, [clock], has_covariates=False)
        changed = {name for name in plain if plain[name] != other[name]}
        assert changed == SOURCES | MISSING


def test_shift_hours_is_named_after_its_offset() -> None:
    assert shift_hours(-330).code == "UTC-05:30"
    assert shift_hours(840).code == "UTC+14:00"


@given(st.floats(0, 60), st.floats(0.01, 60))
def test_before_exposure_ends_at_the_same_microsecond(
    delay: float, length: float
) -> None:
    plain = replace(DEFINITION, delay_days=delay, window_days=length)
    chosen = {"before_exposure": DEPARTURES["before_exposure"]}
    ours = value_part(plain).span.upper_us
    theirs = value_part(_depart(plain, chosen)).span.upper_us
    assert ours is not None
    assert theirs is not None
    assert abs(ours - theirs) <= 1
    if (length * 24).is_integer() and delay == 0:
        assert ours == theirs


def test_before_exposure_reaches_back_to_the_first_instant(subject: Subject) -> None:
    first = datetime(1970, 1, 1, tzinfo=UTC)
    reach = timedelta(days=_ALL_PAST_DAYS)
    assert datetime(2057, 1, 1, tzinfo=UTC) - reach <= first
    assert subject.spec.end_ts - reach <= first


def test_rebuilder_passes_over_comments_and_texts(engine: Any) -> None:
    texts = {
        "stg_outcomes": "select 1 as x",
        "int_bot_units": "-- the unit's exp_run.stg_outcomes\n"
        "select 'exp_run.stg_outcomes' as y, x from exp_run.stg_outcomes",
    }
    rebuilder = Rebuilder(engine)
    relation = rebuilder.build(texts, ["int_bot_units"])["int_bot_units"]
    assert engine.rows(f"from {relation}") == [("exp_run.stg_outcomes", 1)]
    rebuilder.forget()


def test_rebuilder_builds_equal_texts_once_and_forgets(
    engine: Any, subject: Subject
) -> None:
    rebuilder = Rebuilder(engine)
    texts = {
        "stg_outcomes": "select 1 as x",
        "int_bot_units": "from exp_run.stg_outcomes",
    }
    first = rebuilder.build(texts, ["int_bot_units"])
    rebuilder.keep()
    assert rebuilder.build(texts, ["int_bot_units"]) == first
    other = rebuilder.build(
        texts | {"stg_outcomes": "select 2 as x"}, ["int_bot_units"]
    )
    assert engine.rows(f"from {other['int_bot_units']}") == [(2,)]
    assert engine.rows(f"from {first['int_bot_units']}") == [(1,)]
    rebuilder.forget()
    left = engine.rows(
        "select count(*) from information_schema.tables"
        " where table_name like 'version_%'"
    )
    assert left == [(2,)]
    for kind, name in (("table", "int_bot_units"), ("view", "stg_outcomes")):
        engine.execute(f"drop {kind} {first[name]}")
    assert subject.goals == ("metric_calculations",)


KNOWN = ("outcomes", "exposures")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1", ()),
        ("select count(*) from outcomes", ("outcomes",)),
        ("select count(*) from EXP.Outcomes o", ("outcomes",)),
        ("from iceberg.exp.outcomes", ("outcomes",)),
        ("with a as (select * from outcomes) select count(*) from a", ("outcomes",)),
        (
            "select (select max(value) from outcomes), count(*) from exposures",
            KNOWN[::-1],
        ),
        ("select 1 union all select count(*) from exposures", ("exposures",)),
        ("select sum(x) from unnest([1, 2]) as t(x)", ()),
        ("select sum(i) from range(3) as t(i)", ()),
    ],
)
def test_find_tables_of_one_select(sql: str, expected: tuple[str, ...]) -> None:
    assert find_tables(sql, KNOWN) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "select 1; select 2",
        "drop table outcomes",
        "insert into outcomes select * from outcomes",
        "create table a as select 1",
        "copy outcomes to 'x'",
        "select * from 'x.parquet'",
        'select * from "x.parquet"',
        "select * from read_parquet('x')",
        "select * from exp_run.outcomes",
        "select * from other.exp.outcomes",
        "select * from secrets",
        "select * from query('select 1')",
        "with outcomes as (select * from passwords) select * from outcomes",
        "pragma database_list",
        "set threads = 1",
        "select " + "1 + " * 60_000 + "1",
    ],
)
def test_find_tables_refuses_anything_else(sql: str) -> None:
    with pytest.raises(UsageError):
        find_tables(sql, KNOWN)
