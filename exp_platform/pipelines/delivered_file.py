"""A delivered CSV or Parquet file as a relation of the engine."""

from collections.abc import Sequence
from pathlib import Path

from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_name as identifier
from exp_platform.lake.types import quote_path
from exp_platform.pipelines.import_csv import (
    check_whole,
    csv_dialect,
    find_broken_line,
    is_parquet,
)

ROW_NUMBER = "__exp_row_number"
_EXACT = {"FLOAT": 2**24, "DOUBLE": 2**53}
"""Up to here every whole number has a float of its own."""


def open_file(
    engine: Engine,
    file: Path,
    *,
    as_text: Sequence[str] = (),
    is_numbered: bool = True,
) -> dict[str, str]:
    """Make the file readable as `exp_run.delivered`; its columns with their types.

    Args:
        engine: where.
        file: CSV or Parquet.
        as_text: columns of a CSV that are names, even if they look like numbers.
        is_numbered: rows are numbered, and copied for that; False leaves a Parquet
            file where it is.

    Raises:
        UsageError: there is no such file.
        ContractError: it cannot be read, or has no rows.
    """
    if not file.is_file():
        raise UsageError(
            "no such file", where=str(file), next_step="check the path and run again"
        )
    if file.stat().st_size == 0:
        raise ContractError("the file is empty", where=str(file))
    check_whole(file)
    is_table = is_parquet(file)
    reader = "read_parquet" if is_table else "read_csv"
    options = "hive_partitioning = false"
    if not is_table:
        options += f", sample_size = -1, {csv_dialect(file, as_text)}"
    numbered = f", row_number() over () as {ROW_NUMBER}"
    if is_table and not is_numbered:
        kind, numbered = "view", ""
    else:
        kind = "table"
    try:
        engine.execute(
            f"create or replace {kind} exp_run.delivered as\n"
            f"select *{numbered}\n"
            f"from {reader}({quote_path(file)}, {options})"
        )
    except ContractError as error:
        found = "" if is_table else find_broken_line(engine, file)
        raise ContractError(
            "the file cannot be read",
            where=str(file),
            found=found or error.parts.get("found", str(error)),
            next_step="save it as UTF-8 CSV with a header line, or as Parquet",
        ) from error
    if not engine.rows("select count(*) from exp_run.delivered")[0][0]:
        raise ContractError("the file has no rows", where=str(file))
    rows = engine.rows("describe exp_run.delivered")
    return {str(row[0]): str(row[1]) for row in rows if row[0] != ROW_NUMBER}


def check_identifier(engine: Engine, name: str, kind: str, file: Path) -> None:
    """Refuse floats that may each have been several identifiers.

    Args:
        engine: holds the delivered rows.
        name: of the column.
        kind: its type.
        file: for the error.

    Raises:
        ContractError: NaN, or beyond the floats that hold every whole number.
    """
    if kind not in _EXACT:
        return
    column = identifier(name)
    lost, example = engine.rows(
        f"select count(*), cast(any_value({column}) as varchar) from exp_run.delivered\n"
        f"where not isfinite({column}) or abs({column}) >= {_EXACT[kind]}"
    )[0]
    if lost:
        raise ContractError(
            f"column {name!r} has identifiers that are floats without their last digits",
            where=str(file),
            found=f"{lost:,} of type {kind}, e.g. {example}",
            allowed=f"texts, integers, or whole numbers below {_EXACT[kind]:,}",
            next_step="write the column as text or as integers where it is made; "
            "nothing was written",
        )
