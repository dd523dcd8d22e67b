"""Rows, deletions and columns that another program brings are honoured by every engine.

Each engine measures what a different one wrote; DuckDB what PyIceberg wrote.
"""

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.expressions import And, EqualTo
from pyiceberg.types import StringType

from exp_platform.lake import open_lake
from exp_platform.pipelines.compute_metric_aggregates import run_alone
from exp_platform.pipelines.run import open_run
from exp_platform.pipelines.run_end_to_end import run_end_to_end
from exp_platform.schemas import arrow_schema

WRITER_OF = {"duckdb": "pyiceberg", "spark": "trino", "trino": "spark"}
EXTENDED = "contract_guardrail"
CUT = "contract_lost"
NOTED = "contract_noted"
TABLE = "iceberg.exp.outcomes"
pytestmark = pytest.mark.reads(EXTENDED)


def test_rows_another_engine_adds_are_measured(
    workspace: Any, readers: Any, engine: str
) -> None:
    before = workspace.history(EXTENDED)[-1].tables
    unit = min(before["exposures"], key=lambda row: row["user_id"])
    row = {
        "experiment_id": EXTENDED,
        "user_id": unit["user_id"],
        "metric_name": "revenue",
        "value": 1000.5,
        "outcome_ts": unit["exposure_ts"] + timedelta(minutes=1),
        "received_ts": None,
    }
    add(workspace, readers, WRITER_OF[engine], row)
    settings = workspace.settings(engine)
    with open_run(settings, EXTENDED, "compute_metric_aggregates") as run:
        run_alone(run)
        run.publish()
    assert engine == "duckdb" or f"metrics by {engine}" in run.engines
    for arm in ("control", "treatment"):
        had, has = (
            revenue(rows, arm)
            for rows in (before["metric_aggregates_overall"], overall(workspace))
        )
        is_own = arm == unit["variant"]
        assert float(has["exact_sum"]) - float(had["exact_sum"]) == 1000.5 * is_own
        assert has["n"] == had["n"]
    run_end_to_end(workspace.settings(), EXTENDED)
    assert count(workspace, EXTENDED) == len(before["outcomes"])
    for arm in ("control", "treatment"):
        had, has = (
            revenue(rows, arm)
            for rows in (before["metric_aggregates_overall"], overall(workspace))
        )
        assert (has["n"], has["exact_sum"]) == (had["n"], had["exact_sum"])


def test_rows_another_engine_deletes_are_gone_until_the_next_run(
    workspace: Any, readers: Any, engine: str
) -> None:
    before = workspace.history(CUT)[-1].tables["outcomes"]
    writer = WRITER_OF[engine]
    if writer == "pyiceberg":
        own = EqualTo("experiment_id", CUT)
        revenue = And(own, EqualTo("metric_name", "revenue"))
        workspace.change("outcomes", lambda table: table.delete(revenue))
    else:
        what = f"experiment_id = '{CUT}' and metric_name = 'revenue'"
        readers.sql(writer, f"delete from {TABLE} where {what}")
    left = [row for row in before if row["metric_name"] != "revenue"]
    assert 0 < len(left) < len(before)
    where = f"where experiment_id = '{CUT}'"
    assert readers.read(engine, "outcomes", where) == readers.shown(left)
    run_end_to_end(workspace.settings(), CUT)
    assert readers.read(engine, "outcomes", where) == readers.shown(before)


def test_a_column_another_engine_adds_stays(
    workspace: Any, readers: Any, engine: str
) -> None:
    writer = WRITER_OF[engine]
    column = f"note_by_{writer}"
    row = {
        "experiment_id": f"{NOTED}_{writer}",
        "user_id": "u1",
        "metric_name": "revenue",
        "value": 2.5,
        "outcome_ts": workspace.history(CUT)[-1].run["computed_at"],
        "received_ts": None,
    }
    if writer == "pyiceberg":
        workspace.change("outcomes", lambda table: add_column(table, column))
    else:
        readers.sql(writer, f"alter table {TABLE} add column {column} {TEXT[writer]}")
    add(workspace, readers, writer, row | {column: "seen"})
    run_end_to_end(workspace.settings(), CUT)
    where = f"where experiment_id = '{NOTED}_{writer}'"
    assert readers.read(engine, "outcomes", where) == readers.shown([row])
    assert notes(workspace, readers, engine, column) == ["seen"]
    run_end_to_end(workspace.settings(), CUT)
    assert notes(workspace, readers, engine, column) == ["seen"]


def add_column(table: Any, name: str) -> None:
    with table.update_schema() as change:
        change.add_column(name, StringType())


TEXT = {"spark": "string", "trino": "varchar"}


def add(workspace: Any, readers: Any, writer: str, row: dict[str, Any]) -> None:
    """One more row of `outcomes`, by another program."""
    if writer == "pyiceberg":
        schema = arrow_schema("outcomes")
        for name in row.keys() - set(schema.names):
            schema = schema.append(pa.field(name, pa.string()))
        rows = pa.Table.from_pylist([row], schema=schema)
        workspace.change("outcomes", lambda table: table.append(rows))
        return
    zone = " UTC" if writer == "trino" else ""
    values = {k: f"'{v}'" for k, v in row.items() if isinstance(v, str)}
    values["value"] = f"cast({row['value']} as double)"
    instant = row["outcome_ts"].strftime("%Y-%m-%d %H:%M:%S.%f")
    values["outcome_ts"] = f"timestamp '{instant}{zone}'"
    names, texts = ", ".join(values), ", ".join(values.values())
    readers.sql(writer, f"insert into {TABLE} ({names}) values ({texts})")


def overall(workspace: Any) -> list[dict[str, Any]]:
    with open_lake(workspace.settings()) as lake:
        return list(lake.read("metric_aggregates_overall", EXTENDED).to_pylist())


def revenue(rows: list[dict[str, Any]], arm: str) -> dict[str, Any]:
    key = ("revenue_per_user", arm, "all")
    (row,) = (r for r in rows if (r["metric_name"], r["variant"], r["segment"]) == key)
    return row


def count(workspace: Any, name: str) -> int:
    with open_lake(workspace.settings()) as lake:
        return int(lake.read("outcomes", name).num_rows)


def notes(workspace: Any, readers: Any, engine: str, column: str) -> list[Any]:
    """Values of a column that no JSON Schema knows, and are not null."""
    if engine == "duckdb":
        with workspace.table("outcomes") as table:
            rows = table.scan(selected_fields=(column,)).to_arrow().to_pylist()
    else:
        rows = readers.sql(engine, f"select {column} from {TABLE}")
    return [row[column] for row in rows if row[column] is not None]
