"""Units of an incremental refresh: numbered once, told apart by their first exposure."""

from collections.abc import Iterable

from exp_platform.lake import Engine
from exp_platform.metrics.models import model_sql
from exp_platform.metrics.source_files import SourceFile, union_sql
from exp_platform.metrics.spans import DAY_US

UNITS = "exp_run.refreshed_units"
STALE_UNITS = "exp_run.units_stale_before"
COHORT = f"cast(floor(exposure_us / {DAY_US}.0) as bigint)"
"""Day of first exposure, in days since 1970."""

_EXPOSURES = (
    "experiment_id",
    "user_id",
    "variant",
    "exposure_ts",
    "first_seen_ts",
    "attributes",
)
_KEPT = (
    "unit_no, unit_version, experiment_id, user_id, variant, exposure_us,"
    " first_seen_us, attributes"
)
_NO_UNITS = (
    "select cast(0 as bigint) as unit_no, cast(0 as bigint) as unit_version,"
    " '' as experiment_id, '' as user_id, '' as variant,"
    " cast(0 as bigint) as exposure_us, cast(0 as bigint) as first_seen_us,"
    " cast(null as map(varchar, varchar)) as attributes where false"
)
_MODELS = ("stg_exposures", "int_first_exposures")


def number_units(
    engine: Engine,
    exposures: Iterable[tuple[int, SourceFile]],
    stored: str,
    *,
    batch: int,
) -> int:
    """Make `exp_run.refreshed_units` from all exposures and the numbers given before.

    A unit whose first exposure is at another instant gets another version: its old
    partials no longer count.

    Args:
        engine: holds the scope of the run.
        exposures: every file of exposures, with its number.
        stored: relation with the units of the last refresh; empty = none.
        batch: number of this refresh, the version of what is new.

    Returns:
        Units that are new or changed.
    """
    from exp_platform.lake.reading import open_empty

    union = union_sql(exposures, _EXPOSURES)
    if union:
        engine.create_view(
            "exp.exposures", f"select * exclude (file_no) from ({union})"
        )
    else:
        engine.execute("drop view if exists exp.exposures")
        open_empty(engine, "exposures")
    for name in _MODELS:
        kind = "view" if name.startswith("stg") else "table"
        engine.execute(f"create or replace {kind} exp_run.{name} as\n{model_sql(name)}")
    engine.execute(f"create or replace temp view units_before as {stored_sql(stored)}")
    engine.execute(
        f"create or replace table {UNITS} as\n"
        "with last as (select coalesce(max(unit_no), 0) as unit_no from units_before)\n"
        "select\n"
        "    coalesce(b.unit_no, last.unit_no + row_number() over (\n"
        "        partition by b.unit_no is null order by f.user_id)) as unit_no,\n"
        "    case when b.exposure_us = f.exposure_us then b.unit_version\n"
        f"        else {batch} end as unit_version,\n"
        "    f.experiment_id, f.user_id, f.variant, f.exposure_us, f.first_seen_us,\n"
        "    f.attributes,\n"
        "    b.unit_no is null or b.exposure_us <> f.exposure_us\n"
        "        or b.variant <> f.variant\n"
        "        or b.first_seen_us is distinct from f.first_seen_us\n"
        "        or cast(b.attributes as varchar)\n"
        "            is distinct from cast(f.attributes as varchar) as is_touched\n"
        "from exp_run.int_first_exposures as f cross join last\n"
        "left join units_before as b on f.user_id = b.user_id"
    )
    engine.execute(
        f"create or replace table {STALE_UNITS} as\n"
        f"select {COHORT} as cohort from {UNITS} where is_touched\n"
        "union\n"
        f"select {COHORT.replace('exposure_us', 'b.exposure_us')}\n"
        f"from units_before as b left join {UNITS} as u on b.user_id = u.user_id\n"
        "where u.user_id is null or u.is_touched"
    )
    return int(engine.rows(f"select count(*) from {UNITS} where is_touched")[0][0])


def keep_units(engine: Engine, stored: str) -> int:
    """The units of the last refresh stand: no file of exposures came or went."""
    engine.execute(
        f"create or replace table {UNITS} as\n"
        f"select {_KEPT}, false as is_touched from {stored}"
    )
    engine.execute(
        f"create or replace table {STALE_UNITS} as"
        " select cast(0 as bigint) as cohort where false"
    )
    return 0


def stored_sql(relation: str) -> str:
    """The units of the last refresh, none without one."""
    return f"select {_KEPT} from {relation}" if relation else _NO_UNITS
