"""Totals brought up to date file by file are those of a full pass over everything."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exp_platform.lake import Engine
from exp_platform.metrics.totals import compare_totals
from exp_platform.records import Covariate, ExperimentSpec
from tests.metrics.warehouse import (
    DAY,
    DEFINITIONS,
    HOUR,
    START,
    Build,
    Row,
    Warehouse,
    bought,
    define,
    exposed,
)

users = st.integers(0, 7).map("u{}".format)
instants = st.integers(-3 * 24 * 4, 6 * 24 * 4).map(
    lambda quarters: START + quarters * timedelta(minutes=15)
)
outcomes = st.fixed_dictionaries(
    {
        "user": users,
        "metric": st.sampled_from(["m", "k", "third"]),
        "value": st.sampled_from([0.0, 0.5, 1.0, 2.25, 7.0, -1.5, 0.1, 2_676_711.73]),
        "at": instants,
    }
).map(
    lambda row: row | ({"value": row["value"] / 3} if row["metric"] == "third" else {})
)
exposures = st.fixed_dictionaries(
    {
        "user": users,
        "variant": st.sampled_from(["control", "treatment"]),
        "at": st.integers(0, 4 * 24).map(lambda hours: START + hours * HOUR),
        "attributes": st.sampled_from([{"platform": "web"}, {"platform": "app"}, {}]),
        "first_seen": st.sampled_from([None, START - 9 * DAY, START]),
    }
)
events = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "user": users,
        "event": st.sampled_from(["buy", "look"]),
        "value": st.none(),
        "properties": st.sampled_from(
            [
                *({"price": price} for price in ("0.1", "0.2", "0.7", "x")),
                *({}, None),
            ]
        ),
        "at": instants,
    }
)
lost = outcomes.map(lambda row: row | {"value": None})
deliveries = st.fixed_dictionaries(
    {
        "exposures": st.lists(exposures, max_size=4),
        "outcomes": st.lists(outcomes, max_size=8),
        "fact_event": st.lists(events, max_size=4),
        "lost": st.lists(lost, max_size=1),
        # what was set aside is delivered no more
        "withdrawn": st.booleans(),
        # a file that is restated: some of its rows go, others come
        "restated": st.none() | st.integers(0, 9),
        "moved": st.integers(0, 30),
    }
)


@given(
    steps=st.lists(deliveries, min_size=2, max_size=4),
    names=st.sets(st.sampled_from(sorted(DEFINITIONS)), min_size=3, max_size=3),
)
@settings(
    max_examples=8,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_refresh_totals_equals_a_full_pass_whatever_comes_in_which_order(
    engine: Engine,
    build: Build,
    design: ExperimentSpec,
    steps: list[Row],
    names: set[str],
) -> None:
    warehouse = Warehouse(engine, design, {n: DEFINITIONS[n] for n in sorted(names)})
    watermark = START + 2 * DAY
    for number, step in enumerate(steps):
        paths = list(warehouse.files)
        if step["restated"] is not None and paths:
            path = paths[step["restated"] % len(paths)]
            table, rows = warehouse.files.pop(path)
            warehouse.write(table, [*rows[1:], *step.get(table, [])])
        if step["withdrawn"]:
            files = warehouse.files.items()
            warehouse.files = {k: file for k, file in files if file[0] != "lost"}
        for table in ("exposures", "outcomes", "fact_event", "lost"):
            if step[table]:
                warehouse.write(table, step[table])
        watermark += step["moved"] * HOUR
        done = warehouse.refresh(watermark)
        assert bool(done.full_reason) == (number == 0) or "added" in done.full_reason
        assert done.state.days == warehouse.count_cohorts()
    theirs = warehouse.full_pass(build)
    assert compare_totals(done.totals, theirs) == []


def test_refresh_totals_restates_a_covariate_whose_value_is_missing_no_more(
    engine: Engine, build: Build, design: ExperimentSpec
) -> None:
    metric = define("m", "mean", "m", window_days=1.0, covariate=Covariate("m", 2))
    warehouse = Warehouse(engine, design, {"m": metric})
    warehouse.write("exposures", [exposed("u1", 1.5), exposed("u2", 2.5)])
    warehouse.write("outcomes", [bought("u2", 2.6)])
    missing = warehouse.write("lost", [bought("u1", 1.0)])
    done = warehouse.refresh(START + 5 * DAY)
    assert done.totals["m", "all", "control"].new_share == 0.5
    del warehouse.files[missing]
    done = warehouse.refresh(START + 5 * DAY)
    assert done.stale == {"m": {_day(1)}}
    assert done.totals["m", "all", "control"].new_share == 0.0
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []
    assert warehouse.refresh(START + 5 * DAY).stale == {"m": frozenset()}


def _day(number: int) -> int:
    return (START + number * DAY - datetime(1970, 1, 1, tzinfo=UTC)).days


def test_refresh_totals_reads_new_files_and_restates_what_they_touch(
    warehouse: Warehouse, build: Build
) -> None:
    late = warehouse.write("outcomes", [bought("u10", 1.75, 3.0)])
    done = warehouse.refresh(START + 5 * DAY)
    assert [file.path for file in done.unread] == [late]
    assert done.stale == {"early": {_day(1)}, "total": {_day(1)}}
    assert (done.full_reason, done.units.n_touched) == ("", 0)
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_leaves_settled_cohorts_alone(warehouse: Warehouse) -> None:
    warehouse.write("outcomes", [bought("u10", 4.5)])
    done = warehouse.refresh(START + 6 * DAY)
    # day 4 lies behind the window of `early`, which day 3 left by the last watermark
    assert done.stale == {"early": frozenset(), "total": {_day(1)}}


def test_refresh_totals_without_news_computes_nothing(warehouse: Warehouse) -> None:
    before = warehouse.state
    done = warehouse.refresh(START + 5 * DAY)
    assert (done.unread, set(done.stale.values())) == ((), {frozenset()})
    assert before is not None
    assert done.state.cohorts == before.cohorts


def test_refresh_totals_moves_a_unit_whose_earlier_exposure_comes_late(
    warehouse: Warehouse, build: Build
) -> None:
    warehouse.write("exposures", [exposed("u30", 0.1, "control")])
    done = warehouse.refresh(START + 5 * DAY)
    assert (done.full_reason, done.units.n_touched) == ("", 1)
    assert done.stale["early"] == {_day(0), _day(3)}
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_withdraws_a_file_that_is_gone(
    warehouse: Warehouse, build: Build
) -> None:
    del warehouse.files["outcomes-004"]
    done = warehouse.refresh(START + 5 * DAY)
    assert done.stale["early"] == {_day(1)}
    assert done.totals["early", "all", "treatment"].exact_sum == "3.000000"
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_counts_rows_that_lay_behind_the_watermark(
    warehouse: Warehouse, build: Build
) -> None:
    warehouse.write("outcomes", [bought("u10", 2.0), bought("u10", 5.5, 2.0)])
    warehouse.refresh(START + 5 * DAY)
    done = warehouse.refresh(START + 6 * DAY)
    assert [file.path for file in done.unread] == ["outcomes-009"]
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


@pytest.mark.parametrize(
    ("key", "day", "reason"),
    [("other", 5, "a definition, the design"), ("k", 4, "the watermark moved back")],
)
def test_refresh_totals_reads_everything_when_what_it_stands_on_changed(
    warehouse: Warehouse, build: Build, key: str, day: int, reason: str
) -> None:
    done = warehouse.refresh(START + day * DAY, key)
    assert done.full_reason.startswith(reason)
    assert len(done.unread) == done.n_files == 8
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_adds_doubles_anew_when_sums_are_exact_no_longer(
    warehouse: Warehouse, build: Build
) -> None:
    warehouse.write("outcomes", [bought("u10", 1.5, 1 / 3)])
    done = warehouse.refresh(START + 5 * DAY)
    assert "no longer added in the same way" in done.full_reason
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


@pytest.mark.parametrize("value", [999_999.99, 1_000_000.01, -999_999_999.999999])
def test_refresh_totals_adds_amounts_of_millions(
    warehouse: Warehouse, build: Build, value: float
) -> None:
    warehouse.write("outcomes", [bought("u10", 1.5, value), bought("u10", 1.6, 0.01)])
    done = warehouse.refresh(START + 5 * DAY)
    assert not done.in_full
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_says_which_metric_has_no_partials(
    engine: Engine, design: ExperimentSpec, build: Build
) -> None:
    own = {n: DEFINITIONS[n] for n in ("early", "kinds", "walk")}
    warehouse = Warehouse(engine, design, own)
    warehouse.write("exposures", [exposed("u1", 0.5)])
    warehouse.write("outcomes", [bought("u1", 1), bought("u1", 1.25, 1e13)])
    done = warehouse.refresh(START + 5 * DAY)
    assert list(done.in_full) == ["early", "kinds", "walk"]
    assert done.in_full["early"] == "amounts are too large to be added in 64 bits"
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_of_a_metric_that_cannot_miss_a_value(
    engine: Engine, design: ExperimentSpec, build: Build
) -> None:
    warehouse = Warehouse(engine, design, {"bought": DEFINITIONS["bought"]})
    warehouse.write("exposures", [exposed("u1", 0.5)])
    at = START + DAY
    event = {"id": "e", "user": "u1", "event": "buy", "value": None, "at": at}
    warehouse.write("fact_event", [{**event, "properties": {}}])
    done = warehouse.refresh(START + 5 * DAY)
    assert done.totals["bought", "all", "control"].mean == 1
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_never_counts_a_removed_file_again(
    warehouse: Warehouse, build: Build
) -> None:
    """The number of a file that went for good is not given to the next one."""
    last = warehouse.write("outcomes", [bought("u10", 1.75, 300.0)])
    warehouse.refresh(START + 5 * DAY)
    del warehouse.files[last]
    warehouse.refresh(START + 5 * DAY)
    warehouse.write("outcomes", [bought("u11", 1.75, 2.0)])
    done = warehouse.refresh(START + 5 * DAY)
    assert done.full_reason == ""
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_drops_dead_partials_once_they_are_most(
    warehouse: Warehouse, build: Build
) -> None:
    compacted = []
    for number in range(6):
        path = next(p for p in warehouse.files if p.startswith("outcomes"))
        _, rows = warehouse.files.pop(path)
        warehouse.write("outcomes", [*rows[1:], bought(f"u{number % 4}1", 2.0)])
        if number % 3 == 0:
            # an earlier exposure comes late and moves a unit
            warehouse.write("exposures", [exposed(f"u{number % 4}2", 0.1)])
        done = warehouse.refresh(START + 5 * DAY)
        assert done.full_reason == ""
        compacted.append(done.is_compacted)
        n_stored = sum(part.num_rows for part in warehouse.partials)
        n_full = _count_in_full(warehouse)
        if done.is_compacted:
            assert n_stored == n_full
            assert compare_totals(done.totals, warehouse.full_pass(build)) == []
        # those stored before were at least half alive, and one refresh adds to them
        assert n_full <= n_stored <= 3 * n_full
    assert 0 < sum(compacted) < len(compacted)
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def _count_in_full(warehouse: Warehouse) -> int:
    """Partials that a first refresh would store."""
    own = (warehouse.spec, warehouse.definitions, dict(warehouse.files))
    twin = Warehouse(warehouse.engine, *own)
    twin.refresh(warehouse.spec.watermark_ts)
    return twin.partials[0].num_rows
