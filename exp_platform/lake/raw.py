"""Raw landing: an experiment's delivered files, immutable, with a manifest."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exp_platform.errors import ContractError, UsageError
from exp_platform.lake.files import disk_errors, hash_file, sync_files

if TYPE_CHECKING:
    import pyarrow as pa

REGISTRY = "experiment_registry"
MANIFEST = "_manifest.json"
_EXPERIMENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_LONGEST_SHOWN = 60


@dataclass(frozen=True, slots=True)
class RawFile:
    """One delivered file.

    Attributes:
        name: file name without its suffix.
        size: bytes.
        sha256: of its bytes, in hex.
    """

    name: str
    path: Path
    size: int
    sha256: str


def validate_experiment_id(text: str) -> str:
    """Hand an experiment id back if it is safe as a name and as a folder.

    Raises:
        UsageError: it is not.
    """
    if _EXPERIMENT_ID.fullmatch(text) and ".." not in text:
        return text
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    raise UsageError(
        "not an experiment id",
        found=f"{shown!r} ({len(text)} characters)",
        allowed="1 to 128 of A-Z a-z 0-9 _ . -, a letter or digit first, no '..'",
        next_step="choose another --experiment-id",
    )


def raw_folder(raw_root: Path, experiment_id: str) -> Path:
    """The folder of an experiment's delivered files."""
    return raw_root / "exp_platform" / validate_experiment_id(experiment_id)


def land_raw(
    raw_root: Path,
    experiment_id: str,
    tables: Mapping[str, "pa.Table"],
    documents: Mapping[str, Mapping[str, Any]] | None = None,
) -> Path:
    """Write an experiment's raw files; the manifest, written last, commits them.

    The same content gives the same bytes.

    Args:
        raw_root: root of the raw area.
        experiment_id: experiment.
        tables: content of `<name>.parquet` by name.
        documents: content of `<name>.json` by name.

    Returns:
        The experiment's folder.

    Raises:
        StorageError: the disk refuses; an earlier landing may need to be made again.
    """
    return land_files(raw_folder(raw_root, experiment_id), tables, documents or {})


def land_files(
    folder: Path,
    tables: "Mapping[str, pa.Table]",
    documents: Mapping[str, Mapping[str, Any]],
) -> Path:
    """Write files into a folder, or folders inside it, and the manifest last.

    Files of an earlier landing that are not written again go, before the manifest is
    there to tell that the new one is whole.

    Raises:
        StorageError: the disk refuses.
    """
    with disk_errors(folder):
        return _land(folder, tables, documents)


def _land(
    folder: Path,
    tables: "Mapping[str, pa.Table]",
    documents: Mapping[str, Mapping[str, Any]],
) -> Path:
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    before = _names_before(folder)
    landed: list[Path] = []
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(
            table.replace_schema_metadata(None), _temporary(path), compression="zstd"
        )
        landed.append(path)
    for name, document in documents.items():
        path = folder / f"{name}.json"
        _temporary(path).write_text(_as_text(document), "utf-8")
        landed.append(path)
    manifest = {
        path.relative_to(folder).as_posix(): _facts(_temporary(path)) for path in landed
    }
    for path in landed:
        _move(path)
    for name in before - manifest.keys():
        # while the manifest before it, if any, still misses it
        (folder / name).unlink(missing_ok=True)
    _temporary(folder / MANIFEST).write_text(_as_text(manifest), "utf-8")
    _move(folder / MANIFEST)
    return folder


def _names_before(folder: Path) -> set[str]:
    """What an earlier landing left: all there is, where its manifest cannot tell.

    Without a manifest the files of the folder itself, put there by hand; not those of
    its days, which a collector adds.
    """
    try:
        manifest = read_manifest(folder)
    except ContractError:
        raw = filter(_is_raw, folder.rglob("*"))
        return {path.relative_to(folder).as_posix() for path in raw}
    if manifest is not None:
        return set(manifest)
    return {path.name for path in folder.iterdir() if _is_raw(path)}


def has_raw(raw_root: Path, experiment_id: str) -> bool:
    """Whether anything was delivered for an experiment, by hand or landed."""
    folder = raw_folder(raw_root, experiment_id)
    return folder.is_dir() and any(map(_is_raw, folder.iterdir()))


def verify_raw(raw_root: Path, experiment_id: str) -> list[RawFile]:
    """The experiment's raw files, after comparing them with their manifest.

    A landing without manifest is allowed: files put there by hand. Exposures and
    outcomes may be missing where the experiment has events: see `require_raw`.

    Raises:
        ContractError: a file is missing or is not the one that was delivered.
        StorageError: the disk refuses.
    """
    folder = raw_folder(raw_root, experiment_id)
    with disk_errors(folder):
        manifest = read_manifest(folder)
        require_raw(folder, {f"{REGISTRY}.parquet"} | (manifest or {}).keys())
        files = [_raw_file(path) for path in sorted(folder.iterdir()) if _is_raw(path)]
    for file in files:
        check_file(file, (manifest or {}).get(file.path.name))
    return files


def require_raw(folder: Path, names: Collection[str]) -> None:
    """Refuse a landing without these files.

    Raises:
        ContractError: a file is missing.
    """
    missing = sorted(name for name in names if not (folder / name).is_file())
    if missing:
        raise ContractError(
            "raw data is missing",
            where=str(folder),
            found="no " + ", ".join(missing),
            next_step="run with --generate-synth, or `exp import` your own file",
        )


def check_file(file: RawFile, promised: dict[str, Any] | None) -> None:
    """Compare a file with what its manifest says of it, if anything.

    Raises:
        ContractError: it is another file.
    """
    found = {"size": file.size, "sha256": file.sha256}
    if promised is None or promised == found:
        return
    raise ContractError(
        "a raw file is not the one that was delivered",
        where=str(file.path),
        found=f"{file.size} bytes, sha256 {file.sha256[:12]}...",
        allowed=f"{promised.get('size')} bytes, "
        f"sha256 {str(promised.get('sha256'))[:12]}...",
        next_step="generate or import the experiment again",
    )


def _is_raw(path: Path) -> bool:
    return path.suffix in {".parquet", ".json"} and not path.name.startswith(("_", "."))


def _raw_file(path: Path) -> RawFile:
    facts = _facts(path)
    return RawFile(path.stem, path, facts["size"], facts["sha256"])


def _facts(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": hash_file(path)}


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Size and SHA-256 of each landed file; None for files put there by hand.

    Raises:
        ContractError: the manifest is not JSON, or not one of files.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        is_whole = all(isinstance(facts, dict) for facts in manifest.values())
    except (ValueError, AttributeError):
        is_whole = False
    if not is_whole:
        raise ContractError(
            "the raw manifest is not JSON, or not one of files",
            where=str(path),
            next_step="generate or import the experiment again",
        )
    return manifest


def _as_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _move(path: Path) -> None:
    """Give a finished file its name, on the disk before anyone can see it."""
    sync_files([_temporary(path)])
    _temporary(path).replace(path)
    sync_files([path])
