"""Totals by cohort: those that a refresh must compute again, and all of them merged."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from exp_platform.lake import Engine
from exp_platform.lake.reading import open_empty
from exp_platform.metrics.generated import EMPTY
from exp_platform.metrics.measures import parts_of
from exp_platform.metrics.models import model_sql
from exp_platform.metrics.observations import (
    missing_sql,
    observation_sql,
    segment_sql,
    union_of,
)
from exp_platform.metrics.partials import PARTIALS, merged_missing_sql, merged_sql
from exp_platform.metrics.refreshed_units import COHORT, STALE_UNITS, UNITS, Cohort
from exp_platform.metrics.scope import maturity_us, microseconds, write_scopes
from exp_platform.metrics.source_files import numbers_sql, texts_sql
from exp_platform.metrics.spans import DAY_US, reach_of
from exp_platform.metrics.totals import Key, read_totals
from exp_platform.metrics.unit_values import RELATIONS
from exp_platform.records import (
    ExperimentSpec,
    MetricDefinition,
    MetricTotals,
    SourceKind,
)
from exp_platform.stats.moments import merge_totals

CohortKey = tuple[str, str, str, int]
"""Metric, segment, variant, day of first exposure in days since 1970."""

PROFILE = "dim_user."
"""Segments from events before exposure; a refresh does not read all of these."""

_PARTIAL = "unit_no, unit_version, metric_name, column_name, micros, number"
_NO_PARTIALS = (
    f"select '' as experiment_id, {_PARTIAL} from exp_run.new_partials where false"
)
_LOST = {
    SourceKind.OUTCOME: "select json_extract_string(payload, '$.user_id')"
    " from exp.quarantine where table_name = 'outcomes'",
    SourceKind.EVENT: "select user_id from exp.event_quarantine",
}
"""Units of which ingest set a row aside."""
_MODELS = (
    "metric_missing_values",
    "int_incomplete_units",
    "metric_observations",
    "metric_calculations",
    "unit_segments",
    "int_segment_units",
    "metric_aggregates_overall",
)


def find_stale_cohorts(
    engine: Engine,
    definitions: Mapping[str, MetricDefinition],
    cohorts: Mapping[int, Cohort],
    *,
    since_us: int,
    until_us: int,
    gone: Collection[int],
    missing: Collection[int],
    earlier: Mapping[CohortKey, MetricTotals],
) -> dict[str, frozenset[int]]:
    """Cohorts with a unit whose number may be another than at the last refresh, by metric.

    Args:
        engine: holds the refreshed units, the new partials and the stored ones.
        definitions: metrics with partials.
        cohorts: all there are, by day.
        since_us: watermark of the last refresh.
        until_us: watermark of this one.
        gone: numbers of files that no longer count.
        missing: cohorts of units of which ingest set a value aside, now or at the last
            refresh.
        earlier: totals of the last refresh.
    """
    touched = _days(engine, f"select cohort from {STALE_UNITS}")
    changed = _changed_rows(engine, gone)
    found = {}
    for name, definition in definitions.items():
        lost = {k[3] for k, t in earlier.items() if k[0] == name and t.n_missing}
        mature, matured = set(), set()
        for day, own in cohorts.items():
            edges = own.first_us, own.last_us
            if definition.is_day_grained:
                # the window begins at midnight, so all of a cohort mature at once
                edges = (day * DAY_US,) * 2
            early, late = (us + maturity_us(definition) for us in edges)
            if early <= until_us:
                mature.add(day)
                if late > since_us:
                    matured.add(day)
        moved = (changed.get(name, set()) | {*missing} | lost) & mature
        found[name] = frozenset(touched | matured | moved | (lost - mature))
    return found


def _changed_rows(engine: Engine, gone: Collection[int]) -> dict[str, set[int]]:
    """Cohorts of units with rows in what was read now, or in a file that is gone."""
    select = "select distinct metric_name, cohort from exp_run.new_partials"
    if gone:
        select += (
            f"\nunion\nselect metric_name, {COHORT}\nfrom exp_run.stored_partials"
            f" inner join {UNITS} using (unit_no)\n"
            f"where {numbers_sql('file_no', gone)}"
        )
    rows = engine.rows(select)
    found: dict[str, set[int]] = {}
    for metric, cohort in rows:
        found.setdefault(str(metric), set()).add(int(cohort))
    return found


def find_missing_cohorts(
    engine: Engine, definitions: Iterable[MetricDefinition]
) -> set[int]:
    """Cohorts of units of which ingest set a value aside.

    Args:
        engine: holds the refreshed units, `exp.quarantine` and, where the experiment
            has events, `exp.event_quarantine`.
        definitions: the metrics.
    """
    kinds = _kinds(definitions)
    if SourceKind.EVENT in kinds:
        open_empty(engine, "event_quarantine")
    if not _has_lost(engine, kinds):
        return set()
    lost = _lost_sql(kinds)
    return _days(engine, f"select {COHORT} from {UNITS} where user_id in ({lost})")


def _kinds(definitions: Iterable[MetricDefinition]) -> list[SourceKind]:
    parts = (part for own in definitions for part, _ in parts_of(own))
    return sorted({part.rows.kind for part in parts})


def _lost_sql(kinds: Iterable[SourceKind]) -> str:
    return " union all ".join(_LOST[kind] for kind in kinds)


def _has_lost(engine: Engine, kinds: Sequence[SourceKind]) -> bool:
    return bool(kinds and engine.rows(f"{_lost_sql(kinds)} limit 1"))


def _days(engine: Engine, select: str) -> set[int]:
    rows = engine.rows(f"select distinct * from ({select}) as days")
    return {int(row[0]) for row in rows}


def total_cohorts(
    engine: Engine,
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    stale: Mapping[str, frozenset[int]],
    cohorts: Mapping[int, Cohort],
    *,
    fixed_point: Collection[str],
    in_full: Collection[str],
    live: Collection[int],
) -> dict[CohortKey, MetricTotals]:
    """Totals of the stale cohorts, by the models of a full pass.

    A cohort stands in the models as an experiment of its own, with those metrics for
    which it is stale, so that all are computed in one go.

    Args:
        engine: holds the scope of the run, the refreshed units, new and stored partials.
        spec: the experiment.
        definitions: its metrics.
        stale: cohorts to be computed, by metric.
        cohorts: all there are, by day.
        fixed_point: outcome names whose sums are exact.
        in_full: metrics without partials, whose rows stand in the engine.
        live: numbers of the files that count.
    """
    young = _young_cohorts(spec, definitions, stale, cohorts)
    found = _count_young(engine, spec, young)
    # a cohort whose units are all gone has no totals
    grown = {name: days & cohorts.keys() - young[name] for name, days in stale.items()}
    days = frozenset().union(*grown.values())
    if not days:
        return found
    _open_missing(engine, _kinds(definitions.values()))
    _open_units(engine, spec, days)
    partial = {name: own for name, own in grown.items() if own and name not in in_full}
    sources = {
        "stored_partials": numbers_sql("file_no", sorted(live)),
        "new_partials": "true",
    }
    branches = _partial_branches(definitions, partial, cohorts, sources)
    engine.create_table(PARTIALS, union_of(branches) or _NO_PARTIALS)
    write_scopes(engine, _cohort_scopes(spec, definitions, grown))
    own = {name: definitions[name] for name, some in grown.items() if some}
    generated = _selects(spec, own, fixed_point=fixed_point, in_full=in_full)
    for name in _MODELS:
        engine.create_table(
            f"exp_run.{name}",
            generated.get(name) or model_sql(name),
            in_order=name == "metric_aggregates_overall",
        )
    rows = engine.records("select * from exp_run.metric_aggregates_overall")
    return found | _read_cohorts(spec, rows)


def _cohort_scopes(
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    grown: Mapping[str, frozenset[int]],
) -> Iterator[tuple[ExperimentSpec, dict[str, MetricDefinition]]]:
    for day in sorted(frozenset().union(*grown.values())):
        own = {name: definitions[name] for name, days in grown.items() if day in days}
        yield replace(spec, experiment_id=str(day)), own


def _young_cohorts(
    spec: ExperimentSpec,
    definitions: Mapping[str, MetricDefinition],
    stale: Mapping[str, frozenset[int]],
    cohorts: Mapping[int, Cohort],
) -> dict[str, frozenset[int]]:
    """Stale cohorts without a mature unit, by metric: they have nothing but a size."""
    until, found = microseconds(spec.watermark_ts), {}
    for name, definition in definitions.items():
        need, is_whole = maturity_us(definition), definition.is_day_grained
        young = {
            day
            for day, own in cohorts.items()
            if (day * DAY_US if is_whole else own.first_us) + need > until
        }
        found[name] = stale.get(name, frozenset()) & young
    return found


def _count_young(
    engine: Engine, spec: ExperimentSpec, young: Mapping[str, frozenset[int]]
) -> dict[CohortKey, MetricTotals]:
    days = frozenset().union(*young.values())
    if not days:
        return {}
    _open_units(engine, spec, days)
    rows = engine.rows(
        "select u.experiment_id, s.segment, u.variant, count(*)\n"
        f"from (\n{_segments_sql(spec)}\n) as s\n"
        "inner join exp_run.experiment_assignments as u on s.unit_no = u.unit_no\n"
        "group by u.experiment_id, s.segment, u.variant"
    )
    found: dict[CohortKey, MetricTotals] = {}
    for cohort, segment, variant, count in rows:
        day = int(cohort)
        for name in (name for name, own in young.items() if day in own):
            found[name, str(segment), str(variant), day] = MetricTotals(
                spec.experiment_id,
                name,
                str(variant),
                0,
                None,
                None,
                segment=str(segment),
                n_immature=int(count),
            )
    return found


def merge_cohorts(cohorts: Mapping[CohortKey, MetricTotals]) -> dict[Key, MetricTotals]:
    """Totals of all cohorts together, by (metric, segment, variant)."""
    parts: dict[Key, list[MetricTotals]] = {}
    for place in sorted(cohorts):
        parts.setdefault(place[:3], []).append(cohorts[place])
    return {key: merge_totals(totals) for key, totals in parts.items()}


def _open_missing(engine: Engine, kinds: Sequence[SourceKind]) -> None:
    """Values that ingest set aside, each under the cohort of its unit."""
    units, has_lost = "exp_run.experiment_assignments", _has_lost(engine, kinds)
    if has_lost:
        lost = _lost_sql(kinds)
        engine.create_table(
            units,
            f"select *, true as is_in_analysis from {UNITS}\nwhere user_id in ({lost})",
        )
    for relation in (RELATIONS[kind] for kind in kinds):
        if not has_lost:
            engine.create_table(relation.missing, _NONE_MISSING.format(of=relation))
            continue
        model = relation.missing.removeprefix("exp_run.")
        engine.create_table(relation.missing, model_sql(model))
        engine.execute(
            f"update {relation.missing} set experiment_id = cast({COHORT} as varchar)\n"
            f"from {units} as u where {model}.unit_no = u.unit_no"
        )


_NONE_MISSING = (
    "select '' as experiment_id, cast(0 as bigint) as unit_no, '' as variant,"
    " '' as {of.name}, cast(0 as bigint) as {of.instant},"
    " cast(0 as bigint) as offset_us where false"
)


def _open_units(engine: Engine, spec: ExperimentSpec, days: Collection[int]) -> None:
    """Units of these cohorts; the experiment's place is taken by the cohort."""
    attributes = ", attributes" if _own_segments(spec) else ""
    engine.create_table(
        "exp_run.experiment_assignments",
        f"select cast({COHORT} as varchar) as experiment_id, unit_no, unit_version,\n"
        # no total needs the names of the units, and texts take long to read
        f"    cast(null as varchar) as user_id, variant, exposure_us, first_seen_us,\n"
        f"    true as is_in_analysis{attributes}\n"
        f"from {UNITS}\n"
        # bounds of the column itself leave out whole groups of rows
        f"where exposure_us >= {min(days) * DAY_US}\n"
        f"    and exposure_us < {(max(days) + 1) * DAY_US}\n"
        f"    and {numbers_sql(COHORT, sorted(days))}",
    )


