"""The cells of an experiment's panel: what a unit's day is worth, summed by cluster.

Cells stream into a matrix of clusters by days, range by range, so that a panel that
does not fit in memory still works.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from exp_platform.causal.vector_moments import BLOCK
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.measures import value_part
from exp_platform.metrics.panel_window import PanelWindow
from exp_platform.metrics.spans import DAY_US
from exp_platform.metrics.unit_matrix import (
    read_ranges,
)
from exp_platform.metrics.unit_values import (
    AMOUNT,
    COUNT,
    LARGEST_SUM,
    MILLIONTHS,
    Part,
    add_sorted,
    daily_sql,
    is_exact,
    may_miss_value,
    part_value_sql,
    passes_sql,
)
from exp_platform.records import (
    ExperimentSpec,
    MetricDefinition,
)
from exp_platform.stats.inference import Array

_UNITS, _MEMBERS = "panel_units", "panel_members"
"""Temporary relations: units of the panel, and those without a missing value."""


@dataclass(frozen=True, slots=True)
class ClusterBlock:
    """Some clusters of one arm, all of which have units.

    Attributes:
        variant: the arm.
        sums: sum over units of each day's value, shape (n_clusters, n_days).
        units: number of units, shape (n_clusters,).
    """

    variant: str
    sums: Array
    units: Array


def read_panel(
    engine: Engine,
    spec: ExperimentSpec,
    window: PanelWindow,
    definitions: Sequence[MetricDefinition],
    *,
    fixed_point: Collection[str] = (),
    most_cells: int | None = None,
) -> Iterator[tuple[MetricDefinition, Iterator[ClusterBlock]]]:
    """The panel of every metric, arm by arm and a few clusters at a time.

    Args:
        engine: holds `exp_run.experiment_assignments` and `int_unit_outcomes`.
        spec: the experiment.
        window: days of the panel.
        definitions: metrics; those without a daily value are left out.
        fixed_point: outcome names whose values all have at most six decimals; their
            sums are exact.
        most_cells: clusters x days that may lie in memory at once; None = as many as
            fit beside the engine.

    Yields:
        The metric and its blocks, to be read before the next metric.
    """
    engine.execute(_units_sql(spec, window))
    arms = _list_arms(engine)
    for definition in definitions:
        if not definition.type.has_daily_value:
            continue
        engine.execute(
            f"create or replace temp view {_MEMBERS} as\n"
            f"{_complete_units(definition, window)}"
        )
        sizes = _count_units(engine, arms)
        part = value_part(definition)
        amount = _amount(engine, part, fixed_point)
        if amount is None:
            cells = _cells_sql(part, window, is_by_cluster=spec.cluster is not None)
        else:
            cells = _rows_sql(part, window, amount)
        shape, is_sum = (sizes.size, len(window.days)), amount is not None
        ranges = read_ranges(engine, cells, shape, is_sum=is_sum, most_cells=most_cells)
        yield definition, _list_blocks(ranges, arms, sizes)


def _list_arms(engine: Engine) -> dict[str, range]:
    """Numbers of each arm's clusters."""
    rows = engine.rows(
        "select variant, min(cluster_no), max(cluster_no)\n"
        f"from {_UNITS} group by variant order by variant"
    )
    return {str(variant): range(first, last + 1) for variant, first, last in rows}


def _count_units(engine: Engine, arms: Mapping[str, range]) -> Array:
    """Units of each cluster without a missing value."""
    sizes = np.zeros(max((arm.stop for arm in arms.values()), default=0))
    for place, n in engine.numbers(
        f"select cluster_no, cast(count(*) as double) from {_MEMBERS} group by 1"
    ):
        sizes[place] = n
    return sizes


def _list_blocks(
    ranges: Iterator[tuple[int, Array]], arms: Mapping[str, range], sizes: Array
) -> Iterator[ClusterBlock]:
    """Cut ranges of the matrix, whose NaN are days without a row, by arm."""
    for first, part in ranges:
        part[np.isnan(part)] = 0.0
        for variant, arm in arms.items():
            start, stop = max(arm.start, first), min(arm.stop, first + len(part))
            for row in range(start, stop, BLOCK):
                last = min(row + BLOCK, stop)
                units = sizes[row:last]
                sums = part[row - first : last - first]
                if np.any(units):
                    yield ClusterBlock(variant, sums[units > 0], units[units > 0])


