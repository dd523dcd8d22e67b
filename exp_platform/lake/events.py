"""Raw events: Parquet files by namespace and day, only ever added to.

`raw/events/namespace=<ns>/event_date=<d>/*.parquet`. The day of the folder is the
collector's; the day of an event follows from its instant. A namespace that was landed
as a whole has a manifest: its hash is the namespace's generation.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from exp_platform.errors import ContractError, did_you_mean
from exp_platform.lake.delivered import READABLE, can_read, read_one
from exp_platform.lake.engine import Engine
from exp_platform.lake.files import disk_errors, hash_file
from exp_platform.lake.raw import (
    MANIFEST,
    RawFile,
    check_file,
    land_files,
    read_manifest,
    validate_experiment_id,
)
from exp_platform.lake.types import quote_name, quote_path, quote_text

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = ("event_id", "event_name", "anonymous_id", "user_id")
_INSTANTS = ("client_ts", "sent_ts", "received_ts")
_DOCUMENTS = ("properties", "context")
_REQUIRED = ("event_id", "event_name", "user_id", "client_ts", "received_ts")
_TYPES = {**dict.fromkeys(_TEXTS, "string"), **dict.fromkeys(_INSTANTS, "timestamptz")}
_SHOWN = {"string": "text", "timestamptz": "an instant"}
_PATH = "__exp_path"
_SOURCE = "exp_raw.user_events"
_DEPTH = 2
"""A day's folder and the file."""
_KINDS = r"\.(parquet|pq|json|jsonl|ndjson|csv|tsv|avro|orc)(\.(gz|bz2|lz4|snappy|xz|zip|zst))?"
_ROWS = re.compile(rf"(?i){_KINDS}$")
"""Names of files that hold rows; of these, only `.parquet` as it is written here is read."""


def events_folder(raw_root: Path, namespace: str) -> Path:
    """The folder of a namespace's raw events."""
    return raw_root / "events" / f"namespace={validate_experiment_id(namespace)}"


def land_events(
    raw_root: Path, namespace: str, files: "Mapping[str, pa.Table]"
) -> Path:
    """Land a namespace's raw events as a whole, in place of what was landed before.

    A collector only ever adds files; this is for data made or delivered at once.

    Args:
        raw_root: root of the raw area.
        namespace: of the events.
        files: content by path inside the namespace, `event_date=<d>/<name>.parquet`.

    Returns:
        The namespace's folder.

    Raises:
        StorageError: the disk refuses.
    """
    tables = {name.removesuffix(".parquet"): table for name, table in files.items()}
    return land_files(events_folder(raw_root, namespace), tables, {})


def list_event_files(raw_root: Path, namespace: str) -> dict[str, Path]:
    """A namespace's raw files by their path relative to the raw area, in order.

    Half-written files are left out.

    Raises:
        ContractError: a file that the namespace's manifest names is missing, or one
            lies in no day's folder.
        StorageError: a folder cannot be read, so nobody knows what is in it.
    """
    folder = events_folder(raw_root, namespace)
    with disk_errors(folder):
        paths = {
            path.relative_to(folder).as_posix(): path for path in _event_files(folder)
        }
    missing = sorted((read_manifest(folder) or {}).keys() - paths.keys())
    if missing:
        raise ContractError(
            "raw event files are missing",
            where=str(folder),
            found=f"no {missing[0]}" + (", ..." if len(missing) > 1 else ""),
            next_step="generate the experiment again, or restore the files",
        )
    return {path.relative_to(raw_root).as_posix(): path for path in paths.values()}


def _event_files(folder: Path) -> list[Path]:
    """All files of the namespace with rows; refused where one would not be read."""
    if not folder.is_dir():
        return []
    found = sorted(_files_with_rows(folder))
    for path in found:
        parts = path.relative_to(folder).parts
        is_misplaced = len(parts) != _DEPTH or not parts[0].startswith("event_date=")
        if is_misplaced or path.suffix != ".parquet":
            raise ContractError(
                "a raw event file lies where no events are read, or is no Parquet",
                where=str(folder),
                found=path.relative_to(folder).as_posix(),
                allowed="event_date=<day>/<name>.parquet",
                next_step="put it as Parquet into the folder of a day; no table was changed",
            )
    return found


