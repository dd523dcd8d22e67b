"""Totals by cluster, for experiments that assigned whole clusters of units.

Moments over clusters are enough where clusters are many; where they are few the sums of
each cluster leave the engine, for the bootstrap and randomisation inference.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exp_platform.causal.cluster_sums import ClusterSums, are_sizes
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.panel import sum_panel_clusters
from exp_platform.metrics.panel_window import PanelWindow
from exp_platform.records import ClusterTotals, ExperimentSpec, MetricDefinition
from exp_platform.stats.cluster import BOOTSTRAP_BELOW, effective_clusters

Key = tuple[str, str, str]

_TOTALS = (
    "n",
    "n_clusters",
    "sum_mean",
    "sum_variance",
    "size_mean",
    "size_variance",
    "size_covariance",
    "value_range",
)

# SQL's moments of large values may have lost their spread; the range of the values says
# whether there was one. A ratio has no range of its own.
_READ_TOTALS = """
select
    clusters.*,
    case when overall.denominator_mean is null then overall.max_value - overall.min_value end as value_range
from exp_run.int_cluster_totals as clusters
left join exp_run.metric_aggregates_overall as overall
    on clusters.metric_name = overall.metric_name
    and clusters.segment = overall.segment
    and clusters.variant = overall.variant
"""


@dataclass(frozen=True, slots=True)
class ClusterCounts:
    """How units lie in clusters.

    Attributes:
        n_clusters: known clusters with a unit in the analysis, by the arm in which most
            of their units lie.
        share_astray: share of those units whose cluster is unknown, or lies for the
            larger part in another arm.
    """

    n_clusters: dict[str, int]
    share_astray: float


@dataclass(frozen=True, slots=True)
class ClusterMeasures:
    """What an experiment that assigned clusters hands over beside its totals.

    Attributes:
        totals: moments over clusters by (metric, segment, variant).
        sums: of each cluster by (metric, variant), of metrics with few of them, all
            units.
        panel: of each cluster by (metric, variant), before and after the event.
    """

    counts: ClusterCounts
    totals: Mapping[Key, ClusterTotals]
    sums: Mapping[tuple[str, str], ClusterSums]
    panel: Mapping[tuple[str, str], ClusterSums]


def measure_clusters(
    engine: Engine,
    spec: ExperimentSpec,
    window: PanelWindow | None,
    definitions: Sequence[MetricDefinition],
    *,
    fixed_point: Collection[str] = (),
) -> ClusterMeasures | None:
    """Everything by cluster; None where units were assigned one by one.

    Args:
        engine: after `models.build_models`.
        spec: the experiment.
        window: days of its panel.
        definitions: its metrics.
        fixed_point: outcome names whose values all have at most six decimals.
    """
    if spec.cluster is None:
        return None
    totals = read_cluster_totals(engine, spec)
    panel: tuple[ClusterSums, ...] = ()
    if window is not None and window.pre_days:
        panel = sum_panel_clusters(
            engine, spec, window, definitions, fixed_point=fixed_point
        )
    return ClusterMeasures(
        counts=count_clusters(engine, spec),
        totals=totals,
        sums=read_cluster_sums(engine, totals.values()),
        panel={(arm.metric_name, arm.variant): arm for arm in panel},
    )


def count_clusters(engine: Engine, spec: ExperimentSpec) -> ClusterCounts:
    """Clusters by arm, and units that do not lie in one as the design says.

    Args:
        engine: holds `exp_run.experiment_assignments`.
        spec: the experiment; `cluster` names the attribute.
    """
    unknown = f"attributes[{quote(spec.cluster or '')}] is null"
    engine.execute(
        "create or replace temp table cluster_arms as\n"
        "select cluster_id, variant, count(*) as n_units,\n"
        f"    count(*) filter (where {unknown}) as n_unknown\n"
        "from exp_run.experiment_assignments where is_in_analysis\n"
        "group by cluster_id, variant"
    )
    counts = engine.rows(
        "select variant, count(*) filter (where place = 1 and n_units > n_unknown)\n"
        "from (select *, row_number() over (partition by cluster_id\n"
        "        order by n_units desc, variant) as place from cluster_arms)\n"
        "group by variant order by variant"
    )
    astray, total = engine.rows(
        "select sum(n_unknown + n_units - n_largest), sum(n_units) from (\n"
        "    select sum(n_units) as n_units, max(n_units) as n_largest,\n"
        "        sum(n_unknown) as n_unknown\n"
        "    from cluster_arms group by cluster_id)"
    )[0]
    share = float(astray) / float(total) if total else 0.0
    return ClusterCounts({str(arm): int(n) for arm, n in counts}, share)


def read_cluster_totals(
    engine: Engine, spec: ExperimentSpec
) -> dict[Key, ClusterTotals]:
    """Moments over clusters by (metric, segment, variant).

    Args:
        engine: holds `exp_run.int_cluster_totals` and `metric_aggregates_overall`.
        spec: the experiment.
    """
    rows = engine.records(_READ_TOTALS)
    return {
        (row["metric_name"], row["segment"], row["variant"]): ClusterTotals(
            spec.experiment_id,
            row["metric_name"],
            row["variant"],
            segment=row["segment"],
            **{name: row[name] for name in _TOTALS},
        )
        for row in rows
    }


def read_cluster_sums(
    engine: Engine, totals: Iterable[ClusterTotals]
) -> dict[tuple[str, str], ClusterSums]:
    """Each cluster's sums by (metric, variant), of metrics an arm of which has few.

    An arm of a ratio without a denominator, or with a cluster below 0, has none.

    Args:
        engine: holds `exp_run.int_cluster_sums`.
        totals: of all metrics; those without few clusters are left to their moments.
    """
    whole = [arm for arm in totals if arm.segment == "all"]
    few = sorted(
        {a.metric_name for a in whole if effective_clusters(a) < BOOTSTRAP_BELOW}
    )
    if not few:
        return {}
    table = engine.arrow(
        "select metric_name, variant, size, value_sum from exp_run.int_cluster_sums\n"
        f"where segment = 'all' and metric_name in ({', '.join(map(quote, few))})\n"
        "order by metric_name, variant, cluster_id"
    )
    names = np.array(table.column("metric_name").to_pylist())
    arms = np.array(table.column("variant").to_pylist())
    size, value = (table.column(n).to_numpy() for n in ("size", "value_sum"))
    found: dict[tuple[str, str], ClusterSums] = {}
    for arm in (one for one in whole if one.metric_name in few):
        inside = (names == arm.metric_name) & (arms == arm.variant)
        if not are_sizes(size[inside]):
            continue
        found[arm.metric_name, arm.variant] = ClusterSums(
            arm.experiment_id,
            arm.metric_name,
            arm.variant,
            units=size[inside].astype(float),
            pre=np.zeros(int(inside.sum())),
            post=value[inside].astype(float),
            pre_days=0,
            post_days=1,
        )
    return found