def _units_sql(spec: ExperimentSpec, window: PanelWindow) -> str:
    event, order = "exposure_us", "unit_no"
    if spec.policy_ts is not None:
        event = str(round(spec.policy_ts.timestamp() * 1_000_000))
    if spec.cluster is not None:
        order = "cluster_id"
    watermark = round(spec.watermark_ts.timestamp() * 1_000_000)
    followed = f"{event} + {window.post_days * DAY_US} <= {watermark}"
    seen = "true"  # without a pre-period nobody is too new for it
    if window.pre_days:
        seen = f"coalesce(first_seen_us < {event} - {window.pre_days * DAY_US}, true)"
    return (
        f"create or replace temp table {_UNITS} as\n"
        f"select unit_no, variant, {event} as anchor_us,\n"
        f"    dense_rank() over (order by variant, {order}) - 1 as cluster_no\n"
        "from exp_run.experiment_assignments\n"
        f"where is_in_analysis and {followed} and {seen}"
    )


def _amount(engine: Engine, part: Part, fixed_point: Collection[str]) -> str | None:
    """What a row adds to its cell in whole millionths; None = days are no such sums."""
    if part.aggregation == COUNT:
        return f"cast({MILLIONTHS} as bigint)"
    if not is_exact(part, fixed_point) or _is_large(engine, part):
        return None
    return AMOUNT


def _is_large(engine: Engine, part: Part) -> bool:
    """The sum of some cell might not fit into 64 bits."""
    total = engine.rows(
        f"select coalesce(sum(abs(value)), 0.0) from {part.relation.table}\n"
        f"where {passes_sql(part.name, part.rows)}"
    )[0][0]
    return float(total) >= LARGEST_SUM


def _rows_sql(part: Part, window: PanelWindow, value: str) -> str:
    """The rows of the panel's days, each with its cluster's number and its value."""
    since = f"o.{part.relation.instant} - u.anchor_us"
    day = f"cast(floor(({since}) / {DAY_US}.0) as bigint)"
    return (
        f"select u.cluster_no as unit_no, {day} + {window.pre_days} as period_no,\n"
        f"    {value} as value\n"
        f"from {part.relation.table} as o inner join {_MEMBERS} as u\n"
        "    on o.unit_no = u.unit_no\n"
        f"where {passes_sql(part.name, part.rows)}\n"
        f"    and {day} between {-window.pre_days} and {window.post_days - 1}"
    )


def _cells_sql(part: Part, window: PanelWindow, *, is_by_cluster: bool) -> str:
    """One value for each cluster and day on which there is one."""
    unit_days = f"{_rows_sql(part, window, daily_sql(part))}\ngroup by 1, 2, u.unit_no"
    if not is_by_cluster:
        return unit_days
    return (
        f"select unit_no, period_no, {add_sorted('value')} as value\n"
        f"from ({unit_days}) group by 1, 2"
    )


def _complete_units(definition: MetricDefinition, window: PanelWindow) -> str:
    """Units of the panel without a missing value: one is not an absent day."""
    first, end = -window.pre_days * DAY_US, window.post_days * DAY_US
    part = value_part(definition)
    relation = part.relation
    named = f"{relation.name} = {quote(part.name)}"
    lost = [(relation.missing, relation.instant, named)]
    if may_miss_value(part):
        passes = passes_sql(definition.numerator, part.rows)
        is_lost = f"{passes} and ({part_value_sql(part)}) is null"
        lost.append((relation.table, relation.instant, is_lost))
    conditions = "\n    and ".join(
        f"not exists (select 1 from {table} as o\n"
        f"    where o.unit_no = u.unit_no and {condition}\n"
        f"        and o.{instant} - u.anchor_us >= {first}\n"
        f"        and o.{instant} - u.anchor_us < {end})"
        for table, instant, condition in lost
    )
    every = f"select u.* from {_UNITS} as u"
    return f"{every}\nwhere {conditions}" if conditions else every
