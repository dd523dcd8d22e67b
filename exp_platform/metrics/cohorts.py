"""Totals by cohort: those that a refresh must compute again, and all of them merged."""

from collections.abc import Collection, Iterable, Mapping

from exp_platform.lake import Engine
from exp_platform.metrics.generated import EMPTY
from exp_platform.metrics.models import model_sql
from exp_platform.metrics.observations import (
    missing_sql,
    observation_sql,
    segment_sql,
    union_of,
)
from exp_platform.metrics.partials import PARTIALS, merged_missing_sql, merged_sql
from exp_platform.metrics.refreshed_units import COHORT, STALE_UNITS, UNITS
from exp_platform.metrics.scope import maturity_us, microseconds, write_scope
from exp_platform.metrics.source_files import numbers_sql, texts_sql
from exp_platform.metrics.spans import DAY_US
from exp_platform.metrics.totals import Key, read_totals
from exp_platform.records import ExperimentSpec, MetricDefinition, MetricTotals
from exp_platform.stats.moments import merge_totals

CohortKey = tuple[str, str, str, int]
"""Metric, segment, variant, day of first exposure in days since 1970."""

PROFILE = "dim_user."
"""Segments from events before exposure; a refresh does not read all of these."""

_SEPARATOR = "|"
_PARTIAL = "unit_no, unit_version, file_no, metric_name, column_name, micros, number"
_MODELS = (
    "int_missing_values",
    "metric_missing_values",
    "int_incomplete_units",
    "metric_observations",
    "metric_calculations",
    "unit_segments",
    "int_segment_units",
    "metric_aggregates_overall",
)


def all_cohorts(engine: Engine) -> frozenset[int]:
    """Every day on which a unit was first exposed."""
    rows = engine.rows(f"select distinct {COHORT} from {UNITS}")
    return frozenset(int(row[0]) for row in rows)


def find_stale_cohorts(
    engine: Engine,
    definitions: Mapping[str, MetricDefinition],
    *,
    since_us: int,
    until_us: int,
    gone: Collection[int],
    cohorts: Mapping[CohortKey, MetricTotals],
) -> dict[str, frozenset[int]]:
    """Cohorts with a unit whose number may be another than at the last refresh, by metric.

    Args:
        engine: holds the refreshed units, the new partials and the stored ones.
        definitions: metrics with partials.
        since_us: watermark of the last refresh.
        until_us: watermark of this one.
        gone: numbers of files that no longer count.
        cohorts: totals of the last refresh.
    """
    touched = _days(engine, f"select cohort from {STALE_UNITS}")
    changed = _changed_rows(engine, gone)
    missing = _missing_cohorts(engine)
    spans = _exposure_spans(engine)
    found = {}
    for name, definition in definitions.items():
        lost = {k[3] for k, t in cohorts.items() if k[0] == name and t.n_missing}
        mature, matured = set(), set()
        for day, (first, last) in spans.items():
            # a day-grained window begins at midnight, so all of a cohort mature at once
            edges = (day * DAY_US,) * 2 if definition.is_day_grained else (first, last)
            early, late = (us + maturity_us(definition) for us in edges)
            if early <= until_us:
                mature.add(day)
                if late > since_us:
                    matured.add(day)
        moved = (changed.get(name, set()) | missing | lost) & mature
        found[name] = frozenset(touched | matured | moved | (lost - mature))
    return found


def _exposure_spans(engine: Engine) -> dict[int, tuple[int, int]]:
    """First and last exposure of every cohort, in microseconds."""
    rows = engine.rows(
        f"select {COHORT}, min(exposure_us), max(exposure_us) from {UNITS} group by 1"
    )
    return {int(day): (int(first), int(last)) for day, first, last in rows}


def _changed_rows(engine: Engine, gone: Collection[int]) -> dict[str, set[int]]:
    """Cohorts of units with rows in what was read now, or in a file that is gone."""
    rows = engine.rows(
        f"select distinct metric_name, {COHORT} from (\n"
        "    select unit_no, metric_name from exp_run.new_partials\n"
        "    union all\n"
        "    select unit_no, metric_name from exp_run.stored_partials\n"
        f"    where {numbers_sql('file_no', gone)}\n"
        f") as rows inner join {UNITS} as u using (unit_no)"
    )
    found: dict[str, set[int]] = {}
    for metric, cohort in rows:
        found.setdefault(str(metric), set()).add(int(cohort))
    return found


def _missing_cohorts(engine: Engine) -> set[int]:
    """Cohorts of units of which ingest set a value aside."""
    rows = "json_extract_string(payload, '$.user_id')"
    return _days(
        engine,
        f"select {COHORT} from {UNITS} where user_id in (\n"
        f"    select {rows} from exp.quarantine where table_name = 'outcomes')",
    )


def _days(engine: Engine, select: str) -> set[int]:
    rows = engine.rows(f"select distinct * from ({select}) as days")
    return {int(row[0]) for row in rows}


