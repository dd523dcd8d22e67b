"""Unit-day panels: daily means and their cross-products, summed in SQL.

The panel is every unit of the analysis that was followed for the whole post-period,
times every day; an absent day is 0. Only moments leave the engine, so a panel that
does not fit in memory still works.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.measures import value_part
from exp_platform.metrics.spans import DAY_US
from exp_platform.metrics.unit_values import (
    daily_sql,
    may_miss_value,
    passes_sql,
    value_sql,
)
from exp_platform.records import (
    Assignment,
    ExperimentSpec,
    GramTotals,
    MetricDefinition,
    SourceKind,
)

_UNITS = "exp_run.panel_units"
_CLUSTERS = "exp_run.panel_clusters"


@dataclass(frozen=True, slots=True)
class PanelWindow:
    """Days of a panel around its event: -pre_days .. post_days - 1."""

    pre_days: int
    post_days: int
    is_calendar: bool

    @property
    def days(self) -> tuple[int, ...]:
        """Day numbers in order; 0 begins with the event."""
        return tuple(range(-self.pre_days, self.post_days))


def choose_window(spec: ExperimentSpec) -> PanelWindow | None:
    """Days of an experiment's panel, or None when there are no days to compare.

    A policy or roll-out runs in calendar time, needs a pre-period and uses every whole
    day to the watermark; a randomised test runs in days since exposure and follows each
    unit for a week (less in a shorter experiment).
    """
    has_before = spec.pre_period_days >= 1
    if not spec.is_dated or not (has_before or _is_randomised(spec)):
        return None
    if spec.policy_ts is not None:
        post = int((spec.watermark_ts - spec.policy_ts).total_seconds() // 86_400)
        calendar = True
    else:
        length = int((spec.end_ts - spec.start_ts).total_seconds() // 86_400)
        post, calendar = min(7, length // 2), False
    return PanelWindow(spec.pre_period_days, post, calendar) if post >= 1 else None


def _is_randomised(spec: ExperimentSpec) -> bool:
    return spec.assignment is Assignment.RANDOMISED and spec.policy_ts is None


def build_panel(
    engine: Engine,
    spec: ExperimentSpec,
    window: PanelWindow,
    definitions: Sequence[MetricDefinition],
) -> tuple[GramTotals, ...]:
    """Cross-products of daily values for every additive metric and arm.

    Args:
        engine: holds `exp_run.experiment_assignments` and `int_unit_outcomes`.
        spec: the experiment.
        window: days of the panel.
        definitions: metrics; those without a daily value are left out.
    """
    additive = [d for d in definitions if d.type.has_daily_value]
    engine.execute(_units_sql(spec, window))
    grams: list[GramTotals] = []
    for definition in additive:
        engine.execute(_clusters_sql(definition, window))
        rows = engine.rows(_gram_sql(window))
        grams += [_gram(spec, definition, window, row) for row in rows]
    return tuple(grams)


def sum_panel_clusters(
    engine: Engine,
    spec: ExperimentSpec,
    window: PanelWindow,
    definitions: Sequence[MetricDefinition],
) -> tuple[ClusterSums, ...]:
    """Each cluster's averages before and after the event, for every arm and metric.

    What few clusters need beside the cross-products: they are bootstrapped.

    Args:
        engine: as for `build_panel`.
        spec: an experiment that assigned clusters.
        window: days of the panel, some of them before the event.
        definitions: metrics; ratios are left out.
    """
    engine.execute(_units_sql(spec, window))
    found: list[ClusterSums] = []
    for definition in definitions:
        if not definition.type.has_daily_value:
            continue
        engine.execute(_clusters_sql(definition, window))
        table = engine.arrow(_sums_sql(window))
        arms = np.array(table.column("variant").to_pylist())
        columns = [table.column(n).to_numpy() for n in ("n_units", "pre", "post")]
        for variant in np.unique(arms):
            units, pre, post = (c[arms == variant].astype(float) for c in columns)
            names = (spec.experiment_id, definition.name, str(variant))
            days = (window.pre_days, window.post_days)
            found.append(ClusterSums(*names, units, pre, post, *days))
    return tuple(found)


def _sums_sql(window: PanelWindow) -> str:
    columns = _columns(window)
    pre, post = columns[: window.pre_days], columns[window.pre_days :]
    return (
        f"select variant, n_units, ({' + '.join(pre)}) / {len(pre)} as pre,\n"
        f"    ({' + '.join(post)}) / {len(post)} as post\n"
        f"from {_bare(_CLUSTERS)} order by variant, cluster_id"
    )


def _units_sql(spec: ExperimentSpec, window: PanelWindow) -> str:
    event, cluster = "exposure_us", "cast(unit_no as varchar)"
    if spec.policy_ts is not None:
        event = str(round(spec.policy_ts.timestamp() * 1_000_000))
    if spec.cluster is not None:
        cluster = "cluster_id"
    watermark = round(spec.watermark_ts.timestamp() * 1_000_000)
    followed = f"{event} + {window.post_days * DAY_US} <= {watermark}"
    seen = "true"  # without a pre-period nobody is too new for it
    if window.pre_days:
        seen = f"coalesce(first_seen_us < {event} - {window.pre_days * DAY_US}, true)"
    return (
        f"create or replace temp table {_bare(_UNITS)} as\n"
        f"select unit_no, variant, {cluster} as cluster_id, {event} as anchor_us\n"
        "from exp_run.experiment_assignments\n"
        f"where is_in_analysis and {followed} and {seen}\n"
        "order by variant, cluster_id, unit_no"
    )


def _clusters_sql(definition: MetricDefinition, window: PanelWindow) -> str:
    """One row per arm and cluster: units, and the sum of each day's values."""
    last = window.post_days - 1
    part = value_part(definition)
    instant = part.relation.instant
    day = f"cast(floor((o.{instant} - u.anchor_us) / {DAY_US}.0) as bigint)"
    sums = ",\n    ".join(
        f"coalesce(sum(case when d.day = {day_no} then d.value end), 0.0) as {column}"
        for day_no, column in zip(window.days, _columns(window), strict=True)
    )
    return (
        f"create or replace temp table {_bare(_CLUSTERS)} as\n"
        f"with units as ({_complete_units(definition, window)}),\n"
        "unit_days as (\n"
        f"    select u.variant, u.cluster_id, u.unit_no, {day} as day,\n"
        f"        {daily_sql(part)} as value\n"
        f"    from {part.relation.table} as o\n"
        "    inner join units as u on o.unit_no = u.unit_no\n"
        f"    where {passes_sql(definition.numerator, definition.rows)}\n"
        f"        and {day} between {-window.pre_days} and {last}\n"
        "    group by all\n"
        "), clusters as (\n"
        "    select variant, cluster_id, count(*) as n_units\n"
        "    from units group by variant, cluster_id\n"
        ")\n"
        f"select c.variant, c.cluster_id, c.n_units,\n    {sums}\n"
        "from clusters as c\n"
        "left join (select * from unit_days order by unit_no, day) as d\n"
        "    on c.variant = d.variant and c.cluster_id = d.cluster_id\n"
        "group by c.variant, c.cluster_id, c.n_units\n"
        "order by c.variant, c.cluster_id"
    )


