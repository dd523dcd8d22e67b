"""Every relation that is made from definitions, as SELECTs by name."""

from collections.abc import Collection, Iterable, Sequence

from exp_platform.metrics import observations
from exp_platform.metrics.measures import has_daily_value, has_several_covariates
from exp_platform.records import MetricDefinition

EMPTY = {
    "metric_observations": (
        "select '' as experiment_id, '' as metric_name, cast(0 as bigint) as unit_no,"
        " cast(0 as double) as value, cast(0 as double) as denominator,"
        " cast(0 as double) as covariate where false"
    ),
    "metric_unit_days": (
        "select '' as experiment_id, '' as metric_name, '' as variant,"
        " cast(0 as bigint) as unit_no, cast(0 as bigint) as outcome_day,"
        " cast(0 as double) as value, cast(0 as double) as uncapped_value where false"
    ),
    "metric_missing_values": (
        "select '' as experiment_id, '' as metric_name, cast(0 as bigint) as unit_no,"
        " '' as covariate_name where false"
    ),
    "metric_row_values": (
        "select '' as experiment_id, '' as metric_name, cast(0 as bigint) as unit_no,"
        " cast(0 as double) as value where false"
    ),
    "metric_covariates": (
        "select '' as experiment_id, '' as metric_name, '' as covariate_name,"
        " cast(0 as bigint) as unit_no, cast(0 as double) as value where false"
    ),
}
"""The same relations without a metric that needs them."""


def generate_selects(
    definitions: Iterable[MetricDefinition],
    segments: Sequence[str],
    *,
    fixed_point: Collection[str],
    dialect: str = "duckdb",
) -> dict[str, str]:
    """The SELECTs of one run, by relation.

    Args:
        definitions: the run's metrics.
        segments: attributes to drill down by.
        fixed_point: outcomes whose values all have at most six decimals.
        dialect: duckdb, spark or trino.
    """
    metrics = list(definitions)
    branches: dict[str, list[str]] = {name: [] for name in EMPTY}
    for metric in metrics:
        branches["metric_observations"].append(
            observations.observation_sql(metric, fixed_point=fixed_point)
        )
        branches["metric_missing_values"].append(observations.missing_sql(metric))
        if has_daily_value(metric):
            branches["metric_unit_days"].append(
                observations.unit_day_sql(metric, fixed_point=fixed_point)
            )
        if metric.is_of_rows:
            branches["metric_row_values"].append(observations.row_value_sql(metric))
        if has_several_covariates(metric):
            branches["metric_covariates"].append(
                observations.covariate_sql(metric, fixed_point=fixed_point)
            )
    order = {"metric_unit_days": "metric_name, unit_no, outcome_day"}
    selects = {
        name: observations.union_of(parts, order=order.get(name, "")) or EMPTY[name]
        for name, parts in branches.items()
    }
    subsets = (observations.CROSSOVER_SEGMENT, observations.BOT_SEGMENT)
    selects["unit_segments"] = observations.segment_sql(segments, subsets=subsets)
    if dialect == "duckdb":
        return selects
    return {name: observations.transpile(sql, dialect) for name, sql in selects.items()}
