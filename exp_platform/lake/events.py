"""Raw events: Parquet files by namespace and day, only ever added to.

`raw/events/namespace=<ns>/event_date=<d>/*.parquet`. The day of the folder is the
collector's; the day of an event follows from its instant. A namespace that was landed
as a whole has a manifest: its hash is the namespace's generation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from exp_platform.errors import ContractError, did_you_mean
from exp_platform.lake.engine import Engine
from exp_platform.lake.files import hash_file
from exp_platform.lake.raw import MANIFEST, validate_experiment_id
from exp_platform.lake.types import quote_name, quote_text

_TEXTS = ("event_id", "event_name", "anonymous_id", "user_id")
_INSTANTS = ("client_ts", "sent_ts", "received_ts")
_DOCUMENTS = ("properties", "context")
_REQUIRED = ("event_id", "event_name", "user_id", "client_ts", "received_ts")
_READABLE = ("TIMESTAMP", "DATE", "VARCHAR", '"NULL"', "NULL")
_SOURCE = "exp_raw.user_events"


@dataclass(frozen=True, slots=True)
class EventFile:
    """One raw file.

    Attributes:
        source_file: path relative to the raw area.
        size: bytes.
    """

    source_file: str
    path: Path
    size: int


def events_folder(raw_root: Path, namespace: str) -> Path:
    """The folder of a namespace's raw events."""
    return raw_root / "events" / f"namespace={validate_experiment_id(namespace)}"


def list_event_files(raw_root: Path, namespace: str) -> list[EventFile]:
    """A namespace's raw files, in order of their names; half-written ones left out."""
    folder = events_folder(raw_root, namespace)
    paths = sorted(folder.glob("event_date=*/*.parquet"))
    return [
        EventFile(
            path.relative_to(raw_root).as_posix(), path.absolute(), path.stat().st_size
        )
        for path in paths
        if not path.name.startswith(("_", "."))
    ]


def read_generation(raw_root: Path, namespace: str) -> str:
    """Hash of the namespace's manifest; empty for one that a collector adds to."""
    path = events_folder(raw_root, namespace) / MANIFEST
    return hash_file(path) if path.is_file() else ""


def open_raw_events(engine: Engine, namespace: str, files: Sequence[EventFile]) -> None:
    """Make raw files readable as `exp_raw.user_events`, every text as text.

    Args:
        engine: where the view is created.
        namespace: of the files.
        files: none = the view has no rows.

    Raises:
        ContractError: a file is not Parquet, or a column that every event has is
            missing from all files or cannot be read.
    """
    if not files:
        place = "'' as source_file, cast(0 as bigint) as source_row"
        engine.create_view(_SOURCE, f"{_select(namespace, {}, place)} where false")
        return
    paths = ", ".join(quote_text(str(file.path)) for file in files)
    source = (
        f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false,"
        " filename = true, file_row_number = true)"
    )
    columns = _describe(engine, source, files)
    first = files[0]
    root = len(str(first.path)) - len(first.source_file)
    place = (
        f"substr(filename, {root + 1}) as source_file,"
        " cast(file_row_number + 1 as bigint) as source_row"
    )
    engine.create_view(_SOURCE, f"{_select(namespace, columns, place)} from {source}")


def _select(namespace: str, columns: Mapping[str, str], place: str) -> str:
    texts = [f"{_text(name, columns)} as {name}" for name in (*_TEXTS, *_DOCUMENTS)]
    instants = [f"{_instant(name, columns)} as {name}" for name in _INSTANTS]
    broken = ", ".join(_unreadable(name, columns) for name in _INSTANTS)
    return (
        f"select {quote_text(namespace)} as namespace, {place},\n"
        f"    {', '.join((*texts, *instants))},\n"
        f"    nullif(concat_ws('; ', {broken}), '') as unreadable_instants"
    )


def _text(name: str, columns: Mapping[str, str]) -> str:
    if name not in columns:
        return "cast(null as varchar)"
    is_nested = name in _DOCUMENTS and columns[name].startswith(("MAP", "STRUCT"))
    value = f"to_json({quote_name(name)})" if is_nested else quote_name(name)
    return f"cast({value} as varchar)"


def _instant(name: str, columns: Mapping[str, str]) -> str:
    value = quote_name(name) if name in columns else "null"
    return f"try_cast({value} as timestamptz)"


def _unreadable(name: str, columns: Mapping[str, str]) -> str:
    """The delivered text of an instant that is no instant."""
    if columns.get(name) != "VARCHAR":
        return "cast(null as varchar)"
    column = quote_name(name)
    is_broken = f"{column} is not null and try_cast({column} as timestamptz) is null"
    return f"case when {is_broken} then '{name}: ' || {column} end"


def _describe(
    engine: Engine, source: str, files: Sequence[EventFile]
) -> dict[str, str]:
    where = str(files[0].path.parent.parent)
    try:
        rows = engine.rows(f"describe select * from {source}")
    except ContractError as error:
        raise ContractError(
            "a raw event file cannot be read as Parquet",
            where=where,
            found=error.parts.get("found", str(error))[:300],
            next_step="remove or repair the file; no table was changed",
        ) from error
    columns = {str(row[0]): str(row[1]) for row in rows}
    for name in _REQUIRED:
        if name not in columns:
            raise ContractError(
                f"column {name!r} is missing",
                where=f"{where} (raw events)",
                found=", ".join(columns),
                allowed=did_you_mean(name, columns),
                next_step="deliver the events with that column; no table was changed",
            )
    for name in _INSTANTS:
        kind = columns.get(name, "VARCHAR")
        if not kind.startswith(_READABLE) or kind.endswith("]"):
            raise ContractError(
                f"column {name!r} cannot be read as an instant",
                where=f"{where} (raw events)",
                found=kind,
                next_step="deliver instants or texts; no table was changed",
            )
    return columns
