"""Stage metrics: canonical rows to moments per metric and arm, all of it in SQL."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from exp_platform.metrics.caps import lacks_cap
from exp_platform.metrics.clusters import ClusterMeasures, measure_clusters
from exp_platform.metrics.freezing import compute_caps
from exp_platform.metrics.generated import generate_selects
from exp_platform.metrics.handover import build_models_elsewhere
from exp_platform.metrics.models import build_models
from exp_platform.metrics.observed import Observe, open_observed
from exp_platform.metrics.panel import build_panel
from exp_platform.metrics.panel_window import PanelWindow, choose_window
from exp_platform.metrics.scope import write_scope
from exp_platform.metrics.tails import read_tails
from exp_platform.metrics.totals import (
    Key,
    read_adjustments,
    read_cohorts,
    read_quantiles,
    read_totals,
)
from exp_platform.metrics.unit_values import IS_FIXED_POINT
from exp_platform.metrics.uptake import UptakeTotals, measure_uptake
from exp_platform.pipelines.engines import open_stage_engine
from exp_platform.pipelines.metrics_run import require_same_rows
from exp_platform.pipelines.panel_runs import require_rows_by_user
from exp_platform.pipelines.provenance import digest
from exp_platform.pipelines.published_definitions import require_same_meaning
from exp_platform.pipelines.rows import from_rows
from exp_platform.pipelines.run import EVENT_TABLES, STAGE_TABLES, Run, nothing_stored
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import (
    AdjustmentTotals,
    Assignment,
    ExperimentSpec,
    GramTotals,
    LedgerStage,
    MetricDefinition,
    MetricTotals,
    MetricType,
    QuantileTotals,
    TailTotals,
)

Cohorts = tuple[tuple[int, MetricTotals], ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """What the metrics stage hands over.

    Attributes:
        totals: by (metric, segment, variant).
        grams: panels by (metric, variant); empty where there are no days to compare.
        window: days of the panels.
        split: rows of `sample_ratio_mismatch`.
        twin: rows of `experiment_results`, the same test written in SQL.
        anomalies: rows of `metric_anomalies`.
        units: rows per arm with the flags that checks need.
        tails: the most extreme units by (metric, variant); none of a ratio or a share.
        quantiles: order statistics of the quantile metrics, as `totals`.
        adjustments: moments with all covariates, of metrics that have several.
        cohorts: by (metric, variant), the days at whose end units matured with their
            totals; of metrics with a window only.
        clusters: totals by cluster; None where units were assigned one by one.
        uptake: each metric with who received the treatment, by (metric, variant).
        observe: reads the units of one comparison; None where arms were assigned.
    """

    totals: Mapping[tuple[str, str, str], MetricTotals]
    grams: Mapping[tuple[str, str], GramTotals]
    window: PanelWindow | None
    ledger: tuple[LedgerStage, ...]
    split: tuple[dict[str, Any], ...]
    twin: tuple[dict[str, Any], ...]
    units: tuple[dict[str, Any], ...]
    tails: Mapping[tuple[str, str], TailTotals] = field(default_factory=dict)
    quantiles: Mapping[Key, QuantileTotals] = field(default_factory=dict)
    adjustments: Mapping[Key, AdjustmentTotals] = field(default_factory=dict)
    cohorts: Mapping[tuple[str, str], Cohorts] = field(default_factory=dict)
    clusters: ClusterMeasures | None = None
    anomalies: tuple[dict[str, Any], ...] = ()
    uptake: UptakeTotals = field(default_factory=dict)
    observe: Observe | None = None

    @property
    def segments(self) -> tuple[str, ...]:
        """Segments that have totals: `all`, then by name, whatever engine summed them."""
        found = {segment for _, segment, _ in self.totals}
        return ("all", *sorted(found - {"all"}))

    def pair(
        self, metric: str, segment: str, spec: ExperimentSpec, treatment: str
    ) -> tuple[MetricTotals, MetricTotals]:
        """Moments of control and of one treatment; an absent arm has n = 0."""
        control, arm = (
            self.totals.get((metric, segment, variant))
            or MetricTotals(
                spec.experiment_id, metric, variant, 0, None, None, segment=segment
            )
            for variant in (spec.control, treatment)
        )
        return control, arm


_COHORTS_SQL = """\
select * from exp_run.int_maturity_totals
order by metric_name, variant, maturity_day"""
_UNITS_SQL = """\
select
    variant,
    count(*) as n_units,
    count(*) filter (where is_crossover) as n_crossover,
    count(*) filter (where is_bot) as n_bots,
    count(*) filter (where is_in_analysis) as n_in_analysis
