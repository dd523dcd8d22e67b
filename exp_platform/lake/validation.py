"""Accept or reject every delivered row by vectorised checks in SQL.

A file that cannot be read or lacks a required column is an error and changes nothing.
A bad row gets a coded reason and goes to quarantine with its values as delivered.
"""

from dataclasses import dataclass
from pathlib import Path

from exp_platform.errors import ContractError, did_you_mean
from exp_platform.lake.engine import Engine
from exp_platform.lake.types import quote_name, quote_text
from exp_platform.schemas import Field, TableSchema, load_schema

REASONS = {
    "MISSING_KEY": "an identifier is null or blank",
    "WRONG_EXPERIMENT": "the row names another experiment",
    "BAD_TIMESTAMP": "an instant is missing or cannot be read",
    "TIMESTAMP_OUT_OF_RANGE": "an instant lies before 1970 or after 2199",
    "UNKNOWN_VARIANT": "the variant is not in the registry",
    "MISSING_VALUE": "the value is null",
    "NOT_A_NUMBER": "the value cannot be read as a number",
    "NOT_FINITE": "the value is NaN or infinite",
    "VALUE_OUT_OF_RANGE": "the value is so large that its square has no number",
    "DUPLICATE_ROW": "the same row was delivered before",
}
_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_INTEGERS = (*_SIGNED, *(f"U{name}" for name in _SIGNED))
_READABLE = {
    "string": ("VARCHAR", "UUID", *_INTEGERS),
    "json": ("VARCHAR", "JSON"),
    "double": (*_INTEGERS, "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN", "VARCHAR"),
    "long": (*_INTEGERS, "FLOAT", "DOUBLE", "VARCHAR"),
    "boolean": ("BOOLEAN", "VARCHAR"),
    "timestamptz": ("TIMESTAMP", "DATE", "VARCHAR"),
    "date": ("DATE", "TIMESTAMP", "VARCHAR"),
    "map": ("MAP", "NULL", '"NULL"'),
}
_SQL_TYPES = {
    "string": "varchar",
    "json": "varchar",
    "double": "double",
    "long": "bigint",
    "boolean": "boolean",
    "timestamptz": "timestamptz",
    "date": "date",
    "map": "map(varchar, varchar)",
}


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came in one file and what became of it.

    Attributes:
        rejected: coded reason -> rows.
        ignored_columns: columns of the file that the contract does not know.
    """

    table: str
    delivered: int
    accepted: int
    rejected: dict[str, int]
    ignored_columns: tuple[str, ...]


def accept_rows(
    engine: Engine,
    table: str,
    file: Path,
    *,
    experiment_id: str,
    variants: tuple[str, ...] = (),
    keep_duplicates: bool = False,
) -> Delivery:
    """Read a raw file; leave `exp.<table>` (accepted) and its rejected rows.

    Rejected rows stand in `exp_run.rejected_<table>` (row_number, reason, payload).

    Args:
        engine: the run's engine.
        table: `exposures`, `outcomes` or `experiment_registry`.
        file: Parquet file as delivered.
        experiment_id: rows that name another experiment are rejected.
        variants: registered arms, for exposures.
        keep_duplicates: rows equal in every column are separate facts.

    Raises:
        ContractError: unreadable file, missing column, or a column of a type that
            cannot be read as the contract's.
    """
    schema = load_schema(table)
    columns = _describe(engine, file)
    source = f"read_parquet({quote_text(str(file))}, file_row_number = true)"
    typed = [_typed(field, columns, schema, file) for field in schema.fields]
    reason = _reason(schema, columns, experiment_id, variants)
    delivered = f"exp_run.delivered_{table}"
    statement = (
        f"create or replace table {delivered} as\n"
        f"with typed as (select file_row_number + 1 as row_number,\n"
        f"    {', '.join(typed)}{_raw_value(schema, columns)}\n    from {source})\n"
        f"select * exclude (raw_value), {reason} as reason from typed"
        if "value" in schema.names
        else f"create or replace table {delivered} as\n"
        f"with typed as (select file_row_number + 1 as row_number,\n"
        f"    {', '.join(typed)}\n    from {source})\n"
        f"select *, {reason} as reason from typed"
    )
    try:
        engine.execute(statement)
    except ContractError as error:
        raise _unreadable(file, error) from error
    if not keep_duplicates:
        _mark_duplicates(engine, schema, delivered)
    _keep_rejected(engine, schema, columns, source, delivered)
    names = ", ".join(schema.names)
    engine.execute(
        f"create or replace view exp.{table} as\n"
        f"select {names} from {delivered} where reason is null"
    )
    return _count(engine, schema, columns, delivered)


def _describe(engine: Engine, file: Path) -> dict[str, str]:
    """Column names of a file, folded to lower case as SQL does, with their types."""
    if not file.exists():
        raise ContractError(
            "a raw file is missing",
            where=str(file),
            next_step="generate it with --generate-synth or `exp import`",
        )
    try:
        rows = engine.rows(
            f"describe select * from read_parquet({quote_text(str(file))})"
        )
    except ContractError as error:
        raise _unreadable(file, error) from error
    return {str(row[0]): str(row[1]) for row in rows}


def _unreadable(file: Path, error: ContractError) -> ContractError:
    return ContractError(
        "a raw file cannot be read as Parquet",
        where=str(file),
        found=error.parts.get("found", str(error))[:300],
        next_step="deliver the file again; no table was changed",
    )


def _typed(
    field: Field, columns: dict[str, str], schema: TableSchema, file: Path
) -> str:
    target = _SQL_TYPES[field.type]
    if field.name not in columns:
        if not field.required:
            return f"cast(null as {target}) as {field.name}"
        raise ContractError(
            f"column {field.name!r} is missing",
            where=f"{file} (table {schema.name})",
            found=", ".join(columns) or "no columns",
            allowed=did_you_mean(field.name, columns),
            next_step="deliver the file with that column; no table was changed",
        )
    kind = columns[field.name]
    # a list's type begins with that of its elements
    if not kind.startswith(_READABLE[field.type]) or kind.endswith("]"):
        raise ContractError(
            f"column {field.name!r} cannot be read as {field.type}",
            where=f"{file} (table {schema.name})",
            found=kind,
            allowed=", ".join(_READABLE[field.type]),
            next_step="deliver the column with a readable type; no table was changed",
        )
    return f"try_cast({field.name} as {target}) as {field.name}"


def _raw_value(schema: TableSchema, columns: dict[str, str]) -> str:
    return ", value as raw_value" if "value" in schema.names and columns else ""


def _reason(
    schema: TableSchema,
    columns: dict[str, str],
    experiment_id: str,
    variants: tuple[str, ...],
) -> str:
    """A CASE over the row's columns: the first thing that is wrong, or null."""
    keys = [f for f in schema.fields if f.type == "string" and f.required]
    blank = " or ".join(f"{f.name} is null or trim({f.name}) = ''" for f in keys)
    rules = [(blank, "MISSING_KEY")]
    rules.append((f"experiment_id <> {quote_text(experiment_id)}", "WRONG_EXPERIMENT"))
    instants = [f for f in schema.fields if f.type == "timestamptz"]
    missing = [f"{f.name} is null" for f in instants if f.required]
    rules.append((" or ".join(missing), "BAD_TIMESTAMP"))
    outside = " or ".join(
        f"{f.name} < timestamptz '1970-01-01 00:00:00+00'"
        f" or {f.name} >= timestamptz '2200-01-01 00:00:00+00'"
        for f in instants
        if f.name in columns
    )
    rules.append((outside, "TIMESTAMP_OUT_OF_RANGE"))
    if "value" in schema.names:
        rules.append(("raw_value is null", "MISSING_VALUE"))
        rules.append(("value is null", "NOT_A_NUMBER"))
        rules.append(("not isfinite(value)", "NOT_FINITE"))
        rules.append(("abs(value) >= 1e100", "VALUE_OUT_OF_RANGE"))
    if variants:
        known = ", ".join(quote_text(name) for name in variants)
        rules.append((f"variant not in ({known})", "UNKNOWN_VARIANT"))
    cases = " ".join(f"when {rule} then '{name}'" for rule, name in rules)
    return f"case {cases} end"