def total_cohorts(
    engine: Engine,
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    stale: Mapping[str, frozenset[int]],
    *,
    fixed_point: Collection[str],
    in_full: Collection[str],
    live: Collection[int],
) -> dict[CohortKey, MetricTotals]:
    """Totals of the stale cohorts, by the models of a full pass.

    Args:
        engine: holds the refreshed units, new and stored partials.
        spec: the experiment.
        definitions: its metrics.
        stale: cohorts by metric.
        fixed_point: outcome names whose sums are exact.
        in_full: metrics without partials, whose rows stand in the engine.
        live: numbers of the files that count.
    """
    young = _young_cohorts(engine, spec, definitions, stale)
    found = _count_young(engine, spec, young)
    grown = {name: days - young[name] for name, days in stale.items()}
    partial = [name for name, days in grown.items() if days and name not in in_full]
    _open_units(engine, frozenset().union(*grown.values()))
    _read_partials(engine, partial, live)
    for days in dict.fromkeys(grown.values()):
        names = [name for name, own in grown.items() if own == days]
        if not days:
            continue
        own = {name: definitions[name] for name in names}
        write_scope(engine, spec, own)
        _open_units(engine, days)
        engine.create_view(PARTIALS, _OWN_PARTIALS)
        generated = _selects(spec, own, fixed_point=fixed_point, in_full=in_full)
        for name in _MODELS:
            select = generated.get(name) or model_sql(name)
            statement = f"create or replace table exp_run.{name} as\n{select}"
            if name == "metric_aggregates_overall":
                engine.execute_ordered(statement)
            else:
                engine.execute(statement)
        rows = engine.records("select * from exp_run.metric_aggregates_overall")
        found.update(_read_cohorts(read_totals(rows)))
    return found


def _young_cohorts(
    engine: Engine,
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    stale: Mapping[str, frozenset[int]],
) -> dict[str, frozenset[int]]:
    """Stale cohorts without a mature unit, by metric: they have nothing but a size."""
    spans, until = _exposure_spans(engine), microseconds(spec.watermark_ts)
    found = {}
    for name, definition in definitions.items():
        need, is_whole = maturity_us(definition), definition.is_day_grained
        young = {
            day
            for day, (first, _) in spans.items()
            if (day * DAY_US if is_whole else first) + need > until
        }
        found[name] = stale.get(name, frozenset()) & young
    return found


def _count_young(
    engine: Engine, spec: ExperimentSpec, young: Mapping[str, frozenset[int]]
) -> dict[CohortKey, MetricTotals]:
    days = frozenset().union(*young.values())
    if not days:
        return {}
    _open_units(engine, days)
    rows = engine.rows(
        "select s.segment, u.variant, count(*)\n"
        f"from (\n{_segments_sql(spec)}\n) as s\n"
        "inner join exp_run.experiment_assignments as u on s.unit_no = u.unit_no\n"
        "group by s.segment, u.variant"
    )
    found: dict[CohortKey, MetricTotals] = {}
    for label, variant, count in rows:
        day, _, segment = str(label).partition(_SEPARATOR)
        for name in (name for name, own in young.items() if int(day) in own):
            found[name, segment, str(variant), int(day)] = MetricTotals(
                spec.experiment_id,
                name,
                str(variant),
                0,
                None,
                None,
                segment=segment,
                n_immature=int(count),
            )
    return found


def merge_cohorts(cohorts: Mapping[CohortKey, MetricTotals]) -> dict[Key, MetricTotals]:
    """Totals of all cohorts together, by (metric, segment, variant)."""
    parts: dict[Key, list[MetricTotals]] = {}
    for place in sorted(cohorts):
        parts.setdefault(place[:3], []).append(cohorts[place])
    return {key: merge_totals(totals) for key, totals in parts.items()}


def _open_units(engine: Engine, days: Iterable[int]) -> None:
    engine.execute(
        "create or replace table exp_run.experiment_assignments as\n"
        f"select *, true as is_in_analysis from {UNITS}\n"
        f"where {numbers_sql(COHORT, sorted(days))}\norder by unit_no"
    )


def _read_partials(
    engine: Engine, metrics: Iterable[str], live: Collection[int]
) -> None:
    """Partials that count, of these units and metrics."""
    condition = texts_sql("metric_name", metrics)
    engine.execute(
        "create or replace table exp_run.read_partials as\n"
        "select p.* from (\n"
        f"    select {_PARTIAL} from exp_run.stored_partials where {condition}\n"
        f"        and {numbers_sql('file_no', sorted(live))}\n"
        "    union all\n"
        f"    select {_PARTIAL} from exp_run.new_partials where {condition}\n"
        ") as p inner join exp_run.experiment_assignments as u\n"
        "    on p.unit_no = u.unit_no and p.unit_version = u.unit_version"
    )


_OWN_PARTIALS = """\
select u.experiment_id, p.*
from exp_run.read_partials as p
inner join exp_run.experiment_assignments as u on p.unit_no = u.unit_no"""


def _selects(
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    *,
    fixed_point: Collection[str],
    in_full: Collection[str],
) -> dict[str, str]:
    observed, missing = [], []
    for name, definition in definitions.items():
        if name in in_full:
            observed.append(observation_sql(definition, fixed_point=fixed_point))
            missing.append(missing_sql(definition))
        else:
            observed.append(merged_sql(definition, fixed_point=fixed_point))
            missing.append(merged_missing_sql(definition))
    return {
        "metric_observations": union_of(observed) or EMPTY["metric_observations"],
        "metric_missing_values": union_of(missing) or EMPTY["metric_missing_values"],
        "unit_segments": _segments_sql(spec),
    }


def _segments_sql(spec: ExperimentSpec) -> str:
    """Segments of the units, each named after its cohort too."""
    own = [name for name in spec.plan.segments if not name.startswith(PROFILE)]
    day = COHORT.replace("exposure_us", "u.exposure_us")
    return (
        f"select s.unit_no, {day} || '{_SEPARATOR}' || s.segment as segment\n"
        f"from (\n{segment_sql(own)}\n) as s\n"
        "inner join exp_run.experiment_assignments as u on s.unit_no = u.unit_no"
    )


def _read_cohorts(totals: Mapping[Key, MetricTotals]) -> dict[CohortKey, MetricTotals]:
    from dataclasses import replace

    found = {}
    for (metric, label, variant), arm in totals.items():
        day, _, segment = label.partition(_SEPARATOR)
        found[(metric, segment, variant, int(day))] = replace(arm, segment=segment)
    return found
