"""Accept or reject every delivered row by vectorised checks in SQL.

A file that cannot be read or lacks a required column is an error and changes nothing.
A bad row gets a coded reason and goes to quarantine with its values as delivered.
DuckDB judges the rows, or Spark where the configuration says so.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from exp_platform.errors import ContractError
from exp_platform.lake.delivered import DeliveredFile, open_delivered
from exp_platform.lake.engine import Engine
from exp_platform.lake.rules import DUCKDB, REASONS, Rules, key_of, write_reason
from exp_platform.lake.types import quote_name, quote_text
from exp_platform.schemas import Field, TableSchema

if TYPE_CHECKING:
    from exp_platform.lake.spark_validation import SparkJudge

__all__ = ["REASONS", "Delivery", "Rules", "accept_rows"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came in one file and what became of it.

    Attributes:
        rejected: coded reason -> rows.
        ignored_columns: columns of the file that the contract does not know.
        files: the accepted rows, where they already stand in files that the table can
            adopt.
    """

    table: str
    delivered: int
    accepted: int
    rejected: dict[str, int]
    ignored_columns: tuple[str, ...]
    files: tuple[Path, ...] = ()


def accept_rows(
    engine: Engine,
    table: str,
    path: Path,
    *,
    rules: Rules,
    judge: "SparkJudge | None" = None,
) -> Delivery:
    """Read a raw file; leave `exp.<table>` (accepted) and its rejected rows.

    Rejected rows stand in `exp_run.rejected_<table>` (row_number, reason, payload).

    Args:
        engine: the run's engine.
        table: `exposures`, `outcomes`, `assignments` or `experiment_registry`.
        path: Parquet file as delivered.
        rules: what the rows are held against.
        judge: judges the rows in the engine's place.

    Raises:
        ContractError: unreadable file, missing column, or a column of a type that
            cannot be read as the contract's.
        UsageError: a column of a type that the judge would not read alike.
        StorageError: the judge failed.
    """
    file = open_delivered(engine, table, path)
    files: tuple[Path, ...] = ()
    if judge is None:
        _judge_here(engine, file, rules)
    else:
        files = judge.judge(engine, file, rules)
    _keep_rejected(engine, file)
    return replace(_count(engine, file), files=files)


def reasons_of(table: str) -> str:
    """The relation of a table's rejected rows: (row_number, reason)."""
    return f"exp_run.reasons_{table}"


def _judge_here(engine: Engine, file: DeliveredFile, rules: Rules) -> None:
    schema = file.schema
    typed = [_typed(file, field) for field in schema.fields]
    has_value = "value" in schema.names
    if has_value:
        typed.append("value as raw_value")
    kept = "* exclude (raw_value)" if has_value else "*"
    reason = write_reason(schema, file.columns, rules, DUCKDB)
    delivered = f"exp_run.delivered_{schema.name}"
    try:
        engine.execute(
            f"create or replace table {delivered} as\n"
            f"with typed as (select file_row_number + 1 as row_number,\n"
            f"    {', '.join(typed)}\n    from {file.source})\n"
            f"select {kept}, {reason} as reason from typed"
        )
    except ContractError as error:
        raise file.unreadable(error.parts.get("found", str(error))) from error
    if not rules.keep_duplicates:
        _mark_duplicates(engine, schema, delivered)
    names = ", ".join(schema.names)
    engine.create_view(
        f"exp.{schema.name}", f"select {names} from {delivered} where reason is null"
    )
    engine.create_view(
        reasons_of(schema.name),
        f"select row_number, reason from {delivered} where reason is not null",
    )


def _typed(file: DeliveredFile, field: Field) -> str:
    value = field.name if field.name in file.columns else "null"
    return f"try_cast({value} as {DUCKDB.types[field.type]}) as {field.name}"


def _mark_duplicates(engine: Engine, schema: TableSchema, delivered: str) -> None:
    """Give every repetition of an accepted row a reason; the first one stays.

    A 64-bit hash finds the candidates, the columns themselves decide.
    """
    key = ", ".join(key_of(schema))
    engine.execute(
        "create or replace temp table repeated as\n"
        f"with suspects as (select hash({key}) as h from {delivered}\n"
        "    where reason is null group by h having count(*) > 1),\n"
        "numbered as (select row_number, row_number() over (\n"
        f"    partition by {key} order by row_number) as copy_number\n"
        f"    from {delivered} where reason is null\n"
        f"    and hash({key}) in (select h from suspects))\n"
        "select row_number from numbered where copy_number > 1"
    )
    if engine.rows("select count(*) from repeated")[0][0]:
        engine.execute(
            f"update {delivered} set reason = 'DUPLICATE_ROW'\n"
            "where row_number in (select row_number from repeated)"
        )


def _keep_rejected(engine: Engine, file: DeliveredFile) -> None:
    """The payload is DuckDB's text of the delivered values, whoever judged them."""
    pairs = ", ".join(
        f"{quote_text(name)}, cast({quote_name(name)} as varchar)"
        for name in file.columns
    )
    engine.execute(
        f"create or replace table exp_run.rejected_{file.schema.name} as\n"
        "select rejected.row_number, rejected.reason,\n"
        f"    cast(json_object({pairs}) as varchar) as payload\n"
        f"from {reasons_of(file.schema.name)} as rejected\n"
        f"inner join {file.source} as raw\n"
        "    on rejected.row_number = raw.file_row_number + 1\n"
        "order by rejected.row_number"
    )


def _count(engine: Engine, file: DeliveredFile) -> Delivery:
    table = file.schema.name
    rows = engine.rows(
        f"select reason, count(*) from exp_run.rejected_{table}"
        " group by reason order by reason"
    )
    rejected = {str(reason): int(count) for reason, count in rows}
    accepted = int(engine.rows(f"select count(*) from exp.{table}")[0][0])
    delivered = accepted + sum(rejected.values())
    return Delivery(table, delivered, accepted, rejected, file.ignored)