def _complete_units(definition: MetricDefinition, window: PanelWindow) -> str:
    """Units of the panel without a missing value: one is not an absent day."""
    first, end = -window.pre_days * DAY_US, window.post_days * DAY_US
    part = value_part(definition)
    relation = part.relation
    lost = []
    if part.rows.kind is SourceKind.OUTCOME:
        named = f"metric_name = {quote(part.name)}"
        lost.append(("exp_run.int_missing_values", "outcome_us", named))
    if may_miss_value(part):
        passes = passes_sql(definition.numerator, part.rows)
        is_lost = f"{passes} and ({value_sql(part.rows)}) is null"
        lost.append((relation.table, relation.instant, is_lost))
    conditions = "\n    and ".join(
        f"not exists (select 1 from {table} as o\n"
        f"    where o.unit_no = u.unit_no and {condition}\n"
        f"        and o.{instant} - u.anchor_us >= {first}\n"
        f"        and o.{instant} - u.anchor_us < {end})"
        for table, instant, condition in lost
    )
    every = f"select u.* from {_bare(_UNITS)} as u"
    return f"{every}\nwhere {conditions}" if conditions else every


def _gram_sql(window: PanelWindow) -> str:
    columns = _columns(window)
    means = ", ".join(f"sum({c}) / sum(n_units) as m_{c}" for c in columns)
    scores = ", ".join(f"k.{c} - k.n_units * m.m_{c} as s_{c}" for c in columns)
    products = ", ".join(
        f"sum(s_{a} * s_{b})" for i, a in enumerate(columns) for b in columns[i:]
    )
    kept = ", ".join(f"min(m_{c})" for c in columns)
    return (
        f"with means as (select variant, {means}\n"
        f"    from {_bare(_CLUSTERS)} group by variant),\n"
        "scores as (\n"
        f"    select k.variant, k.n_units, {', '.join('m.m_' + c for c in columns)},\n"
        f"        {scores}\n"
        f"    from {_bare(_CLUSTERS)} as k inner join means as m\n"
        "        on k.variant = m.variant\n)\n"
        f"select variant, sum(n_units), count(*), {kept}, {products}\n"
        "from scores group by variant order by variant"
    )


def _gram(
    spec: ExperimentSpec,
    definition: MetricDefinition,
    window: PanelWindow,
    row: tuple[object, ...],
) -> GramTotals:
    size = len(window.days)
    numbers = [float(str(value)) for value in row[1:]]
    means = numbers[2 : 2 + size]
    upper = iter(numbers[2 + size :])
    gram = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i, size):
            gram[i][j] = gram[j][i] = next(upper)
    return GramTotals(
        experiment_id=spec.experiment_id,
        metric_name=definition.name,
        variant=str(row[0]),
        n=int(numbers[0]),
        n_clusters=int(numbers[1]),
        days=window.days,
        means=tuple(means),
        score_gram=tuple(tuple(line) for line in gram),
    )


def _columns(window: PanelWindow) -> list[str]:
    return [f"d{index}" for index in range(len(window.days))]


def _bare(qualified: str) -> str:
    """Temporary tables have no schema."""
    return qualified.split(".")[1]
