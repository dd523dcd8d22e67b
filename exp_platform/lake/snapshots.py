"""Which state of a table was current when."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyiceberg.table import Table


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """One kept snapshot of a table.

    Attributes:
        committed_at: instant, UTC.
        operation: append or overwrite.
        n_rows: rows of the whole table; None if not recorded.
        is_current: readers see this one.
    """

    snapshot_id: int
    committed_at: datetime
    operation: str
    n_rows: int | None
    is_current: bool


def current_snapshot_id(table: "Table | None") -> int | None:
    """Id of the snapshot readers see; None for no table or no snapshot."""
    return None if table is None else table.metadata.current_snapshot_id


def list_history(table: "Table | None") -> list[SnapshotState]:
    """Kept snapshots, oldest first; every one can be read."""
    if table is None:
        return []
    current = table.metadata.current_snapshot_id
    states = []
    for snapshot in table.metadata.snapshots:
        summary = snapshot.summary
        rows = summary.additional_properties.get("total-records") if summary else None
        states.append(
            SnapshotState(
                snapshot.snapshot_id,
                datetime.fromtimestamp(snapshot.timestamp_ms / 1000, tz=UTC),
                summary.operation.value if summary else "",
                None if rows is None else int(rows),
                snapshot.snapshot_id == current,
            )
        )
    return sorted(states, key=lambda state: state.committed_at)
