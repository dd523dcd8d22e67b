"""How a CSV file is written: its delimiter is read off the header, the rest is fixed.

A sniffer that may guess everything takes one odd line for another dialect, and then
skips rows or sees one column.
"""

import csv
import gzip
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import IO, cast

from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import Engine
from exp_platform.lake.rules import BLANKS
from exp_platform.lake.types import quote_path
from exp_platform.lake.types import quote_text as text

_LONGEST_HEADER = 1 << 20
_QUOTED = re.compile(r'"[^"]*"')
_DELIMITERS = (",", ";", "\t", "|")


def is_parquet(file: Path) -> bool:
    """Whether a file is Parquet, by its name; any other is a CSV."""
    return file.name.lower().endswith((".parquet", ".pq"))


def csv_dialect(file: Path, as_text: Sequence[str] = ()) -> str:
    """Options of `read_csv` for a file.

    Args:
        file: its header gives the delimiter and the columns.
        as_text: columns that are names: `12.1` and `12.10` are two of them.

    Dates and instants are ISO or text: `05/01/2026` is two days, by where it was written.
    """
    present = [name for name in dict.fromkeys(as_text) if name in _columns(file)]
    start = _read_start(file)
    mark, skipped = text(_delimiter(start)), _count_blank(start)
    types = ", ".join(f"{text(name)}: 'VARCHAR'" for name in present)
    packed = "gzip" if _is_gzip(file) else "none"
    return (
        f"strict_mode = true, header = true, skip = {skipped}, delim = {mark}"
        f", compression = '{packed}'"
        """, quote = '"', escape = '"', comment = '', dateformat = '%Y-%m-%d'"""
        ", timestampformat = '%Y-%m-%d %H:%M:%S'"
        + (f", types = {{{types}}}" if types else "")
    )


def refuse_repeated(file: Path, named: Iterable[str], columns: Iterable[str]) -> None:
    """Refuse flags that name one of several columns of that name; it takes the first.

    Args:
        file: CSV or Parquet.
        named: by flags.
        columns: as the engine calls them, in the order of the file. A second `a` is its
            `a_1`, even where the header has another one.

    Raises:
        UsageError: a name that the header has more than once, or that the engine gives
            to another column.
    """
    header = _parquet_columns(file) if is_parquet(file) else _columns(file)
    counts, called = Counter(header), dict(zip(columns, header, strict=False))
    for name in named:
        if counts[name] > 1:
            raise UsageError(
                f"several columns of the file are called {name!r}",
                where=str(file),
                allowed="one column of each name that a flag names",
                next_step="rename or drop the other one; nothing was written",
            )
        if name in header and called.get(name, name) != name:
            raise UsageError(
                f"column {name!r} cannot be told from another one of the file",
                where=str(file),
                found=f"a column called {called[name]!r} that is read as {name!r}",
                allowed="a name for each column, apart in more than capitals",
                next_step="rename the other one; nothing was written",
            )


def check_whole(file: Path) -> None:
    """Refuse a compressed file that is cut off or damaged.

    The engine does not compare what it reads with the file's checksum.

    Raises:
        ContractError: it is.
    """
    if _is_gzip(file):
        with _open(file) as stream:
            while stream.read(_LONGEST_HEADER):
                pass


def find_broken_line(engine: Engine, file: Path) -> str:
    """What is wrong with the first line that does not fit the header; "" = nothing."""
    count = len(_columns(file))
    columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(count))
    try:
        engine.execute(
            f"select count(*) from read_csv({quote_path(file)}, auto_detect = false,\n"
            f"    columns = {{{columns}}}, {csv_dialect(file)})"
        )
    except ContractError as error:
        return error.parts.get("found", "").partition(" Possible ")[0]
    return ""


def _parquet_columns(file: Path) -> list[str]:
    import pyarrow.parquet as pq

    names: list[str] = pq.read_schema(file).names
    return names


def _columns(file: Path) -> list[str]:
    """Names as the engine reads them: without the blanks around them."""
    start = _read_start(file)
    lines = csv.reader(StringIO(start, newline=""), delimiter=_delimiter(start))
    try:
        header = next((names for names in lines if names), [])
    except csv.Error:
        # no table at all, which the engine says
        return []
    return [name.strip(BLANKS) for name in header]


def _read_start(file: Path) -> str:
    """The text that the header line is in."""
    with _open(file) as stream:
        return stream.read(_LONGEST_HEADER).decode("utf-8-sig", "replace")


@contextmanager
def _open(file: Path) -> Iterator[IO[bytes]]:
    opener = gzip.open if _is_gzip(file) else open
    try:
        with opener(file, "rb") as stream:
            yield cast("IO[bytes]", stream)
    except (OSError, EOFError, zlib.error) as error:
        raise ContractError(
            "the file cannot be read",
            where=str(file),
            found=str(error),
            next_step="check that it is whole, and that you may read it",
        ) from error


def _is_gzip(file: Path) -> bool:
    return file.name.lower().endswith(".gz")


def _count_blank(start: str) -> int:
    """Empty lines before the header, which the engine would make the header."""
    blank = len(start) - len(start.lstrip("\r\n"))
    return len(start[:blank].splitlines())


def _delimiter(start: str) -> str:
    """A header's names may hold delimiters, and line breaks, inside quotes."""
    lines = _QUOTED.sub("", start).splitlines()
    header = next((line for line in lines if line.strip()), "")
    return max(_DELIMITERS, key=header.count)
