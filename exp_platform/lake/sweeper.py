"""Removes files nobody can reach: leftovers of killed runs and of expired snapshots."""

import re
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from exp_platform.errors import StorageError
from exp_platform.lake.states import states_from_json

if TYPE_CHECKING:
    from pyiceberg.table import Table

    from exp_platform.lake.areas import Area
    from exp_platform.lake.rest import AnyCatalog

MIN_AGE_SECONDS = 24 * 3600.0
_UUID = re.compile(rb'"table-uuid"\s*:\s*"([^"]+)"')


def sweep_orphans(
    catalog: "AnyCatalog",
    ledger_snapshots: Iterable[str],
    *,
    min_age_seconds: float = MIN_AGE_SECONDS,
    is_rehearsal: bool = False,
) -> list[str]:
    """Remove unreachable files of all tables.

    Call it with the publish lock held. Data files of a run that has not published yet
    are unreachable too; only the age threshold keeps them.

    Args:
        catalog: whose tables.
        ledger_snapshots: `analysis_runs.snapshots` of the retained runs.
        min_age_seconds: younger files stay.
        is_rehearsal: remove nothing.

    Returns:
        The files removed, or to be removed.

    Raises:
        StorageError: what is reachable cannot be told; nothing was removed.
    """
    from exp_platform.lake.catalog import NAMESPACE

    area = catalog.area
    reachable = _reachable_from_ledger(area.root, ledger_snapshots)
    loaded = catalog.load_tables().values()
    for table in loaded:
        reachable.update(_own_locations(area, table))
    youngest = time.time() - min_age_seconds
    tables = f"{area.root}/{NAMESPACE}/"
    orphans = sorted(
        location
        for location, changed_at in area.listed()
        if location.startswith(tables)
        and location not in reachable
        and changed_at <= youngest
    )
    _refuse_foreign(catalog, {str(t.metadata.table_uuid) for t in loaded}, orphans)
    if not is_rehearsal:
        area.remove(orphans)
    return orphans


def retained_runs(
    rows: Iterable[Mapping[str, Any]], keep_runs: int | None
) -> list[str]:
    """What the retained runs wrote: `snapshots` of their ledger rows.

    A stage run alone inherits the tables of the run before it, so each experiment's
    last run that decided is retained whatever the number.

    Args:
        rows: of `analysis_runs`.
        keep_runs: of each experiment, newest first; None = all.
    """
    by_experiment: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: (r["computed_at"], r["run_id"])):
        by_experiment[row["experiment_id"]].append(row)
    kept = []
    for runs in by_experiment.values():
        first = 0 if keep_runs is None else max(len(runs) - keep_runs, 0)
        decided = [row for row in runs[:first] if row["outcome"] is not None]
        has_later = any(row["outcome"] is not None for row in runs[first:])
        kept += runs[first:] + ([] if has_later else decided[-1:])
    return [row["snapshots"] for row in kept]


def _own_locations(area: "Area", table: "Table") -> Iterator[str]:
    for location in _locations(table):
        if not area.holds(location):
            raise StorageError(
                "a table names a file outside the warehouse folder, so nothing is swept",
                where=f"table {table.name()[-1]}",
                found=location,
                allowed=f"{area.root}/...",
                next_step="a warehouse cannot be moved: give its folder the old name "
                "back, a link is enough",
            )
        yield area.same(location)


def _reachable_from_ledger(root: str, texts: Iterable[str]) -> set[str]:
    try:
        return {
            f"{root}/{file.path}"
            for text in texts
            for state in states_from_json(text).values()
            for file in state.files
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            "a ledger row cannot be read, so nothing is swept",
            where="table analysis_runs, column snapshots",
            found=f"{type(error).__name__}: {error}",
            next_step="repair or remove that row",
        ) from error


def _refuse_foreign(
    catalog: "AnyCatalog", own: Collection[str], orphans: Iterable[str]
) -> None:
    """Nobody reaches another catalog's files from this one; they are no leftovers."""
    for location in orphans:
        if not location.endswith(".metadata.json"):
            continue
        with catalog.io.new_input(location).open() as stream:
            found = _UUID.search(stream.read())
        if found and found[1].decode() not in own:
            raise StorageError(
                "the warehouse holds a table that this catalog does not know, so nothing "
                "is swept",
                where=catalog.area.root,
                found=location,
                next_step="name the catalog that knows it in the configuration; remove "
                "that file if the catalog is lost for good, or if a run was killed "
                "while it made the table",
            )


def _locations(table: "Table") -> Iterator[str]:
    """Every file a kept snapshot, or a reader that has just begun, may open."""
    yield table.metadata_location
    for entry in table.metadata.metadata_log:
        yield entry.metadata_file
    seen: set[str] = set()
    for snapshot in table.metadata.snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            yield manifest.manifest_path
            for item in manifest.fetch_manifest_entry(table.io, discard_deleted=False):
                yield item.data_file.file_path
    for statistics in table.metadata.statistics:
        yield statistics.statistics_path