def _partial_branches(
    definitions: Mapping[str, MetricDefinition],
    stale: Mapping[str, frozenset[int]],
    cohorts: Mapping[int, Cohort],
    sources: Mapping[str, str],
) -> list[str]:
    """SELECTs of the partials that count, of each metric those of its stale cohorts.

    Bounds of days and of unit numbers leave out files, and groups of rows, unread.
    """
    branches = []
    for days in dict.fromkeys(stale.values()):
        names = [name for name, own in stale.items() if own == days]
        named = texts_sql("metric_name", names)
        dated = _dated_sql([definitions[name] for name in names], days)
        first = min(cohorts[day].first_no for day in days)
        last = max(cohorts[day].last_no for day in days)
        units = (
            "select experiment_id, unit_no, unit_version\n"
            "    from exp_run.experiment_assignments\n"
            f"    where {texts_sql('experiment_id', map(str, sorted(days)))}"
        )
        branches += [
            f"select u.experiment_id, p.* from (\n    select {_PARTIAL}\n"
            f"    from exp_run.{source} where {counts} and {named} and {dated}\n"
            f"        and unit_no between {first} and {last}\n"
            f") as p inner join (\n    {units}\n"
            ") as u on p.unit_no = u.unit_no and p.unit_version = u.unit_version"
            for source, counts in sources.items()
        ]
    return branches


def _dated_sql(definitions: Iterable[MetricDefinition], days: Collection[int]) -> str:
    """Days on which a unit of these cohorts may have rows inside some window."""
    spans = [part.span for d in definitions for part, _ in parts_of(d)]
    first, end = reach_of(spans)
    condition = f"outcome_day >= {min(days) + first // DAY_US}"
    if end is not None:
        condition += f" and outcome_day <= {max(days) + 1 + (end - 1) // DAY_US}"
    return condition


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


def _own_segments(spec: ExperimentSpec) -> list[str]:
    return [name for name in spec.plan.segments if not name.startswith(PROFILE)]


def _segments_sql(spec: ExperimentSpec) -> str:
    return segment_sql(_own_segments(spec))


def _read_cohorts(
    spec: ExperimentSpec, rows: Iterable[Mapping[str, Any]]
) -> dict[CohortKey, MetricTotals]:
    found = {}
    for row in rows:
        own = {**row, "experiment_id": spec.experiment_id}
        ((key, totals),) = read_totals([own]).items()
        found[(*key, int(row["experiment_id"]))] = totals
    return found