def _files_with_rows(folder: Path) -> Iterator[Path]:
    """Not by `glob`, to which a folder that it may not read is an empty one."""
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        folders[:] = filter(_is_shown, folders)
        for name in filter(_is_shown, names):
            if _ROWS.search(name):
                yield Path(place, name)


def _is_shown(name: str) -> bool:
    """Half-written files and what other programs keep for themselves are hidden."""
    return not name.startswith(("_", "."))


def _raise(error: OSError) -> None:
    raise error


def verify_event_files(
    raw_root: Path, namespace: str, files: Mapping[str, Path]
) -> list[RawFile]:
    """Hash raw files and compare them with the namespace's manifest, if it has one.

    Raises:
        ContractError: a file is not the one that was landed.
    """
    folder = events_folder(raw_root, namespace)
    manifest = read_manifest(folder) or {}
    found = []
    for source_file, path in files.items():
        with disk_errors(path):
            file = RawFile(source_file, path, path.stat().st_size, hash_file(path))
        check_file(file, manifest.get(path.relative_to(folder).as_posix()))
        found.append(file)
    return found


def read_generation(raw_root: Path, namespace: str) -> str:
    """Hash of the namespace's manifest; empty for one that a collector adds to."""
    path = events_folder(raw_root, namespace) / MANIFEST
    return hash_file(path) if path.is_file() else ""


def open_raw_events(engine: Engine, namespace: str, files: Mapping[str, Path]) -> None:
    """Make raw files readable as `exp_raw.user_events`, nothing rejected yet.

    Args:
        engine: where the view is created.
        namespace: of the files.
        files: paths by their path relative to the raw area; none = no rows.

    Raises:
        ContractError: a file is not Parquet, or a column that every event has is
            missing from all files or cannot be read.
    """
    if not files:
        place = "'' as source_file, cast(0 as bigint) as source_row"
        engine.create_view(_SOURCE, f"{_select(namespace, {}, place)} where false")
        return
    paths = ", ".join(quote_path(path.absolute()) for path in files.values())
    source = (
        f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false,"
        f" filename = {_PATH}, file_row_number = true)"
    )
    source_file, path = next(iter(files.items()))
    columns = _describe(engine, source, str(path.parent.parent))
    for one in files.values():
        _check_types(engine, one)
    root = len(str(path.absolute())) - len(source_file)
    place = (
        f"substr({_PATH}, {root + 1}) as source_file,"
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


def _describe(engine: Engine, source: str, where: str) -> dict[str, str]:
    """Columns of the files together, with their types."""
    columns = _read_columns(engine, source, where)
    for name in _REQUIRED:
        if name not in columns:
            raise ContractError(
                f"column {name!r} is missing",
                where=f"{where} (raw events)",
                found=", ".join(columns),
                allowed=did_you_mean(name, columns),
                next_step="deliver the events with that column; no table was changed",
            )
    return columns


def _read_columns(engine: Engine, source: str, where: str) -> dict[str, str]:
    try:
        rows = engine.rows(f"describe select * from {source}")
    except ContractError as error:
        raise ContractError(
            "a raw event file cannot be read as Parquet",
            where=where,
            found=error.parts.get("found", str(error))[:300],
            next_step="remove or repair the file; no table was changed",
        ) from error
    return {str(row[0]): str(row[1]) for row in rows}


def _check_types(engine: Engine, path: Path) -> None:
    """Of each file: beside one of texts, numbers with a fraction become texts too."""
    columns = _read_columns(engine, read_one(path.absolute()), str(path))
    for name, wanted in _TYPES.items():
        kind = columns.get(name, "VARCHAR")
        if kind.strip('"') != "NULL" and not can_read(wanted, kind):
            raise ContractError(
                f"column {name!r} cannot be read as {_SHOWN[wanted]}",
                where=f"{path} (raw events)",
                found=kind,
                allowed=", ".join(READABLE[wanted]),
                next_step="deliver the column with a readable type in every file; no "
                "table was changed",
            )
