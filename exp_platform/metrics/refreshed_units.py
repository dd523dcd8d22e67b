"""Units of an incremental refresh: numbered once, told apart by their first exposure."""

from collections.abc import Sequence

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
    exposures: Sequence[tuple[int, SourceFile]],
    stored: str,
    *,
    batch: int,
    unread: Sequence[tuple[int, SourceFile]] = (),
) -> int:
    """Make `exp_run.refreshed_units` from exposures and the numbers given before.

    A unit whose first exposure is at another instant gets another version: its old
    partials no longer count.

    Args:
        engine: holds the scope of the run.
        exposures: every file of exposures, with its number.
        stored: relation with the units of the last refresh; empty = none.
        batch: number of this refresh, the version of what is new.
        unread: files that are new, where none is gone: units without a row in them are
            as they were. None of them = every unit is looked at.

    Returns:
        Units that are new or changed.
    """
    before = f"select {_KEPT} from {stored}" if stored else _NO_UNITS
    engine.execute(f"create or replace temp view units_before as {before}")
    seen = _open_exposures(engine, exposures, unread if stored else ())
    for name in _MODELS:
        kind = "view" if name.startswith("stg") else "table"
        engine.execute(f"create or replace {kind} exp_run.{name} as\n{model_sql(name)}")
    others = f"select {_KEPT}, false as is_touched from units_before where not ({seen})"
    engine.execute(
        f"create or replace table {UNITS} as\n{_NUMBERED.format(batch=batch)}\n"
        f"union all by name\n{others}"
    )
    engine.execute(
        f"create or replace table {STALE_UNITS} as\n"
        f"select {COHORT} as cohort from {UNITS} where is_touched\n"
        "union\n"
        f"select {COHORT.replace('exposure_us', 'b.exposure_us')}\n"
        f"from (select * from units_before where {seen}) as b\n"
        f"left join {UNITS} as u on b.user_id = u.user_id\n"
        "where u.user_id is null or u.is_touched"
    )
    return int(engine.rows(f"select count(*) from {UNITS} where is_touched")[0][0])


_NUMBERED = """\
with last as (select coalesce(max(unit_no), 0) as unit_no from units_before)
select
    coalesce(b.unit_no, last.unit_no + row_number() over (
        partition by b.unit_no is null order by f.user_id)) as unit_no,
    case when b.exposure_us = f.exposure_us then b.unit_version
        else {batch} end as unit_version,
    f.experiment_id, f.user_id, f.variant, f.exposure_us, f.first_seen_us, f.attributes,
    b.unit_no is null or b.exposure_us <> f.exposure_us or b.variant <> f.variant
        or b.first_seen_us is distinct from f.first_seen_us
        or cast(b.attributes as varchar)
            is distinct from cast(f.attributes as varchar) as is_touched
from exp_run.int_first_exposures as f cross join last
left join units_before as b on f.user_id = b.user_id"""


def _open_exposures(
    engine: Engine,
    exposures: Sequence[tuple[int, SourceFile]],
    unread: Sequence[tuple[int, SourceFile]],
) -> str:
    """All exposures of the units to be looked at; the condition for such a unit."""
    from exp_platform.lake.reading import open_empty

    union, seen = union_sql(exposures, _EXPOSURES), "true"
    if unread:
        engine.execute(
            "create or replace temp table units_seen as\n"
            f"select distinct user_id from ({union_sql(unread, ['user_id'])})"
        )
        seen = "user_id in (select user_id from units_seen)"
    if union:
        rows = f"select * exclude (file_no) from ({union}) where {seen}"
        engine.create_view("exp.exposures", rows)
    else:
        engine.execute("drop view if exists exp.exposures")
        open_empty(engine, "exposures")
    return seen


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
