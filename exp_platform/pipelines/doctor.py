"""Is everything in place? What a new user runs when something seems off."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from exp_platform.checks.wording import format_count
from exp_platform.config import Settings
from exp_platform.errors import ExpPlatformError
from exp_platform.lake import open_lake
from exp_platform.metrics.definitions import load_definitions
from exp_platform.pipelines.provenance import package_versions

_LEAST_FREE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    what: str
    is_well: bool
    found: str

    def as_row(self) -> Mapping[str, str]:
        """A line of a table."""
        return {
            "what": self.what,
            "state": "ok" if self.is_well else "PROBLEM",
            "found": self.found,
        }


def examine_project(settings: Settings) -> list[Finding]:
    """Look at Python, packages, folders, metrics and tables."""
    versions = ", ".join(f"{n} {v}" for n, v in package_versions().items())
    python = ".".join(str(part) for part in sys.version_info[:3])
    return [
        Finding("python", sys.version_info >= (3, 11), python),
        Finding("packages", True, versions),
        *_examine_folders(settings),
        *_examine_store(settings),
        _examine_metrics(settings),
        _examine_lake(settings),
    ]


def _examine_folders(settings: Settings) -> Iterator[Finding]:
    own = ("warehouse",) if settings.remote is None else ()
    for name in (*own, "raw", "memos", "temp"):
        path: Path = getattr(settings.paths, name)
        existing = next(p for p in (path, *path.parents) if p.exists())
        free = shutil.disk_usage(existing).free
        writable = os.access(existing, os.W_OK)
        state = "" if path.exists() else " (made by the first run)"
        yield Finding(
            name,
            writable and free > _LEAST_FREE_BYTES,
            f"{path}{state}, {free / (1 << 30):.0f} GiB free"
            + ("" if writable else ", not writable"),
        )


def _examine_store(settings: Settings) -> Iterator[Finding]:
    """An empty catalog names no file, so the tables cannot tell whether the store answers."""
    if settings.remote is None:
        return
    try:
        with open_lake(settings) as lake:
            lake.check_store()
    except ExpPlatformError as error:
        yield Finding("store", False, str(error))
        return
    yield Finding("store", True, f"{settings.remote.warehouse}, {settings.remote.raw}")


def _examine_metrics(settings: Settings) -> Finding:
    try:
        names = ", ".join(load_definitions(settings.paths.metrics))
    except ExpPlatformError as error:
        return Finding("metrics", False, str(error))
    return Finding("metrics", bool(names), names or "no definitions found")


def _examine_lake(settings: Settings) -> Finding:
    try:
        with open_lake(settings) as lake:
            tables = lake.states()
            experiments = lake.experiment_ids()
            n_files = lake.inspect_files()
    except ExpPlatformError as error:
        return Finding("tables", False, str(error))
    counts = (
        format_count(len(tables), "table"),
        format_count(len(experiments), "experiment"),
        format_count(n_files, "data file"),
    )
    return Finding("tables", True, ", ".join(counts))
