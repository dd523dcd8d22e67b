"""Totals by cohort: those that a refresh must compute again, and all of them merged."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from exp_platform.lake import Engine
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
from exp_platform.metrics.refreshed_units import COHORT, STALE_UNITS, UNITS
from exp_platform.metrics.scope import maturity_us, microseconds, write_scopes
from exp_platform.metrics.source_files import numbers_sql, texts_sql
from exp_platform.metrics.spans import DAY_US, reach_of
from exp_platform.metrics.totals import Key, read_totals
from exp_platform.records import ExperimentSpec, MetricDefinition, MetricTotals
from exp_platform.stats.moments import merge_totals

CohortKey = tuple[str, str, str, int]
"""Metric, segment, variant, day of first exposure in days since 1970."""

PROFILE = "dim_user."
"""Segments from events before exposure; a refresh does not read all of these."""

_PARTIAL = "unit_no, unit_version, metric_name, column_name, micros, number"
_NO_PARTIALS = (
    f"select '' as experiment_id, {_PARTIAL} from exp_run.new_partials where false"
)
_LOST = (
    "select json_extract_string(payload, '$.user_id') from exp.quarantine"
    " where table_name = 'outcomes'"
)
_MODELS = (
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
    return _days(engine, f"select {COHORT} from {UNITS} where user_id in ({_LOST})")


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

    A cohort stands in the models as an experiment of its own, with those metrics for
    which it is stale, so that all are computed in one go.

    Args:
        engine: holds the scope of the run, the refreshed units, new and stored partials.
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
    days = frozenset().union(*grown.values())
    if not days:
        return found
    _open_missing(engine)
    _open_units(engine, spec, days)
    partial = {name: own for name, own in grown.items() if own and name not in in_full}
    _read_partials(engine, definitions, partial, live)
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


def _open_missing(engine: Engine) -> None:
    """Values that ingest set aside, each under the cohort of its unit."""
    units = "exp_run.experiment_assignments"
    engine.create_table(
        units,
        f"select *, true as is_in_analysis from {UNITS}\nwhere user_id in ({_LOST})",
    )
    missing = "int_missing_values"
    engine.create_table(f"exp_run.{missing}", model_sql(missing))
    engine.execute(
        f"update exp_run.{missing} set experiment_id = cast({COHORT} as varchar)\n"
        f"from {units} as u where {missing}.unit_no = u.unit_no"
    )


def _open_units(engine: Engine, spec: ExperimentSpec, days: Collection[int]) -> None:
    """Units of these cohorts; the experiment's place is taken by the cohort."""
    columns = "unit_no, unit_version, user_id, variant, exposure_us, first_seen_us"
    if _own_segments(spec):
        columns += ", attributes"
    engine.create_table(
        "exp_run.experiment_assignments",
        f"select cast({COHORT} as varchar) as experiment_id, {columns},\n"
        f"    true as is_in_analysis\nfrom {UNITS}\n"
        # bounds of the column itself leave out whole groups of rows
        f"where exposure_us >= {min(days) * DAY_US}\n"
        f"    and exposure_us < {(max(days) + 1) * DAY_US}\n"
        f"    and {numbers_sql(COHORT, sorted(days))}\norder by unit_no",
    )


def _read_partials(
    engine: Engine,
    definitions: Mapping[str, MetricDefinition],
    cohorts: Mapping[str, frozenset[int]],
    live: Collection[int],
) -> None:
    """Partials that count, of each metric those of its stale cohorts."""
    branches = []
    for days in dict.fromkeys(cohorts.values()):
        names = [name for name, own in cohorts.items() if own == days]
        named = texts_sql("metric_name", names)
        dated = _dated_sql([definitions[name] for name in names], days)
        units = (
            "select experiment_id, unit_no, unit_version\n"
            "    from exp_run.experiment_assignments\n"
            f"    where {texts_sql('experiment_id', map(str, sorted(days)))}"
        )
        numbered = numbers_sql("file_no", sorted(live))
        sources = {"stored_partials": f" and {numbered}", "new_partials": ""}
        branches += [
            f"select u.experiment_id, p.* from (\n    select {_PARTIAL}\n"
            f"    from exp_run.{source} where {named} and {dated}{more}\n"
            f") as p inner join (\n    {units}\n"
            ") as u on p.unit_no = u.unit_no and p.unit_version = u.unit_version"
            for source, more in sources.items()
        ]
    engine.create_table(PARTIALS, union_of(branches) or _NO_PARTIALS)


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