from exp_run.experiment_assignments
group by variant
order by variant"""


_QUANTILES = "exp_run.metric_quantiles"
_ADJUSTMENTS = "exp_run.metric_adjustments"


def freeze_caps(run: Run, ingested: Ingested) -> Ingested:
    """Take the number of each percentile cap that has none, in DuckDB.

    `build_metrics` stores it with the definition, where later runs find it.

    Args:
        run: its engine holds the canonical rows.
        ingested: the experiment, with the numbers that earlier runs froze.

    Raises:
        ContractError: no unit has a total yet.
        UsageError: the cap would not be positive.
    """
    if not any(map(lacks_cap, ingested.definitions.values())):
        return ingested
    definitions = compute_caps(
        run.engine,
        ingested.spec,
        ingested.definitions,
        fixed_point=fixed_point(run),
    )
    return replace(ingested, definitions=definitions)


def build_metrics(run: Run, ingested: Ingested) -> Measured:
    """Compute every total of the experiment and stage the metric tables.

    Raises:
        UsageError: a percentile cap without its number, see `freeze_caps`.
    """
    engine, spec = run.engine, ingested.spec
    definitions = ingested.definitions
    write_scope(engine, spec, definitions)
    has_events = bool(spec.namespace)
    exact = fixed_point(run)
    create_relations(run, ingested, exact)
    for table in STAGE_TABLES["metrics"]:
        if table != "metric_definitions":
            run.store_relation(table, f"exp_run.{table}")
    _store_definitions(run, ingested)
    if has_events:
        for table in EVENT_TABLES:
            run.store_relation(table, f"exp_run.{table}")
    else:
        run.drop_leftovers(*EVENT_TABLES)
    totals = read_totals(engine.records(f"select * from {_relation('overall')}"))
    run.digest = digest(totals.values())
    listed = list(definitions.values())
    run.stages["metrics"] = "done"
    return Measured(
        totals=totals,
        grams=_panels(run, spec, listed, exact),
        window=choose_window(spec),
        ledger=tuple(_ledger(engine.records("select * from exp_run.unit_ledger"))),
        split=tuple(engine.records("select * from exp_run.sample_ratio_mismatch")),
        twin=tuple(engine.records("select * from exp_run.experiment_results")),
        units=tuple(engine.records(_UNITS_SQL)),
        tails=_tails(run, ingested, totals),
        quantiles=read_quantiles(engine.records(f"from {_QUANTILES}")),
        adjustments=read_adjustments(engine.records(f"from {_ADJUSTMENTS}")),
        cohorts=read_cohorts(run.engine.records(_COHORTS_SQL)),
        clusters=_clusters(run, spec, listed, exact),
        anomalies=tuple(engine.records("select * from exp_run.metric_anomalies")),
        uptake=measure_uptake(engine, spec, listed),
        observe=_open_observed(run, spec),
    )


def load_measured(run: Run, ingested: Ingested) -> Measured:
    """What an earlier run published, in place of a hand-over; panels are summed anew.

    Raises:
        ContractError: nobody has computed the metrics yet, or under other definitions,
            or from other rows.
        UsageError: a ready-made panel, which has none.
    """
    require_rows_by_user(run)
    stored = {
        table: run.lake.read(table, experiment_id=run.experiment_id).to_pylist()
        for table in (
            "metric_aggregates_overall",
            "unit_ledger",
            "sample_ratio_mismatch",
            "experiment_results",
            "metric_quantiles",
            "metric_adjustments",
            "metric_anomalies",
        )
    }
    if not stored["metric_aggregates_overall"]:
        raise nothing_stored(run.experiment_id, "metric_aggregates_overall")
    require_same_meaning(run, ingested.definitions)
    require_same_rows(run)
    write_scope(run.engine, ingested.spec, ingested.definitions)
    exact = fixed_point(run)
    build_models(run.engine, generated_sql(ingested, exact))
    totals = read_totals(stored["metric_aggregates_overall"])
    run.digest = digest(totals.values())
    run.stages["metrics"] = "inherited"
    listed = list(ingested.definitions.values())
    return Measured(
        totals=totals,
        grams=_panels(run, ingested.spec, listed, exact),
        window=choose_window(ingested.spec),
        ledger=tuple(_ledger(stored["unit_ledger"])),
        split=tuple(stored["sample_ratio_mismatch"]),
        twin=tuple(stored["experiment_results"]),
        units=tuple(run.engine.records(_UNITS_SQL)),
        tails=_tails(run, ingested, totals),
        quantiles=read_quantiles(stored["metric_quantiles"]),
        adjustments=read_adjustments(stored["metric_adjustments"]),
        cohorts=read_cohorts(run.engine.records(_COHORTS_SQL)),
        clusters=_clusters(run, ingested.spec, listed, exact),
        anomalies=tuple(stored["metric_anomalies"]),
        uptake=measure_uptake(run.engine, ingested.spec, listed),
        observe=_open_observed(run, ingested.spec),
    )


def create_relations(run: Run, ingested: Ingested, exact: Collection[str]) -> None:
    """Every model as a relation of DuckDB, whichever engine computes it.

    Args:
        run: says which engine computes the stage.
        ingested: the experiment; its rows and its scope stand in DuckDB.
        exact: its outcomes with exact sums, see `fixed_point`.
    """
    has_events = bool(ingested.spec.namespace)
    with open_stage_engine(run, "metrics") as other:
        if other is None:
            selects = generated_sql(ingested, exact)
            build_models(run.engine, selects, has_events=has_events)
            return
        build_models_elsewhere(
            run.engine,
            other,
            generated_sql(ingested, exact, other.dialect),
            has_events=has_events,
            published=(*STAGE_TABLES["metrics"], *EVENT_TABLES),
        )


def generated_sql(
    ingested: Ingested, exact: Collection[str], dialect: str = "duckdb"
) -> dict[str, str]:
    """The relations made from definitions: SELECTs by model name.

    Args:
        ingested: the experiment.
        exact: its outcomes with exact sums, see `fixed_point`.
        dialect: duckdb, spark or trino.
    """
    return generate_selects(
        ingested.definitions.values(),
        ingested.spec.plan.segments,
        fixed_point=exact,
        dialect=dialect,
    )


def _relation(suffix: str) -> str:
    return f"exp_run.metric_aggregates_{suffix}"


def fixed_point(run: Run) -> set[str]:
    """Outcome names whose sums are exact in DECIMAL(18, 6) and in whole millionths."""
    rows = run.engine.rows(
        "select metric_name from exp.outcomes group by metric_name\n"
        f"having {IS_FIXED_POINT}\n"
        "    and sum(cast(least(ceil(abs(value)), 1e12) as bigint)) < 9000000000000"
    )
    return {str(row[0]) for row in rows}


def _open_observed(run: Run, spec: ExperimentSpec) -> Observe | None:
    is_chosen = spec.assignment is Assignment.SELF_SELECTED
    return open_observed(run.engine, spec) if is_chosen else None


def _panels(
    run: Run,
    spec: ExperimentSpec,
    definitions: Sequence[MetricDefinition],
    exact: Collection[str],
) -> dict[tuple[str, str], GramTotals]:
    window = choose_window(spec)
    if window is None:
        return {}
    grams = build_panel(run.engine, spec, window, definitions, fixed_point=exact)
    return {(gram.metric_name, gram.variant): gram for gram in grams}


def _clusters(
    run: Run,
    spec: ExperimentSpec,
    definitions: Sequence[MetricDefinition],
    exact: Collection[str],
) -> ClusterMeasures | None:
    window = choose_window(spec)
    return measure_clusters(run.engine, spec, window, definitions, fixed_point=exact)


def _tails(
    run: Run, ingested: Ingested, totals: Mapping[tuple[str, str, str], MetricTotals]
) -> dict[tuple[str, str], TailTotals]:
    """Of metrics whose units have a value that can be extreme."""
    tailed = {
        name
        for name, definition in ingested.definitions.items()
        if definition.type in {MetricType.MEAN, MetricType.COUNT}
    }
    return read_tails(
        run.engine,
        [
            arm
            for (metric, segment, _), arm in totals.items()
            if segment == "all" and metric in tailed
        ],
    )


def _ledger(rows: Sequence[dict[str, Any]]) -> list[LedgerStage]:
    stages = from_rows("unit_ledger", LedgerStage, rows)
    return sorted(stages, key=lambda stage: (stage.stage_order, stage.variant))


def _store_definitions(run: Run, ingested: Ingested) -> None:
    import json
    from dataclasses import asdict

    import pyarrow as pa

    from exp_platform.schemas import arrow_schema

    rows = [
        {
            "experiment_id": run.experiment_id,
            "metric_name": name,
            "metric_version": definition.metric_version,
            "type": definition.type.value,
            "direction": definition.direction.value,
            "role": ingested.spec.plan.of(name).role.value,
            "definition": json.dumps(asdict(definition), sort_keys=True),
        }
        for name, definition in ingested.definitions.items()
    ]
    schema = arrow_schema("metric_definitions")
    run.publication.replace_experiment(
        "metric_definitions", pa.Table.from_pylist(rows, schema=schema)
    )


def run_alone(run: Run) -> None:
    """Load from the lake, compute, store."""
    ingested = load_ingested(run)
    require_rows_by_user(run)
    build_metrics(run, freeze_caps(run, ingested))


def main() -> int:
    """`python -m exp_platform.pipelines.compute_metric_aggregates --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("compute_metric_aggregates", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
