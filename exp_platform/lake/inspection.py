"""Are the files that a table names the ones that were written?

Readers look at sizes alone; to hash every byte is for those who ask.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from exp_platform.errors import ContractError
from exp_platform.lake.areas import Area
from exp_platform.lake.files import hash_file, local_path
from exp_platform.lake.reading import check_file, plan_read
from exp_platform.lake.states import states_from_json

if TYPE_CHECKING:
    from pyiceberg.table import Table


def known_hashes(ledger_snapshots: Iterable[str]) -> dict[str, str]:
    """SHA-256 by path of every file that a run recorded.

    Args:
        ledger_snapshots: `analysis_runs.snapshots`.
    """
    return {
        file.path: file.sha256
        for text in ledger_snapshots
        for state in states_from_json(text).values()
        for file in state.files
        if file.sha256
    }


def inspect_table(table: "Table", area: Area, hashes: Mapping[str, str]) -> int:
    """Look at every manifest and data file of a table as it is now.

    Args:
        table: as loaded.
        area: where its files lie; objects of a store are not hashed.
        hashes: SHA-256 by path; files that are not among them are not hashed.

    Returns:
        Number of data files.

    Raises:
        ContractError: a file holds other bytes than those that were written.
        StorageError: a file is gone, or a manifest is damaged.
    """
    plan = plan_read(table, area)
    for location in plan.files:
        check_file(location, plan)
        wanted = hashes.get(area.same(location).removeprefix(f"{area.root}/"))
        if wanted is None or not location.startswith("file:"):
            continue
        found = hash_file(local_path(location))
        if found != wanted:
            raise ContractError(
                "a data file is not the one that was written",
                where=area.readable(location),
                found=f"sha256 {found[:12]}...",
                allowed=f"sha256 {wanted[:12]}...",
                next_step="restore the file, or run the experiment again from its raw "
                "data",
            )
    return len(plan.files)