def _mark_duplicates(engine: Engine, schema: TableSchema, delivered: str) -> None:
    """Give every repetition of an accepted row a reason; the first one stays.

    A 64-bit hash finds the candidates, the columns themselves decide.
    """
    names = [f.name for f in schema.fields if f.name != "received_ts"]
    key = ", ".join(names)
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


def _keep_rejected(
    engine: Engine,
    schema: TableSchema,
    columns: dict[str, str],
    source: str,
    delivered: str,
) -> None:
    pairs = ", ".join(
        f"{quote_text(name)}, cast({quote_name(name)} as varchar)" for name in columns
    )
    engine.execute(
        f"create or replace table exp_run.rejected_{schema.name} as\n"
        "select rejected.row_number, rejected.reason,\n"
        f"    cast(json_object({pairs}) as varchar) as payload\n"
        f"from (select row_number, reason from {delivered}\n"
        "    where reason is not null) as rejected\n"
        f"inner join {source} as raw\n"
        "    on rejected.row_number = raw.file_row_number + 1\n"
        "order by rejected.row_number"
    )


def _count(
    engine: Engine, schema: TableSchema, columns: dict[str, str], delivered: str
) -> Delivery:
    rows = engine.rows(f"select reason, count(*) from {delivered} group by reason")
    counts = {row[0]: int(str(row[1])) for row in rows}
    accepted = counts.pop(None, 0)
    return Delivery(
        table=schema.name,
        delivered=accepted + sum(counts.values()),
        accepted=accepted,
        rejected={str(name): counts[name] for name in sorted(counts, key=str)},
        ignored_columns=tuple(n for n in columns if n not in schema.names),
    )
