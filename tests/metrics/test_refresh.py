"""Totals brought up to date file by file are those of a full pass over everything."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exp_platform.lake import Engine
from exp_platform.metrics.models import find_needed
from exp_platform.metrics.refresh import Refreshed, refresh_totals
from exp_platform.metrics.refresh_work import (
    STORED_PARTIALS,
    STORED_UNITS,
    RefreshState,
)
from exp_platform.metrics.refreshed_rows import NEW_PARTIALS
from exp_platform.metrics.refreshed_units import NEW_UNITS
from exp_platform.metrics.source_files import SourceFile
from exp_platform.metrics.totals import Key, compare_totals, read_totals
from exp_platform.records import (
    AnalysisPlan,
    Covariate,
    Direction,
    ExperimentSpec,
    FunnelStep,
    MetricDefinition,
    MetricTotals,
    MetricType,
    RowRule,
    SourceKind,
)
from exp_platform.schemas import arrow_schema

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
Row = dict[str, Any]
Build = Callable[..., Engine]


def _metric(name: str, kind: str, numerator: str, **rest: Any) -> MetricDefinition:
    return MetricDefinition(
        name, 1, MetricType(kind), Direction.INCREASE, numerator, **rest
    )


def _event(passes: str = "", value: str = "") -> RowRule:
    return RowRule(SourceKind.EVENT, passes, value)


METRICS = (
    _metric("total", "mean", "m", covariate=Covariate("m", 2), cap=9.0),
    _metric("early", "mean", "m", window_days=1.0, rows=RowRule(filter="value >= 1")),
    _metric("scaled", "mean", "k", rows=RowRule(value="value * 0.1"), window_days=2.0),
    _metric("inexact", "mean", "third", window_days=2.0),
    _metric("rows", "count", "k", aggregation="count"),
    _metric("best", "mean", "m", aggregation="max", window_days=2.0),
    _metric("ever", "proportion", "k", covariate=Covariate("k", 1)),
    _metric("back", "retention", "m", delay_days=1.0, window_days=1.0),
    _metric("per_row", "ratio", "m", denominator="k", window_days=2.0),
    _metric("by_date", "count", "m", is_day_grained=True, window_days=1.0),
    _metric("kinds", "count", "m", aggregation="distinct", window_days=2.0),
    _metric("paid", "mean", "buy", rows=_event(value="properties.price")),
    _metric("bought", "proportion", "buy", rows=_event(), window_days=1.5),
    _metric("walk", "funnel", "buy", window_days=2.0,
            steps=(FunnelStep("m"), FunnelStep("buy", _event()))),
    _metric("half", "quantile", "m", quantile=0.5, is_of_rows=True, window_days=2.0),
)  # fmt: skip
DEFINITIONS = {metric.name: metric for metric in METRICS}
NEEDED = find_needed("metric_aggregates_overall")


@dataclass
class Warehouse:
    """Data files that come and go, and what refreshes leave from one to the next."""

    engine: Engine
    spec: ExperimentSpec
    definitions: dict[str, MetricDefinition]
    files: dict[str, tuple[str, list[Row]]] = field(default_factory=dict)
    state: RefreshState | None = None
    partials: list[pa.Table] = field(default_factory=list)
    units: list[pa.Table] = field(default_factory=list)
    n_written: int = 0

    def write(self, table: str, rows: Sequence[Row]) -> str:
        self.n_written += 1
        path = f"{table}-{self.n_written:03d}"
        self.files[path] = (table, list(rows))
        return path

    def rows(self, table: str) -> list[Row]:
        found = [rows for kind, rows in self.files.values() if kind == table]
        return [row for rows in found for row in rows]

    def refresh(self, watermark: datetime, key: str = "k") -> Refreshed:
        self.spec = replace(self.spec, watermark_ts=watermark)
        sources = []
        for path, (table, rows) in self.files.items():
            name = f"exp_run.file_{path.replace('-', '_')}"
            _register(self.engine, name, table, [_typed(table, row) for row in rows])
            sources.append(SourceFile(table, path, f"select * from {name}"))
        lost = [row for row in self.rows("lost") if row]
        quarantine = [_typed("lost", row) for row in lost]
        _register(self.engine, "exp.quarantine", "quarantine", quarantine)
        if self.partials:
            stored = pa.concat_tables(self.partials)
            self.engine.register(STORED_PARTIALS, stored)
            self.engine.register(STORED_UNITS, pa.concat_tables(self.units))
        done = refresh_totals(
            self.engine,
            self.spec,
            self.definitions,
            [source for source in sources if source.table != "lost"],
            key=key,
            before=self.state,
        )
        if done.replaces_partials:
            self.partials = []
        self.partials.append(self.engine.arrow(f"from {NEW_PARTIALS}"))
        if done.units.is_whole:
            self.units = []
        if done.units.is_any:
            self.units.append(self.engine.arrow(f"from {NEW_UNITS}"))
        self.state = done.state
        return done

    def full_pass(self, build: Build) -> dict[Key, MetricTotals]:
        outcomes = [*self.rows("outcomes"), *self.rows("lost")]
        events = self.rows("fact_event")
        exposures = self.rows("exposures")
        build(
            exposures,
            outcomes,
            [*self.definitions.values()],
            self.spec,
            events,
            only=NEEDED,
        )
        found = self.engine.records("from exp_run.metric_aggregates_overall")
        return {
            key: arm
            for key, arm in read_totals(found).items()
            if not key[1].startswith("population=")
        }


def _register(engine: Engine, name: str, table: str, rows: list[Row]) -> None:
    schema = arrow_schema("quarantine" if table == "lost" else table)
    engine.register(name, pa.Table.from_pylist(rows, schema=schema))


def _typed(table: str, row: Row) -> Row:
    import json

    common = {"experiment_id": "exp_a", "user_id": row["user"]}
    if table == "exposures":
        attributes = list(row["attributes"].items())
        return common | {
            "variant": row["variant"], "exposure_ts": row["at"], "unit": "user",
            "attributes": attributes, "first_seen_ts": row.get("first_seen"),
        }  # fmt: skip
    if table == "outcomes":
        return common | {
            "metric_name": row["metric"], "value": row["value"], "outcome_ts": row["at"]
        }  # fmt: skip
    if table == "fact_event":
        return {
            "event_id": row["id"], "namespace": "shop", "event_date": row["at"].date(),
            "user_id": row["user"], "is_known": True, "event_name": row["event"],
            "event_ts": row["at"], "client_ts": row["at"], "received_ts": row["at"],
            "value": row["value"], "properties": list(row["properties"].items()),
            "source_file": "f", "source_row": 1,
        }  # fmt: skip
    lost = {
        "user_id": row["user"], "metric_name": row["metric"], "value": None,
        "outcome_ts": f"{row['at']:%Y-%m-%d %H:%M:%S.%f}+00",
    }  # fmt: skip
    return {
        "experiment_id": "exp_a", "table_name": "outcomes", "row_number": 1,
        "reason": "MISSING_VALUE", "payload": json.dumps(lost), "run_id": "r",
        "computed_at": START,
    }  # fmt: skip


users = st.integers(0, 7).map("u{}".format)
instants = st.integers(-3 * 24 * 4, 6 * 24 * 4).map(
    lambda quarters: START + quarters * timedelta(minutes=15)
)
outcomes = st.fixed_dictionaries(
    {
        "user": users,
        "metric": st.sampled_from(["m", "k", "third"]),
        "value": st.sampled_from([0.0, 0.5, 1.0, 2.25, 7.0, -1.5, 0.1]),
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
            [{"price": "0.1"}, {"price": "0.2"}, {"price": "0.7"}, {"price": "x"}, {}]
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
        # a file that is restated: some of its rows go, others come
        "restated": st.none() | st.integers(0, 9),
        "moved": st.integers(0, 30),
    }
)


@pytest.fixture(scope="module")
def design(spec: Callable[..., ExperimentSpec]) -> ExperimentSpec:
    return spec(plan=AnalysisPlan(metrics=(), segments=("platform",)), namespace="shop")


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
        for table in ("exposures", "outcomes", "fact_event", "lost"):
            if step[table]:
                warehouse.write(table, step[table])
        watermark += step["moved"] * HOUR
        done = warehouse.refresh(watermark)
        assert bool(done.full_reason) == (number == 0) or "added" in done.full_reason
    theirs = warehouse.full_pass(build)
    assert compare_totals(done.totals, theirs) == []


def _exposed(user: str, day: float, variant: str = "control") -> Row:
    at = START + day * DAY
    return {"user": user, "variant": variant, "at": at, "attributes": {}}


def _bought(user: str, day: float, value: float = 1.0) -> Row:
    return {"user": user, "metric": "m", "value": value, "at": START + day * DAY}


@pytest.fixture
def warehouse(engine: Engine, design: ExperimentSpec) -> Warehouse:
    """Four days with an exposure each, refreshed to the end of day 5."""
    made = Warehouse(engine, design, {n: DEFINITIONS[n] for n in ("early", "total")})
    for day in range(4):
        arm = ("control", "treatment")[day % 2]
        rows = [_exposed(f"u{day}{i}", day + 0.25, arm) for i in range(3)]
        made.write("exposures", rows)
        made.write("outcomes", [_bought(row["user"], day + 0.5) for row in rows])
    done = made.refresh(START + 5 * DAY)
    assert done.full_reason == "there is no earlier refresh"
    return made


def _day(number: int) -> int:
    return (START + number * DAY - datetime(1970, 1, 1, tzinfo=UTC)).days


def test_refresh_totals_reads_new_files_and_restates_what_they_touch(
    warehouse: Warehouse, build: Build
) -> None:
    late = warehouse.write("outcomes", [_bought("u10", 1.75, 3.0)])
    done = warehouse.refresh(START + 5 * DAY)
    assert [file.path for file in done.unread] == [late]
    assert done.stale == {"early": {_day(1)}, "total": {_day(1)}}
    assert (done.full_reason, done.units.n_touched) == ("", 0)
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_leaves_settled_cohorts_alone(warehouse: Warehouse) -> None:
    warehouse.write("outcomes", [_bought("u10", 4.5)])
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
    warehouse.write("exposures", [_exposed("u30", 0.1, "control")])
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
    warehouse.write("outcomes", [_bought("u10", 2.0), _bought("u10", 5.5, 2.0)])
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
    warehouse.write("outcomes", [_bought("u10", 1.5, 1 / 3)])
    done = warehouse.refresh(START + 5 * DAY)
    assert "no longer added in the same way" in done.full_reason
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_says_which_metric_has_no_partials(
    engine: Engine, design: ExperimentSpec, build: Build
) -> None:
    own = {n: DEFINITIONS[n] for n in ("early", "kinds", "walk")}
    warehouse = Warehouse(engine, design, own)
    warehouse.write("exposures", [_exposed("u1", 0.5)])
    warehouse.write("outcomes", [_bought("u1", 1), _bought("u1", 1.25, 1e13)])
    done = warehouse.refresh(START + 5 * DAY)
    assert list(done.in_full) == ["early", "kinds", "walk"]
    assert done.in_full["early"] == "amounts are too large to be added in 64 bits"
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_of_a_metric_that_cannot_miss_a_value(
    engine: Engine, design: ExperimentSpec, build: Build
) -> None:
    warehouse = Warehouse(engine, design, {"bought": DEFINITIONS["bought"]})
    warehouse.write("exposures", [_exposed("u1", 0.5)])
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
    last = warehouse.write("outcomes", [_bought("u10", 1.75, 300.0)])
    warehouse.refresh(START + 5 * DAY)
    del warehouse.files[last]
    warehouse.refresh(START + 5 * DAY)
    warehouse.write("outcomes", [_bought("u11", 1.75, 2.0)])
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
        warehouse.write("outcomes", [*rows[1:], _bought(f"u{number % 4}1", 2.0)])
        if number % 3 == 0:
            # an earlier exposure comes late and moves a unit
            warehouse.write("exposures", [_exposed(f"u{number % 4}2", 0.1)])
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


INSTANT = timedelta(microseconds=1)
EDGED = ("by_date", "early", "ever", "rows", "scaled", "total")


@pytest.mark.parametrize("metric", ["m", "k"])
def test_refresh_totals_takes_in_single_rows_at_the_edges_of_every_window(
    engine: Engine, design: ExperimentSpec, build: Build, metric: str
) -> None:
    """A file of one row spans an instant: no unit is left out that it may count for."""
    warehouse = Warehouse(engine, design, {n: DEFINITIONS[n] for n in EDGED})
    warehouse.write("exposures", [_exposed(f"u{n}", 3.5 + n / 4) for n in range(4)])
    warehouse.refresh(START + 9 * DAY)
    # before and behind the exposure of u0 and its midnight, by the lengths in use
    edges = [START + days * DAY for days in (1.5, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5)]
    for number, edge in enumerate(edges):
        for at in (edge - INSTANT, edge):
            # no sum of others is the same: a row that is lost or too many shows
            value = 2.0 ** (2 * number + (at == edge))
            row = {"user": "u0", "metric": metric, "value": value, "at": at}
            warehouse.write("outcomes", [row])
            done = warehouse.refresh(START + 9 * DAY)
            assert done.full_reason == ""
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_tells_a_missing_value_of_a_metric_without_partials(
    engine: Engine, design: ExperimentSpec, build: Build
) -> None:
    kinds = _metric(
        "prices", "count", "buy", rows=_event(value="properties.price"),
        aggregation="distinct", window_days=2.0,
    )  # fmt: skip
    warehouse = Warehouse(engine, design, {"prices": kinds})
    warehouse.write("exposures", [_exposed("u1", 0.5), _exposed("u2", 1.5)])
    for number, properties in enumerate(({"price": "0.1"}, {})):
        event = {"id": f"e{number}", "user": f"u{number + 1}", "event": "buy"}
        at = START + 2 * DAY
        event |= {"value": None, "at": at, "properties": properties}
        warehouse.write("fact_event", [event])
        done = warehouse.refresh(START + 5 * DAY)
    assert done.totals["prices", "all", "control"].n_missing == 1
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_stores_new_units_beside_those_that_stand(
    warehouse: Warehouse, build: Build
) -> None:
    # u00 is seen again, later: that changes nothing of it
    again = [_exposed("u00", 3.75), _exposed("u40", 3.25), _exposed("u41", 3.25)]
    warehouse.write("exposures", again)
    warehouse.write("outcomes", [_bought("u40", 3.5, 8.0), _bought("u00", 0.75, 16.0)])
    done = warehouse.refresh(START + 6 * DAY)
    assert (done.units.n_touched, done.units.n_new) == (2, 2)
    assert (done.units.is_whole, done.units.is_moved) == (False, False)
    assert [table.num_rows for table in warehouse.units] == [12, 2]
    # the same of the units that were added
    warehouse.write("exposures", [_exposed("u40", 3.75), _exposed("u42", 3.0)])
    warehouse.write("outcomes", [_bought("u42", 4.5, 32.0), _bought("u40", 4.9, 64.0)])
    done = warehouse.refresh(START + 6 * DAY)
    assert [table.num_rows for table in warehouse.units] == [12, 2, 1]
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


@pytest.mark.parametrize(
    ("change", "is_moved"),
    [
        # at the same instant the arm that sorts first counts
        ({"variant": "control"}, False),
        ({"at": START + 1.1 * DAY}, True),
    ],
)
def test_refresh_totals_stores_all_units_when_one_is_another(
    warehouse: Warehouse, build: Build, change: Row, *, is_moved: bool
) -> None:
    first = _exposed("u10", 1.25, "treatment")
    warehouse.write("exposures", [first | change, _exposed("u43", 3.5)])
    done = warehouse.refresh(START + 5 * DAY)
    assert (done.units.is_whole, done.units.is_moved) == (True, is_moved)
    assert (done.units.n_touched, done.units.n_new) == (2, 1)
    assert [table.num_rows for table in warehouse.units] == [13]
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []


def test_refresh_totals_forgets_a_unit_whose_exposures_are_gone(
    warehouse: Warehouse, build: Build
) -> None:
    _, rows = warehouse.files.pop("exposures-003")
    warehouse.write("exposures", rows[1:])
    done = warehouse.refresh(START + 5 * DAY)
    assert (done.units.is_whole, done.units.is_moved) == (True, True)
    assert compare_totals(done.totals, warehouse.full_pass(build)) == []
