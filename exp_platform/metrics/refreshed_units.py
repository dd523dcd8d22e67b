"""Units of an incremental refresh: numbered once, told apart by their first exposure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from exp_platform.lake import Engine
from exp_platform.metrics.models import model_sql
from exp_platform.metrics.source_files import FilePlan, union_sql
from exp_platform.metrics.spans import day_of

UNITS = "exp_run.refreshed_units"
NEW_UNITS = "exp_run.new_units"
STALE_UNITS = "exp_run.units_stale_before"
COHORT = day_of("exposure_us")
"""Day of first exposure, in days since 1970."""

_SEEN, _SEEN_BEFORE = "exp_run.units_seen", "exp_run.units_seen_before"
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


@dataclass(frozen=True, slots=True)
class UnitsChange:
    """What became of the units since the last refresh.

    Attributes:
        n_touched: units that are new or changed.
        n_new: units that were not there.
        is_moved: some unit's first exposure is at another instant, or it is gone: its
            partials of before no longer count.
        is_whole: `exp_run.new_units` holds every unit, and takes the place of those
            stored; else it holds the new ones, which stand beside them.
    """

    n_touched: int = 0
    n_new: int = 0
    is_moved: bool = False
    is_whole: bool = False

    @property
    def is_any(self) -> bool:
        """There is something to be stored."""
        return self.is_whole or self.n_new > 0


@dataclass(frozen=True, slots=True)
class Cohort:
    """Units first exposed on one day.

    Attributes:
        n_units: how many.
        first_us, last_us: their first and last exposure, in microseconds.
        first_no, last_no: their lowest and highest number.
        first_new_us: first exposure of those whose rows are read from the beginning.
        has_missing: ingest set a value of one of them aside.
    """

    n_units: int
    first_us: int
    last_us: int
    first_no: int
    last_no: int
    first_new_us: int | None = None
    has_missing: bool = False

    def merge(self, new: "Cohort") -> "Cohort":
        """With units that are none of these."""
        return Cohort(
            n_units=self.n_units + new.n_units,
            first_us=min(self.first_us, new.first_us),
            last_us=max(self.last_us, new.last_us),
            first_no=min(self.first_no, new.first_no),
            last_no=max(self.last_no, new.last_no),
            first_new_us=new.first_new_us,
            has_missing=self.has_missing or new.has_missing,
        )


def list_cohorts(
    engine: Engine, change: UnitsChange, before: Mapping[int, Cohort], *, batch: int
) -> dict[int, Cohort]:
    """The cohorts by day, in days since 1970.

    Args:
        engine: holds the refreshed units.
        change: what became of the units.
        before: the cohorts of the last refresh; units that came since are put to them,
            and all are counted anew when some changed.
        batch: number of this refresh.
    """
    if change.is_whole or not before:
        return _count_cohorts(engine, UNITS, batch)
    new = _count_cohorts(engine, f"{_SEEN} where is_new", batch) if change.n_new else {}
    there = {day: replace(own, first_new_us=None) for day, own in before.items()}
    both = {day: there[day].merge(own) for day, own in new.items() if day in there}
    return dict(sorted({**there, **new, **both}.items()))


def _count_cohorts(engine: Engine, units: str, batch: int) -> dict[int, Cohort]:
    rows = engine.rows(
        f"select {COHORT}, count(*), min(exposure_us), max(exposure_us),\n"
        "    min(unit_no), max(unit_no),\n"
        f"    min(exposure_us) filter (where unit_version = {batch})\n"
        f"from {units} group by 1 order by 1"
    )
    return {int(day): Cohort(*facts) for day, *facts in rows}


def number_units(
    engine: Engine, plan: FilePlan, stored: str, *, batch: int
) -> UnitsChange:
    """Make `exp_run.refreshed_units` from exposures and the numbers given before.

    A unit whose first exposure is at another instant gets another version: its old
    partials no longer count. Leaves in `exp_run.new_units` what is to be stored.

    Args:
        engine: holds the scope of the run.
        plan: files of exposures.
        stored: relation with the units of the last refresh; empty = none.
        batch: number of this refresh, the version of what is new.
    """
    is_all = not stored or bool(plan.gone)
    before = f"select {_KEPT} from {stored}" if stored else _NO_UNITS
    if not is_all and not plan.unread:
        return _keep_units(engine, before)
    _open_exposures(engine, plan, before, is_all=is_all)
    for name in _MODELS:
        kind = "view" if name.startswith("stg") else "table"
        engine.execute(f"create or replace {kind} exp_run.{name} as\n{model_sql(name)}")
    last = stored or _SEEN_BEFORE
    engine.create_table(_SEEN, _NUMBERED.format(batch=batch, last=last))
    _find_stale(engine)
    n_touched, n_new, n_moved, n_seen = engine.rows(
        "select count(*) filter (where is_touched), count(*) filter (where is_new),\n"
        f"    count(*) filter (where unit_version = {batch} and not is_new), count(*)\n"
        f"from {_SEEN}"
    )[0]
    n_before = engine.rows(f"select count(*) from {_SEEN_BEFORE}")[0][0]
    n_gone = n_before - (n_seen - n_new)
    is_whole = not stored or n_touched > n_new or n_gone > 0
    _show_units(engine, before, is_all=is_all, is_whole=is_whole)
    return UnitsChange(n_touched, n_new, n_moved + n_gone > 0, is_whole)


_NUMBERED = """\
with last as (select coalesce(max(unit_no), 0) as unit_no from {last})
select
    coalesce(b.unit_no, last.unit_no + row_number() over (
        partition by b.unit_no is null order by f.user_id)) as unit_no,
    case when b.exposure_us = f.exposure_us then b.unit_version
        else {batch} end as unit_version,
    f.experiment_id, f.user_id, f.variant, f.exposure_us, f.first_seen_us, f.attributes,
    b.unit_no is null as is_new,
    b.unit_no is null or b.exposure_us <> f.exposure_us or b.variant <> f.variant
        or b.first_seen_us is distinct from f.first_seen_us
        or cast(b.attributes as varchar)
            is distinct from cast(f.attributes as varchar) as is_touched
