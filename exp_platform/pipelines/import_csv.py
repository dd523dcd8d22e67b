"""How a CSV file is written: its delimiter is read off the header, the rest is fixed.

A sniffer that may guess everything takes one odd line for another dialect, and then
skips rows or sees one column.
"""

import csv
import gzip
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as text

_LONGEST_HEADER = 1 << 20
_DELIMITERS = (",", ";", "\t", "|")


def csv_dialect(file: Path, as_text: Sequence[str] = ()) -> str:
    """Options of `read_csv` for a file.

    Args:
        file: its header gives the delimiter and the columns.
        as_text: columns that are names: `12.1` and `12.10` are two of them.

    Dates and instants are ISO or text: `05/01/2026` is two days, by where it was written.
    """
    present = [name for name in dict.fromkeys(as_text) if name in _columns(file)]
    types = ", ".join(f"{text(name)}: 'VARCHAR'" for name in present)
    return (
        f"strict_mode = true, header = true, skip = 0, delim = {text(_delimiter(file))}"
        """, quote = '"', escape = '"', comment = '', dateformat = '%Y-%m-%d'"""
        ", timestampformat = '%Y-%m-%d %H:%M:%S'"
        + (f", types = {{{types}}}" if types else "")
    )


def refuse_repeated(file: Path, named: Iterable[str]) -> None:
    """Refuse flags that name one of several columns of that name; it takes the first.

    Raises:
        UsageError: a name that the header has more than once.
    """
    if file.name.endswith((".parquet", ".pq")):
        return
    counts = Counter(_columns(file))
    for name in named:
        if counts[name] > 1:
            raise UsageError(
                f"several columns of the file are called {name!r}",
                where=str(file),
                allowed="one column of each name that a flag names",
                next_step="rename or drop the other one; nothing was written",
            )


def find_broken_line(engine: Engine, file: Path) -> str:
    """What is wrong with the first line that does not fit the header; "" = nothing."""
    count = len(_columns(file))
    columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(count))
    try:
        engine.execute(
            f"select count(*) from read_csv({text(str(file))}, auto_detect = false,\n"
            f"    columns = {{{columns}}}, {csv_dialect(file)})"
        )
    except ContractError as error:
        return error.parts.get("found", "").partition(" Possible ")[0]
    return ""


def _columns(file: Path) -> list[str]:
    header = _read_header(file).decode("utf-8-sig", "replace")
    return next(csv.reader([header], delimiter=_delimiter(file)), [])


def _read_header(file: Path) -> bytes:
    opener = gzip.open if file.name.endswith(".gz") else open
    with opener(file, "rb") as stream:
        # old exports end a line by a carriage return alone
        return bytes(stream.readline(_LONGEST_HEADER)).partition(b"\r")[0]


def _delimiter(file: Path) -> str:
    header = _read_header(file)
    return max(_DELIMITERS, key=lambda mark: header.count(mark.encode()))
