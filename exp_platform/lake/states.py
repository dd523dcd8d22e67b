"""What a published table holds of one experiment, as the run ledger records it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class FileState:
    """One data file.

    Attributes:
        path: relative to the warehouse.
        size: bytes.
        sha256: of its bytes, in hex; empty where it was not computed.
        record_count: rows.
    """

    path: str
    size: int
    sha256: str
    record_count: int


@dataclass(frozen=True, slots=True)
class TableState:
    """An experiment's part of one table.

    Attributes:
        snapshot_id: of the table; None if it has no snapshot.
        files: the experiment's data files in that snapshot.
    """

    snapshot_id: int | None
    files: tuple[FileState, ...]


def states_to_json(states: Mapping[str, TableState]) -> str:
    """The text of `analysis_runs.snapshots`; equal states give equal text."""
    return json.dumps({name: asdict(s) for name, s in states.items()}, sort_keys=True)


def states_from_json(text: str) -> dict[str, TableState]:
    """The inverse of `states_to_json`."""
    return {
        name: TableState(
            state["snapshot_id"], tuple(FileState(**file) for file in state["files"])
        )
        for name, state in json.loads(text).items()
    }
