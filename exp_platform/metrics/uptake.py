"""Outcome and uptake of each arm together: what the effect on compliers is made from.

The uptake is a metric of the experiment like any other. Its moments with the other
metrics are taken in SQL; no unit leaves the engine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from exp_platform.causal.instrument import ComplianceTotals
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.records import ExperimentSpec, MetricDefinition, MetricType

UptakeTotals = Mapping[tuple[str, str], ComplianceTotals]

_NOT_BY_UNIT = (MetricType.RATIO, MetricType.QUANTILE)


def measure_uptake(
    engine: Engine, spec: ExperimentSpec, definitions: Sequence[MetricDefinition]
) -> dict[tuple[str, str], ComplianceTotals]:
    """Totals of each metric with the uptake, by (metric, variant).

    Units without a value of either are left out; empty where no uptake was registered.

    Args:
        engine: holds `exp_run.metric_calculations` and `exp_run.experiment_assignments`.
        spec: the experiment; its plan names the uptake.
        definitions: its metrics.
    """
    uptake = spec.plan.received
    names = [
        one.name
        for one in definitions
        if one.name != uptake and one.type not in _NOT_BY_UNIT
    ]
    if uptake is None or not names:
        return {}
    select = uptake_sql(uptake, names, is_clustered=spec.cluster is not None)
    # sums of doubles must not depend on how threads split the rows
    engine.execute_ordered(f"create or replace temp table uptake_totals as\n{select}")
    rows = engine.records("select * from uptake_totals order by metric_name, variant")
    return {
        (row["metric_name"], row["variant"]): _close(spec.experiment_id, **row)
        for row in rows
    }


def _close(
    experiment_id: str, *, size_square: float, size_fourth: float, **row: Any
) -> ComplianceTotals:
    n = float(row["n"])
    shares = (size_square / n**2, size_fourth / n**4)
    return ComplianceTotals(experiment_id, cluster_shares=shares, **row)


def uptake_sql(uptake: str, metrics: Sequence[str], *, is_clustered: bool) -> str:
    """Means, and cross-products of scores by cluster, per metric and arm.

    A cluster's score is the sum over its units of (value - mean of the arm).

    Args:
        uptake: metric that says who received the treatment.
        metrics: the others.
        is_clustered: False = each unit is a cluster of one.
    """
    listed = ", ".join(map(quote, metrics))
    cluster, assigned = "o.unit_no", ""
    if is_clustered:
        cluster = "a.cluster_id"
        assigned = (
            "inner join exp_run.experiment_assignments as a on o.unit_no = a.unit_no\n"
        )
    by_arm = "metric_name, variant"
    scores = (
        "select p.metric_name, p.variant, p.outcome - m.mean_outcome as outcome,\n"
        "    p.uptake - m.mean_uptake as uptake, p.cluster_id, 1.0::double as size\n"
        f"from pairs as p inner join means as m using ({by_arm})"
    )
    if is_clustered:
        scores = (
            f"select {by_arm}, sum(outcome) as outcome, sum(uptake) as uptake,\n"
            "    sum(size) as size\n"
            f"from ({scores})\ngroup by {by_arm}, cluster_id"
        )
    return (
        "with pairs as (\n"
        "select o.metric_name, o.variant, o.value as outcome, u.value as uptake,\n"
        f"    {cluster} as cluster_id\n"
        "from exp_run.metric_calculations as o\n"
        "inner join exp_run.metric_calculations as u on o.unit_no = u.unit_no\n"
        f"{assigned}"
        f"where u.metric_name = {quote(uptake)} and o.metric_name in ({listed})\n"
        "),\nmeans as (\n"
        f"select {by_arm}, count(*) as n, avg(outcome) as mean_outcome,\n"
        "    avg(uptake) as mean_uptake, avg(outcome * uptake) as mean_joint\n"
        f"from pairs group by {by_arm}\n"
        f"),\nscores as (\n{scores}\n),\nproducts as (\n"
        f"select {by_arm}, count(*) as n_clusters,\n"
        "    sum(outcome * outcome) as outcome_squares,\n"
        "    sum(uptake * uptake) as uptake_squares,\n"
        "    sum(outcome * uptake) as cross_products,\n"
        "    sum(size * size) as size_square, sum(power(size, 4)) as size_fourth\n"
        f"from scores group by {by_arm}\n)\n"
        f"select * from means inner join products using ({by_arm})"
    )
