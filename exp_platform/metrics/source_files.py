"""Data files that totals were made from: which are new, gone, or not read to their end."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.unit_values import IS_FIXED_POINT, LARGEST_SUM

EXPOSURES, OUTCOMES, EVENTS = "exposures", "outcomes", "fact_event"
_INSTANTS = {EXPOSURES: "exposure_ts", OUTCOMES: "outcome_ts", EVENTS: "event_ts"}


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One data file of a table, and the SELECT that reads it.

    Attributes:
        path: names the content: a data file never changes.
    """

    table: str
    path: str
    select: str


@dataclass(frozen=True, slots=True)
class FileNote:
    """What is remembered of a file whose rows are in the partials.

    Attributes:
        file_no: number in the partials; a file read again gets another one.
        last_us: its latest instant; None without rows.
        inexact: outcome names with a value of more than six decimals.
        large: outcome names whose amounts are too large for 64 bits.
    """

    table: str
    path: str
    file_no: int
    last_us: int | None = None
    first_us: int | None = None
    inexact: tuple[str, ...] = ()
    large: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FilePlan:
    """Files of one table by what a refresh has to do with them.

    Attributes:
        unread: to be read, with the numbers they get.
        kept: read before.
        gone: numbers whose partials no longer count.
    """

    unread: tuple[tuple[int, SourceFile], ...] = ()
    kept: tuple[FileNote, ...] = ()
    gone: tuple[int, ...] = ()
    sources: tuple[tuple[int, SourceFile], ...] = field(default=())


def plan_files(
    files: Iterable[SourceFile],
    known: Sequence[FileNote],
    *,
    next_no: int,
    since_us: int | None,
) -> FilePlan:
    """Compare a table's files with those read before.

    Args:
        files: of the table, now.
        known: notes on its files, as of the last refresh.
        next_no: first free number.
        since_us: the last refresh's watermark; a file with rows at or after it was not
            counted to its end. None = the watermark has not moved.
    """
    notes = {note.path: note for note in known}
    unread: list[tuple[int, SourceFile]] = []
    kept: list[FileNote] = []
    sources: list[tuple[int, SourceFile]] = []
    for file in sorted(files, key=lambda f: f.path):
        note = notes.get(file.path)
        if note is not None and not _has_more(note, since_us):
            kept.append(note)
            sources.append((note.file_no, file))
        else:
            unread.append((next_no + len(unread), file))
    live = {note.file_no for note in kept}
    gone = tuple(note.file_no for note in known if note.file_no not in live)
    return FilePlan(tuple(unread), tuple(kept), gone, (*sources, *unread))


def _has_more(note: FileNote, since_us: int | None) -> bool:
    return (
        since_us is not None and note.last_us is not None and note.last_us >= since_us
    )


def union_sql(files: Iterable[tuple[int, SourceFile]], columns: Sequence[str]) -> str:
    """Rows of numbered files with `file_no`; no files, empty text."""
    names = ", ".join(columns)
    return "\nunion all\n".join(
        f"select {names}, cast({number} as bigint) as file_no from ({file.select})"
        for number, file in files
    )


def note_files(engine: Engine, plan: FilePlan) -> list[FileNote]:
    """Read of each unread file what must be remembered."""
    found = []
    for table in dict.fromkeys(file.table for _, file in plan.unread):
        own = [(number, file) for number, file in plan.unread if file.table == table]
        paths = {number: file.path for number, file in own}
        columns = [_INSTANTS[table]]
        if table == OUTCOMES:
            columns += ["metric_name", "value"]
        names = _names_sql(table)
        rows = engine.rows(
            f"select file_no, max(last_us), min(first_us), {names}\nfrom (\n"
            f"{_notes_sql(table, union_sql(own, columns))}\n) group by file_no"
        )
        notes = {int(row[0]): row[1:] for row in rows}
        for number, path in paths.items():
            last, first, inexact, large = notes.get(number, (None, None, None, None))
            found.append(
                FileNote(
                    table,
                    path,
                    number,
                    None if last is None else int(last),
                    None if first is None else int(first),
                    tuple(sorted(inexact or ())),
                    tuple(sorted(large or ())),
                )
            )
    return found


def _notes_sql(table: str, union: str) -> str:
    instant = f"epoch_us({_INSTANTS[table]})"
    if table != OUTCOMES:
        return (
            f"select file_no, max({instant}) as last_us, min({instant}) as first_us\n"
            f"from (\n{union}\n) group by file_no"
        )
    return (
        f"select file_no, metric_name, max({instant}) as last_us,\n"
        f"    min({instant}) as first_us,\n"
        f"    not {IS_FIXED_POINT} as is_inexact,\n"
        f"    sum(abs(value)) >= {LARGEST_SUM!r} as is_large\n"
        f"from (\n{union}\n) group by file_no, metric_name"
    )


def _names_sql(table: str) -> str:
    if table != OUTCOMES:
        return "null, null"
    return (
        "list(metric_name) filter (where is_inexact),"
        " list(metric_name) filter (where is_large)"
    )


def numbers_sql(column: str, numbers: Iterable[int]) -> str:
    """The condition that a column is one of these numbers."""
    listed = ", ".join(str(number) for number in numbers)
    return f"{column} in ({listed})" if listed else "false"


def texts_sql(column: str, texts: Iterable[str]) -> str:
    """The condition that a column is one of these texts."""
    listed = ", ".join(quote(text) for text in texts)
    return f"{column} in ({listed})" if listed else "false"
