"""The few most extreme units of each metric, summed in SQL.

The threshold is an order statistic of all arms pooled; only counts and moments of the
units above it leave the engine.
"""

from collections.abc import Iterable

from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.records import MetricTotals, TailTotals
from exp_platform.stats.tail import count_top

Key = tuple[str, str]


def read_tails(engine: Engine, totals: Iterable[MetricTotals]) -> dict[Key, TailTotals]:
    """Units above the top 0.1 % order statistic, by (metric, variant).

    Args:
        engine: holds `exp_run.metric_calculations`.
        totals: of the metrics to look at, every arm on all units; a metric without
            units is left out.
    """
    metrics: dict[str, list[MetricTotals]] = {}
    for arm in totals:
        metrics.setdefault(arm.metric_name, []).append(arm)
    found: dict[Key, TailTotals] = {}
    for name, arms in metrics.items():
        n = sum(arm.n for arm in arms)
        if n == 0:
            continue
        rows = engine.rows(tail_sql(name, count_top(n)))
        threshold = float(rows[0][0])
        above = {str(row[1]): row[2:] for row in rows}
        for arm in arms:
            count, mean, variance = above.get(arm.variant, (0, None, None))
            found[name, arm.variant] = TailTotals(
                arm.experiment_id,
                name,
                arm.variant,
                threshold,
                int(count),
                mean,
                variance,
            )
    return found


def tail_sql(metric_name: str, n_top: int) -> str:
    """Threshold, and per arm number, mean and variance of the units above it.

    Args:
        metric_name: the metric.
        n_top: units that may lie above the threshold, all arms.

    Returns:
        A SELECT; with nobody above, one row without an arm.
    """
    units = (
        "select variant, value from exp_run.metric_calculations\n"
        f"    where metric_name = {quote(metric_name)}"
    )
    # sums of doubles depend on their order; sorted, they are the same every time
    return (
        f"with units as (\n    {units}\n),\n"
        "limits as (\n"
        "    select value as threshold from units\n"
        f"    order by value desc limit 1 offset {n_top}\n"
        ")\n"
        "select\n"
        "    min(l.threshold), u.variant, count(u.value),\n"
        "    avg(u.value order by u.value), var_pop(u.value order by u.value)\n"
        "from limits as l left join units as u on u.value > l.threshold\n"
        "group by u.variant order by u.variant"
    )
