"""Partials that no longer count, of replaced files and moved units: when they go."""

from collections.abc import Collection

from exp_platform.lake import Engine
from exp_platform.metrics.refreshed_units import UNITS
from exp_platform.metrics.source_files import numbers_sql

DEAD_SHARE = 0.5
"""Stored partials are written anew when more than this share of them is dead."""

_COLUMNS = (
    "unit_no, unit_version, file_no, metric_name, column_name, outcome_day,"
    " micros, number"
)


def drop_dead_partials(
    engine: Engine, stored: str, new: str, *, live: Collection[int]
) -> bool:
    """Put the stored partials that count beside the new ones, if most of them do not.

    What is left adds up to the same totals: dead partials are never read.

    Args:
        engine: holds the units as they are now.
        stored: relation with the partials of earlier refreshes.
        new: table with those of this refresh; it takes in the others.
        live: numbers of the files that count.

    Returns:
        Whether the new table now holds all that counts, and can take the place of what
        is stored.
    """
    alive = (
        f"{stored} as p inner join {UNITS} as u using (unit_no, unit_version)"
        f" where {numbers_sql('p.file_no', sorted(live))}"
    )
    n_stored, n_alive = engine.rows(
        f"select (select count(*) from {stored}), (select count(*) from {alive})"
    )[0]
    if int(n_stored) - int(n_alive) <= DEAD_SHARE * int(n_stored):
        return False
    engine.execute(f"insert into {new} by name\nselect {_COLUMNS} from {alive}")
    return True
