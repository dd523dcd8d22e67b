"""What one engine wrote, every reader reads: rows now, rows of a snapshot, rows of a tag."""

from typing import Any

import pyarrow as pa
import pytest

from exp_platform.lake import open_lake
from exp_platform.schemas import arrow_schema

TABLES = (
    "exposures",
    "outcomes",
    "experiment_registry",
    "experiment_assignments",
    "metric_calculations",
    "metric_aggregates_overall",
    "metric_aggregates_daily",
    "metric_aggregates_by_age",
    "experiment_results",
    "analysis_results",
    "check_results",
    "decisions",
    "analysis_runs",
)
TRAVEL = "contract_travel"


@pytest.mark.parametrize("table", TABLES)
def test_reader_sees_what_the_last_engine_wrote(
    workspace: Any, readers: Any, engine: str, table: str
) -> None:
    name = "contract_plain"
    last = workspace.history(name)[-1]
    written = last.ledger if table == "analysis_runs" else last.tables[table]
    found = readers.read(engine, table, f"where experiment_id = '{name}'")
    assert len(found) > 0
    assert found == readers.shown(written)


@pytest.fixture(scope="module")
def travelled(workspace: Any) -> Any:
    """Rows of an experiment's states by snapshot id; the first one has a tag."""
    states = {}
    with open_lake(workspace.settings()) as lake:
        for value in (1.0, 2.0, 3.0):
            rows = outcomes(value)
            state = lake.replace_experiment("outcomes", TRAVEL, rows)
            states[state.snapshot_id] = rows.to_pylist()
    return states


def test_reader_sees_every_snapshot_as_it_was(
    readers: Any, travelled: Any, engine: str
) -> None:
    where = f"where experiment_id = '{TRAVEL}'"
    assert len(travelled) == 3
    for snapshot_id, rows in travelled.items():
        found = readers.read(engine, "outcomes", where, snapshot_id)
        assert found == readers.shown(rows), snapshot_id


def test_a_tag_outlives_the_runs_after_it(
    workspace: Any, readers: Any, travelled: Any, engine: str
) -> None:
    """Tagged by the engine itself, or by PyIceberg beside DuckDB."""
    snapshot_id, rows = next(reversed(travelled.items()))
    with open_lake(workspace.settings()) as lake:
        if engine == "spark":
            place = "alter table iceberg.exp.outcomes create or replace tag"
            readers.sql("spark", f"{place} by_{engine} as of version {snapshot_id}")
        else:
            # Trino reads tags and makes none
            tag = f"by_{engine}"
            workspace.change("outcomes", lambda table: add_tag(table, snapshot_id, tag))
        for number in range(12):
            rows_after = outcomes(float(number), f"{TRAVEL}_2")
            lake.replace_experiment("outcomes", f"{TRAVEL}_2", rows_after)
        kept = [state.snapshot_id for state in lake.history("outcomes")]
        assert snapshot_id in kept
        assert len(kept) < 3 + 12
    where = f"where experiment_id = '{TRAVEL}'"
    version = snapshot_id if engine == "duckdb" else f"by_{engine}"
    assert readers.read(engine, "outcomes", where, version) == readers.shown(rows)


def add_tag(table: Any, snapshot_id: int, tag: str) -> None:
    with table.manage_snapshots() as change:
        change.create_tag(snapshot_id, tag)


def outcomes(value: float, experiment_id: str = TRAVEL) -> pa.Table:
    """A few rows of an experiment."""
    schema = arrow_schema("outcomes")
    instant = pa.scalar(1_767_312_000_000_000, pa.timestamp("us", "UTC"))
    columns: dict[str, Any] = {
        "experiment_id": [experiment_id] * 4,
        "user_id": [f"u{n}" for n in range(4)],
        "metric_name": ["revenue"] * 4,
        "value": [value] * 4,
        "outcome_ts": [instant.as_py()] * 4,
        "received_ts": [None] * 4,
    }
    return pa.table(columns, schema=schema)
