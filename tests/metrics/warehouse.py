"""Data files that come and go, for tests of refreshed totals."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from exp_platform.lake import Engine
from exp_platform.metrics.models import find_needed
from exp_platform.metrics.refresh import Refreshed, refresh_totals
from exp_platform.metrics.refresh_work import (
    STORED_PARTIALS,
    STORED_UNITS,
    RefreshState,
)
from exp_platform.metrics.refreshed_rows import NEW_PARTIALS
from exp_platform.metrics.refreshed_units import (
    NEW_UNITS,
    Cohort,
    UnitsChange,
    list_cohorts,
)
from exp_platform.metrics.source_files import SourceFile
from exp_platform.metrics.totals import Key, read_totals
from exp_platform.records import (
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


def define(name: str, kind: str, numerator: str, **rest: Any) -> MetricDefinition:
    return MetricDefinition(
        name, 1, MetricType(kind), Direction.INCREASE, numerator, **rest
    )


def event_rule(passes: str = "", value: str = "") -> RowRule:
    return RowRule(SourceKind.EVENT, passes, value)


METRICS = (
    define("total", "mean", "m", covariate=Covariate("m", 2), cap=9.0),
    define("early", "mean", "m", window_days=1.0, rows=RowRule(filter="value >= 1")),
    define("scaled", "mean", "k", rows=RowRule(value="value * 0.1"), window_days=2.0),
    define("inexact", "mean", "third", window_days=2.0),
    define("rows", "count", "k", aggregation="count"),
    define("best", "mean", "m", aggregation="max", window_days=2.0),
    define("ever", "proportion", "k", covariate=Covariate("k", 1)),
    define("back", "retention", "m", delay_days=1.0, window_days=1.0),
    define("per_row", "ratio", "m", denominator="k", window_days=2.0),
    define("by_date", "count", "m", is_day_grained=True, window_days=1.0),
    define("kinds", "count", "m", aggregation="distinct", window_days=2.0),
    define("paid", "mean", "buy", rows=event_rule(value="properties.price")),
    define("bought", "proportion", "buy", rows=event_rule(), window_days=1.5),
    define("walk", "funnel", "buy", window_days=2.0,
            steps=(FunnelStep("m"), FunnelStep("buy", event_rule()))),
    define("half", "quantile", "m", quantile=0.5, is_of_rows=True, window_days=2.0),
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
            known = [_typed(table, row) for row in rows if not _is_refused(row)]
            _register(self.engine, name, table, known)
            sources.append(SourceFile(table, path, f"select * from {name}"))
        lost = [row for row in self.rows("lost") if row]
        quarantine = [_typed("lost", row) for row in lost]
        _register(self.engine, "exp.quarantine", "quarantine", quarantine)
        refused = [row for row in self.rows("fact_event") if _is_refused(row)]
        events = [_typed("event_quarantine", row) for row in refused]
        _register(self.engine, "exp.event_quarantine", "event_quarantine", events)
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

    def count_cohorts(self) -> dict[int, Cohort]:
        """The cohorts by their units, whatever is remembered of them."""
        counted = list_cohorts(self.engine, UnitsChange(is_whole=True), {}, batch=-1)
        days = self.state.days if self.state else {}
        return {
            day: replace(
                own,
                first_new_us=days[day].first_new_us,
                has_missing=days[day].has_missing,
            )
            for day, own in counted.items()
        }

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


def _is_refused(row: Row) -> bool:
    return bool(row.get("properties", {}) is None)


def _typed(table: str, row: Row) -> Row:
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
    if table == "event_quarantine":
        return {
            "namespace": "shop", "source_file": "f", "source_row": 1,
            "reason": "BAD_PROPERTIES", "event_name": row["event"],
            "user_id": row["user"], "event_ts": row["at"], "payload": "{}",
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


def exposed(user: str, day: float, variant: str = "control") -> Row:
    at = START + day * DAY
    return {"user": user, "variant": variant, "at": at, "attributes": {}}


def bought(user: str, day: float, value: float = 1.0) -> Row:
    return {"user": user, "metric": "m", "value": value, "at": START + day * DAY}
