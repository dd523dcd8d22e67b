"""The SQL behind a number: the metric's own SELECT, or every step from the rows on."""

from exp_platform.config import Settings
from exp_platform.errors import UsageError, did_you_mean
from exp_platform.metrics.models import GENERATED, model_order, model_sql
from exp_platform.metrics.observations import observation_sql, segment_sql, transpile
from exp_platform.pipelines.compute_metric_aggregates import fixed_point
from exp_platform.pipelines.run import open_reader
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.pipelines.shown import check_format
from exp_platform.records import MetricDefinition

DIALECTS = ("duckdb", "spark", "trino")
_LAST = "metric_aggregates_overall"


def explain_sql(
    settings: Settings,
    experiment_id: str,
    metric: str,
    *,
    dialect: str = "duckdb",
    is_full: bool = False,
) -> str:
    """The SQL of one metric of one experiment.

    Args:
        settings: a loaded configuration.
        experiment_id: was ingested before.
        metric: in the experiment's plan.
        dialect: duckdb, spark or trino.
        is_full: every step up to the moments per arm, as a script.

    Raises:
        UsageError: no such metric in the experiment's plan, or no such dialect.
        ContractError: the experiment was never ingested.
    """
    check_format(dialect, DIALECTS)
    with open_reader(settings, experiment_id) as run:
        ingested = load_ingested(run)
        exact = fixed_point(run)
    if metric not in ingested.definitions:
        raise UsageError(
            f"metric {metric!r} is not in the plan of {experiment_id}",
            allowed=did_you_mean(metric, ingested.definitions),
            next_step="choose one of these",
        )
    definition = ingested.definitions[metric]
    own = _in_dialect(observation_sql(definition, fixed_point=exact), dialect)
    if is_full:
        return _script(ingested, definition, own, dialect)
    return (
        f"{_title(definition)}: one row per unit with an outcome\n"
        "-- from: int_unit_outcomes, the outcomes of the units in the analysis\n"
        "-- next: metric_calculations adds the units without an outcome as 0 and\n"
        f"-- leaves out those with a missing value; {_LAST} takes the\n"
        "-- moments per arm. Every step: --full\n"
        f"{own}"
    )


def _script(
    ingested: Ingested, definition: MetricDefinition, own: str, dialect: str
) -> str:
    generated = {
        "metric_observations": own,
        "unit_segments": _in_dialect(segment_sql(ingested.spec.plan.segments), dialect),
    }
    head = (
        f"{_title(definition)}: every step from the rows to the moments per arm\n"
        "-- exp.exposures, exp.outcomes, exp.quarantine: the Iceberg tables\n"
        "-- exp_run.run_experiments, run_variants, run_metrics: what the run works on"
    )
    parts = [head]
    for name, materialized in model_order(dialect):
        if name in GENERATED and name not in generated:
            continue
        select = generated.get(name) or model_sql(name, dialect).strip()
        parts.append(f"create {materialized} exp_run.{name} as\n{select};")
        if name == _LAST:
            break
    return "\n\n".join(parts)


def _title(definition: MetricDefinition) -> str:
    return (
        f"-- {definition.name} version {definition.version}:"
        f"{definition.definition_hash}"
    )


def _in_dialect(sql: str, dialect: str) -> str:
    return sql if dialect == "duckdb" else transpile(sql, dialect)
