"""Housekeeping of the lake: compaction, expiry, and the removal of what nobody reaches.

Nothing here runs by itself; give `exp maintain` to the scheduler of the machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exp_platform.config import Settings
from exp_platform.lake import open_lake

if TYPE_CHECKING:
    from exp_platform.lake.maintenance import Upkeep

HOUR_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class MaintenanceRequest:
    """What to keep.

    Attributes:
        min_files: partitions with fewer files are left alone.
        keep_snapshots: of each table, newest first.
        keep_runs: of each experiment, newest first; None = all stay replayable.
        min_age_hours: younger files are never removed; longer than any run takes.
        is_rehearsal: only tell.
    """

    min_files: int = 8
    keep_snapshots: int = 10
    keep_runs: int | None = None
    min_age_hours: float = 24.0
    is_rehearsal: bool = False


@dataclass(frozen=True, slots=True)
class Maintained:
    """What was done, or would be done.

    Attributes:
        tables: those with something to do.
        removed: locations of files that nobody reached.
    """

    tables: tuple["Upkeep", ...]
    removed: tuple[str, ...]
    is_rehearsal: bool

    def lines(self) -> Iterator[str]:
        """The report for a terminal."""
        verb = "would be " if self.is_rehearsal else ""
        for upkeep in self.tables:
            parts = []
            if upkeep.partitions:
                parts.append(
                    f"{upkeep.files_before} files {verb}rewritten as "
                    f"{len(upkeep.partitions)}"
                )
            if upkeep.snapshots_expired:
                parts.append(f"snapshots {verb}expired: {upkeep.snapshots_expired}")
            yield f"{upkeep.table}: {', '.join(parts)}"
        if not self.tables:
            yield "tables: nothing to rewrite or expire"
        yield f"files that nobody reaches: {len(self.removed)} {verb}removed"


def maintain(settings: Settings, request: MaintenanceRequest) -> Maintained:
    """Rewrite fragmented partitions, expire snapshots, remove unreachable files.

    Every number that was published stays, and so does every run that is retained.

    Args:
        settings: a loaded configuration.
        request: what to keep.

    Raises:
        UsageError: a number out of range.
        StorageError: a table or the store could not be read or written; what was done
            before stays done, nothing is half-done.
    """
    with open_lake(settings) as lake:
        tables = lake.keep_up(
            min_files=request.min_files,
            keep_snapshots=request.keep_snapshots,
            is_rehearsal=request.is_rehearsal,
        )
        removed = lake.sweep(
            min_age_seconds=request.min_age_hours * HOUR_SECONDS,
            keep_runs=request.keep_runs,
            is_rehearsal=request.is_rehearsal,
        )
    touched = (t for t in tables if t.partitions or t.snapshots_expired)
    return Maintained(tuple(touched), tuple(removed), request.is_rehearsal)
