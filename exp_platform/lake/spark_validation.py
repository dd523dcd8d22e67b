"""Delivered rows judged by Spark: the rules of DuckDB, and its answers.

The file is read where it lies. A column whose values the two engines would read
differently, such as instants delivered as text, is refused. Accepted rows come back as
Parquet in the order of the delivery, rejected ones as their number and reason.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exp_platform.errors import StorageError, UsageError
from exp_platform.lake.delivered import DeliveredFile
from exp_platform.lake.engine import Engine
from exp_platform.lake.rules import SPARK, Rules, key_of, write_reason
from exp_platform.lake.types import quote_path
from exp_platform.lake.writing import can_adopt
from exp_platform.schemas import Field, TableSchema

if TYPE_CHECKING:
    from exp_platform.spark.engine import SparkEngine

_READ_AS = {
    "VARCHAR": "string",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "int",
    "BIGINT": "bigint",
    "UTINYINT": "smallint",
    "USMALLINT": "int",
    "UINTEGER": "bigint",
    "UBIGINT": "decimal(20, 0)",
    "FLOAT": "float",
    "DOUBLE": "double",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
    # nanoseconds since 1970
    "TIMESTAMP_NS": "bigint",
    "TIMESTAMPTZ_NS": "bigint",
    "MAP(VARCHAR, VARCHAR)": "map<string, string>",
}
_DECIMAL = re.compile(r"DECIMAL\((\d+),\s*(\d+)\)")
_EXACT_DIGITS = 15
"""Both engines turn a decimal of so many digits into the nearest double."""
_BROADCAST_ROWS = 1_000_000
_BYTES_PER_ROW = 20
_HALVES_AWAY_FROM_ZERO = (
    "timestamp_micros({0} div 1000 + case when {0} % 1000 >= 500 then 1"
    " when {0} % 1000 <= -500 then -1 else 0 end)"
)
_VALID_MAP = (
    "case when {0} is null"
    " or forall(map_keys({0}), x -> is_valid_utf8(x))"
    " and forall(map_values({0}), x -> x is null or is_valid_utf8(x))"
    " then {0} else raise_error('INVALID_UTF8_STRING') end"
)
_BROKEN = ("INVALID_UTF8_STRING", "FAILED_READ_FILE")
_NO_PLAIN_NUMBER = "NO_PLAIN_NUMBER"
# In this form, with a range that no double leaves, both engines read the same double.
_PLAIN_NUMBER = (
    "case when {0} is null then null"
    " when length({0}) <= 60 and {0} rlike"
    " '(?s)^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{{1,2}})?(?!.)'"
    f" then cast({{0}} as double) else raise_error('{_NO_PLAIN_NUMBER}') end"
)


@dataclass(frozen=True, slots=True)
class SparkJudge:
    """Judges the files of one run.

    Attributes:
        spark: a session of the run's own.
        folder: where the answers are written, on a disk that Spark's executors see.
    """

    spark: "SparkEngine"
    folder: Path

    def begin(self, files: Iterable[Path]) -> None:
        """Choose settings for the size of what comes; a missing file is told later."""
        size = sum(file.stat().st_size for file in files if file.is_file())
        self.spark.begin(size // _BYTES_PER_ROW)

    def judge(
        self, engine: Engine, file: DeliveredFile, rules: Rules
    ) -> tuple[Path, ...]:
        """Leave `exp.<table>` and the reasons of the others in the engine.

        Returns:
            Files of the accepted rows that the table can adopt; none if it cannot.

        Raises:
            UsageError: a column that Spark would not read as DuckDB does.
            ContractError: the file's bytes are broken.
            StorageError: Spark failed.
        """
        table = file.schema.name
        read = {
            field.name: _read_as(file, field)
            for field in file.schema.fields
            if field.name in file.columns
        }
        try:
            self.spark.open_file(f"exp_raw.{table}", file.path, read)
            judged = self._judge(file, rules)
            repeated = "" if rules.keep_duplicates else self._find_repeated(file)
            rejected = self._write_rejected(table, judged, repeated)
            accepted = self._write_accepted(file, judged, repeated)
        except StorageError as error:
            told = str(error.__cause__)
            if _NO_PLAIN_NUMBER in told:
                found = "a text that is no plain decimal number"
                raise _refused(file, "column 'value'", found) from error
            if any(word in told for word in _BROKEN):
                raise _refused(file, "a raw file", error.parts["found"]) from error
            raise
        _open(engine, f"exp.{table}", accepted)
        _open(engine, f"exp_run.reasons_{table}", rejected)
        _require_all(engine, file)
        return tuple(accepted) if can_adopt(file.schema) else ()

    def _judge(self, file: DeliveredFile, rules: Rules) -> str:
        schema = file.schema
        typed = [f"{_typed(file, field)} as {field.name}" for field in schema.fields]
        if "value" in schema.names:
            typed.append("value as raw_value")
        reason = write_reason(schema, file.columns, rules, SPARK)
        raw = self.spark.place(f"exp_raw.{schema.name}")
        name = f"exp_run.judged_{schema.name}"
        self.spark.create_view(
            name,
            f"with typed as (select row_number, {', '.join(typed)} from {raw})"
            f" select *, {reason} as reason from typed",
        )
        return self.spark.place(name)

    def _find_repeated(self, file: DeliveredFile) -> str:
        """A hash finds the candidates, the columns themselves decide."""
        schema = file.schema
        judged = self.spark.place(f"exp_run.judged_{schema.name}")
        name = f"exp_run.repeated_{schema.name}"
        key = ", ".join(_comparable(schema, column) for column in key_of(schema))
        self.spark.create_table(
            name,
            f"with keys as (select row_number, xxhash64({key}) as h, *"
            f" from {judged} where reason is null),"
            " suspects as (select h from keys group by h having count(*) > 1),"
            f" numbered as (select row_number, row_number() over (partition by {key}"
            " order by row_number) as copy_number"
            " from keys where h in (select h from suspects))"
            " select row_number from numbered where copy_number > 1",
        )
        return self.spark.place(name)

    def _write_rejected(self, table: str, judged: str, repeated: str) -> list[Path]:
        select = f"select row_number, reason from {judged} where reason is not null"
        if repeated:
            select += f" union all select row_number, 'DUPLICATE_ROW' from {repeated}"
        return self.spark.write(select, self.folder / f"rejected_{table}")

    def _write_accepted(
        self, file: DeliveredFile, judged: str, repeated: str
    ) -> list[Path]:
        """Without a shuffle, unless very many rows are repeated, so in their order."""
        table = file.schema.name
        columns = ", ".join(f"judged.{name}" for name in file.schema.names)
        source, hint, order = f"{judged} as judged", "", ""
        n_repeated = self.spark.count(repeated) if repeated else 0
        if n_repeated:
            source += (
                f" left anti join {repeated} as repeated"
                " on judged.row_number = repeated.row_number"
            )
            is_small = n_repeated <= _BROADCAST_ROWS
            hint = "/*+ broadcast(repeated) */ " if is_small else ""
            order = "" if is_small else " order by judged.row_number"
        select = (
            f"select {hint}{columns} from {source} where judged.reason is null{order}"
        )
        field_ids = {field.name: field.field_id for field in file.schema.fields}
        return self.spark.write(select, self.folder / table, field_ids)


def _read_as(file: DeliveredFile, field: Field) -> str:
    """The Spark type of a delivered column."""
    kind = file.columns[field.name]
    decimal = _DECIMAL.fullmatch(kind)
    if decimal and int(decimal[1]) <= _EXACT_DIGITS:
        return kind.lower()
    is_text = kind == "VARCHAR"
    is_readable = not is_text or field.type in ("string", "double")
    if field.type not in SPARK.types or not is_readable:
        raise _refused(file, f"column {field.name!r}", kind)
    if kind in _READ_AS:
        return _READ_AS[kind]
    if kind.strip('"') == "NULL":
        # nothing is read of it
        return "string"
    raise _refused(file, f"column {field.name!r}", kind)


def _typed(file: DeliveredFile, field: Field) -> str:
    kind = file.columns.get(field.name, "NULL").strip('"')
    target = SPARK.types[field.type]
    if kind == "NULL":
        return f"cast(null as {target})"
    if kind == "VARCHAR" and field.type == "double":
        return _PLAIN_NUMBER.format(field.name)
    if kind == "VARCHAR":
        return f"validate_utf8({field.name})"
    if kind.startswith("MAP"):
        return _VALID_MAP.format(field.name)
    if kind.endswith("_NS"):
        return _HALVES_AWAY_FROM_ZERO.format(field.name)
    return f"cast({field.name} as {target})"


def _comparable(schema: TableSchema, column: str) -> str:
    """Maps are equal when their entries are, in their order, as in DuckDB."""
    is_map = schema.field(column).type == "map"
    return f"map_entries({column})" if is_map else column


def _open(engine: Engine, name: str, files: Iterable[Path]) -> None:
    paths = ", ".join(map(quote_path, files))
    source = f"read_parquet([{paths}], hive_partitioning = false)"
    engine.create_view(name, f"select * from {source}")


def _require_all(engine: Engine, file: DeliveredFile) -> None:
    """Every delivered row is accepted or rejected, once."""
    table = file.schema.name
    path = quote_path(file.path)
    delivered, accepted, rejected = engine.rows(
        f"select (select sum(num_rows) from parquet_file_metadata({path})),"
        f" (select count(*) from exp.{table}),"
        f" (select count(*) from exp_run.reasons_{table})"
    )[0]
    if int(delivered) != accepted + rejected:
        raise StorageError(
            "Spark did not judge every row once",
            where=f"{file.path} (table {table})",
            found=f"{accepted} accepted and {rejected} rejected of {delivered}",
            next_step="run again, or ingest on DuckDB; no table was changed",
        )


def _refused(file: DeliveredFile, what: str, found: str) -> UsageError:
    return UsageError(
        f"Spark would not read {what} as DuckDB does",
        where=f"{file.path} (table {file.schema.name})",
        found=found,
        next_step="ingest on DuckDB, with `stages: {ingest: duckdb}` under `engine:`,"
        " or deliver the column in the contract's type; no table was changed",
    )