from exp_run.int_first_exposures as f cross join last
left join exp_run.units_seen_before as b on f.user_id = b.user_id"""


def _keep_units(engine: Engine, before: str) -> UnitsChange:
    """The units of the last refresh stand: no file of exposures came or went."""
    engine.create_view(UNITS, before)
    engine.create_table(STALE_UNITS, "select cast(0 as bigint) as cohort where false")
    return UnitsChange()


def _open_exposures(
    engine: Engine, plan: FilePlan, before: str, *, is_all: bool
) -> None:
    """Exposures of the units to be looked at, and these units as they were.

    Where nothing but new files came, what is stored of a unit is the first of its
    exposures in all files before: it stands for these.
    """
    from exp_platform.lake.reading import open_empty

    files = plan.sources if is_all else plan.unread
    if not is_all:
        users = union_sql(plan.unread, ["user_id"])
        before = f"{before} where user_id in (select user_id from ({users}))"
    engine.create_table(_SEEN_BEFORE, before)
    union = union_sql(files, _EXPOSURES)
    if not union:
        engine.execute("drop view if exists exp.exposures")
        open_empty(engine, "exposures")
        return
    rows = f"select * exclude (file_no) from ({union})"
    engine.create_view("exp.exposures", rows if is_all else f"{rows}\n{_AS_EXPOSURES}")


_AS_EXPOSURES = f"""\
union all by name
select experiment_id, user_id, variant, attributes,
    to_timestamp(0) + to_microseconds(exposure_us) as exposure_ts,
    to_timestamp(0) + to_microseconds(first_seen_us) as first_seen_ts
from {_SEEN_BEFORE}"""


def _find_stale(engine: Engine) -> None:
    """Cohorts that a unit came to, or left."""
    engine.create_table(
        STALE_UNITS,
        f"select {COHORT} as cohort from {_SEEN} where is_touched\n"
        "union\n"
        f"select {COHORT.replace('exposure_us', 'b.exposure_us')}\n"
        f"from {_SEEN_BEFORE} as b left join {_SEEN} as u on b.user_id = u.user_id\n"
        "where u.user_id is null or u.is_touched",
    )


def _show_units(engine: Engine, before: str, *, is_all: bool, is_whole: bool) -> None:
    seen = f"select {_KEPT} from {_SEEN}"
    if is_all:
        engine.create_view(UNITS, seen)
    elif is_whole:
        others = f"{before} where user_id not in (select user_id from {_SEEN})"
        engine.create_view(UNITS, f"{seen}\nunion all\n{others}")
    else:
        engine.create_view(UNITS, f"{before}\nunion all\n{seen} where is_new")
    new = f"select {_KEPT} from {UNITS}" if is_whole else f"{seen} where is_new"
    engine.create_view(NEW_UNITS, new)
