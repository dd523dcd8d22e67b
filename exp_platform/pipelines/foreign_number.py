"""Somebody else's number as their own SELECT gives it."""

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

from exp_platform.checks.reconciliation import (
    ALL_ARMS,
    Printed,
    measure_exactly,
)
from exp_platform.errors import ExpPlatformError, UsageError, did_you_mean
from exp_platform.lake import Engine, Lake
from exp_platform.metrics.foreign_query import CATALOG, NAMESPACE, find_tables
from exp_platform.pipelines.reconcile_sources import Published
from exp_platform.schemas import load_schema, table_names

_SHAPE = "one row with one number, or a row per variant: its name and a number"


def run_foreign_query(lake: Lake, file: Path, ours: Published) -> dict[str, Printed]:
    """The numbers of a SELECT over the experiment's published tables, by variant.

    It runs in an engine of its own, on copies of the rows: without files, without the
    network, and nothing it does is kept.

    Args:
        lake: where the tables are.
        file: with the query.
        ours: the snapshots to read at.

    Returns:
        By variant; a single number without one stands at ALL_ARMS.

    Raises:
        UsageError: no such file, not one SELECT, or an answer that is no number.
    """
    sql = _read_query(file)
    tables = find_tables(sql, table_names())
    with lake.engine() as engine:
        _copy_tables(lake, engine, tables, ours)
        engine.restrict()
        if engine.count_selects(sql) != (1, 1):
            raise UsageError("this is not one SELECT", where=str(file))
        return _read_answer(_ask(engine, sql, file), ours)


def _read_query(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip().rstrip(";")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the query cannot be read",
            where=str(file),
            found=str(error)[:200],
            allowed="a text file in UTF-8 with one SELECT",
        ) from error


def _ask(engine: Engine, sql: str, file: Path) -> list[tuple[Any, ...]]:
    try:
        return engine.rows(sql)
    except ExpPlatformError as error:
        raise UsageError(
            "the query cannot be answered",
            where=str(file),
            found=error.parts.get("found", error.what)[:300],
            next_step="correct the query; it sees the published tables and nothing else",
        ) from error


def _copy_tables(
    lake: Lake, engine: Engine, tables: tuple[str, ...], ours: Published
) -> None:
    """Rows of the experiment, or of its namespace, as tables in memory."""
    home = f"{CATALOG}.{NAMESPACE}"
    engine.execute(
        f"attach ':memory:' as {CATALOG}; create schema if not exists {home}"
    )
    scope = {
        "experiment_id": ours.spec.experiment_id,
        "namespace": ours.spec.namespace,
    }
    for table in tables:
        columns = [n for n in load_schema(table).partition if n in scope]
        lake.attach(
            engine,
            table,
            where={name: (scope[name],) for name in columns},
            snapshot_id=ours.snapshots.get(table),
        )
        engine.execute(f"create table {home}.{table} as from exp.{table}")
    engine.execute(f"use {home}")


def _read_answer(rows: list[tuple[Any, ...]], ours: Published) -> dict[str, Printed]:
    arms = [variant.name for variant in ours.spec.variants]
    if len(rows) == 1 and len(rows[0]) == 1:
        return {ALL_ARMS: _number(rows[0][0])}
    if not rows or any(len(row) != 2 for row in rows):
        shape = f"{len(rows)} rows of {len(rows[0]) if rows else 0} columns"
        raise UsageError("the query gives no such answer", found=shape, allowed=_SHAPE)
    found: dict[str, Printed] = {}
    for variant, number in rows:
        if variant not in arms or variant in found:
            raise UsageError(
                "the first column is not the variant, each once",
                found=repr(variant)[:80],
                allowed=did_you_mean(str(variant), arms),
            )
        found[variant] = _number(number)
    return found


def _number(value: Any) -> Printed:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise UsageError(
            "the query gives something that is no number",
            found=repr(value)[:80],
            allowed=_SHAPE,
        )
    return measure_exactly(float(value))
