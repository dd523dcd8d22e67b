"""A ready-made panel from relations of the engine to matrices, one for each metric."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.cohort_totals import (
    CohortPanel,
    spans_cohorts,
    split_clusters,
    total_cohorts,
)
from exp_platform.causal.group_times import GroupTimes, compare_cohorts, compare_units
from exp_platform.causal.panel_data import NEVER, Panel, balance_panel
from exp_platform.causal.staggered import count_effective_cohorts
from exp_platform.errors import ContractError
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as text
from exp_platform.metrics.unit_matrix import read_matrix
from exp_platform.pipelines.panel_request import PanelLayout
from exp_platform.records import ExperimentSpec

NUMBERED, CLUSTERS = "panel_unit_numbers", "panel_cluster_numbers"
"""Temporary relations of a panel's units and clusters, and their numbers."""


@dataclass(frozen=True)
class PanelMetric:
    """One metric of a panel.

    Attributes:
        delivered: units seen in every period, or each row of repeated cross-sections.
            Periods and cohorts are numbers from 0 in order of time, whatever their
            distance; a period without a value of any unit has none.
        labels: of these periods, as they were delivered.
        read_names: labels of all clusters, in the order of their numbers.
        n_unplaced: rows that name no unit or no period.
    """

    spec: ExperimentSpec
    layout: PanelLayout
    delivered: Panel
    labels: tuple[str, ...]
    read_names: Callable[[], Sequence[str]]
    n_unplaced: int = 0

    @cached_property
    def units(self) -> Panel:
        """What is analysed: without units treated from the first period on."""
        if self.layout.is_cross_section:
            return self.delivered
        return self.delivered.drop_always()

    @cached_property
    def totals(self) -> CohortPanel:
        """Sums by cohort of a balanced panel; a cluster's part in each is one."""
        return total_cohorts(split_clusters(self.units))

    @cached_property
    def group_times(self) -> GroupTimes:
        """Effects by cohort and period against the last period before treatment."""
        if self.units.covariates.shape[1] or spans_cohorts(self.units):
            return compare_units(self.units, base_period="universal")
        return compare_cohorts(self.totals, base_period="universal")

    @cached_property
    def n_clusters_effective(self) -> float:
        """Effective number of clusters behind effects by cohort; infinite without."""
        groups = self.group_times.groups
        if not groups.size:
            return math.inf
        return count_effective_cohorts(self.units, groups)

    @property
    def metric_name(self) -> str:
        """Name of the metric."""
        return self.delivered.metric_name

    @property
    def is_treated(self) -> NDArray[np.bool_]:
        """Units that are treated in some period."""
        return np.isfinite(self.units.cohort)

    @cached_property
    def has_empty_period(self) -> bool:
        """Of two arms of repeated cross-sections one has nobody in some period."""
        arms = [
            self.units.outcomes[side] for side in (~self.is_treated, self.is_treated)
        ]
        if not self.layout.is_cross_section or not all(map(len, arms)):
            return False
        return not all(np.isfinite(arm).any(axis=0).all() for arm in arms)

    @cached_property
    def share_astray(self) -> float:
        """Share of units whose cluster lies for the larger part in the other arm."""
        units, treated = self.units, self.is_treated
        n_units = np.bincount(units.cluster, minlength=units.n_clusters)
        n_treated = np.bincount(units.cluster[treated], minlength=units.n_clusters)
        astray = np.minimum(n_treated, n_units - n_treated).sum()
        return float(astray) / max(treated.size, 1)

    def name_clusters(self, numbers: NDArray[np.int64]) -> tuple[str, ...]:
        """Labels of some of the analysed units' clusters, as they were delivered."""
        names = self.read_names()
        labels = self.units.cluster_labels
        return tuple(str(names[int(labels[number])]) for number in numbers)

    def name_period(self, number: float) -> str:
        """The label of a period, as it was delivered."""
        return self.labels[int(number)]


@dataclass(frozen=True, slots=True)
class PanelSource:
    """Where a panel stands in the engine.

    Attributes:
        units: SELECT of unit, cluster, cohort (number of its first treated period;
            null = never), weight, x0, x1 ... (covariates), one row for each unit.
        cells: metric -> SELECT of unit, period_no and value (double), in any order.
        n_unplaced: rows that name no unit or no period.
        has_clusters: False says that every unit is a cluster of its own.
    """

    layout: PanelLayout
    units: str
    cells: Mapping[str, str]
    n_unplaced: int = 0
    has_clusters: bool = True


def find_canonical_panel(
    layout: PanelLayout, metrics: Mapping[str, str]
) -> PanelSource:
    """The panel in `exp.exposures` and `exp.outcomes`.

    Args:
        layout: of the panel.
        metrics: metric -> name in `outcomes`.
    """
    keys = {"cohort": "cohort_no", "weight": "weight"}
    keys |= {f"x{i}": f"covariate:{name}" for i, name in enumerate(layout.covariates)}
    facts = ",\n    ".join(
        f"try_cast(attributes[{text(key)}] as double) as {column}"
        for column, key in keys.items()
    )
    units = (
        "select user_id as unit, coalesce(attributes['cluster'], user_id) as cluster,\n"
        f"    {facts}\n"
        "from (select user_id, any_value(attributes) as attributes\n"
        "    from exp.exposures group by user_id)"
    )
    periods = ", ".join(
        f"({number}, timestamptz '{start}')"
        for number, start in enumerate(layout.starts)
    )
    cells = {
        name: (
            "select o.user_id as unit, p.period_no, o.value from exp.outcomes as o\n"
            f"inner join (values {periods}) as p (period_no, start_ts)\n"
            f"    on o.outcome_ts = p.start_ts where o.metric_name = {text(source)}"
        )
        for name, source in metrics.items()
    }
    return PanelSource(layout, units, cells)


def load_panel(
    engine: Engine, spec: ExperimentSpec, source: PanelSource
) -> dict[str, PanelMetric]:
    """Every metric's matrix.

    Args:
        engine: holds the panel.
        spec: the experiment.
        source: where.

    Raises:
        ContractError: a unit has several values in one period, or a weight is not
            above 0.
    """
    facts = _number_units(engine, source)
    found = {}
    for name in source.cells:
        panel = _read_panel(engine, source, facts, (spec.experiment_id, name))
        labels = tuple(source.layout.labels[int(number)] for number in panel.periods)
        found[name] = PanelMetric(
            spec,
            source.layout,
            _renumber(panel),
            labels,
            lambda: _read_names(engine),
            source.n_unplaced,
        )
    return found


def _renumber(panel: Panel) -> Panel:
    """Periods that have values numbered from 0, as if there were no others."""
    is_never = np.isinf(panel.cohort)
    cohort = np.searchsorted(panel.periods, panel.cohort).astype(float)
    return replace(
        panel,
        periods=np.arange(panel.periods.size, dtype=float),
        cohort=np.where(is_never, NEVER, cohort),
    )


def _number_units(engine: Engine, source: PanelSource) -> dict[str, NDArray[Any]]:
    """Number units and clusters by label; facts of the units in that order."""
    _number(engine, NUMBERED, f"select unit as label from ({source.units})")
    engine.execute(
        f"create or replace temp view panel_facts as select * from ({source.units})"
    )
    shared = source.has_clusters and _shares_clusters(engine)
    joins = ""
    if shared:
        _number(engine, CLUSTERS, "select distinct cluster as label from panel_facts")
        joins = f"inner join {CLUSTERS} as c on f.cluster = c.label"
    else:
        engine.execute(
            f"create or replace temp view {CLUSTERS} as select * from {NUMBERED}"
        )
    columns = ["cohort", "weight"]
    columns += [f"x{i}" for i in range(len(source.layout.covariates))]
    floats = ", ".join(
        f"coalesce(cast({name} as double), 'nan'::double) as {name}" for name in columns
    )
    n_units = engine.rows(f"select count(*) from {NUMBERED}")[0][0]
    found: dict[str, NDArray[Any]] = {name: np.empty(n_units) for name in columns}
    found["cluster"] = np.empty(n_units, dtype=np.int64)
    for place, cluster, *facts in engine.numbers(
        f"select n.number, {'c' if shared else 'n'}.number as cluster, {floats}\n"
        f"from panel_facts as f inner join {NUMBERED} as n on f.unit = n.label {joins}"
    ):
        found["cluster"][place] = cluster
        for name, values in zip(columns, facts, strict=True):
            found[name][place] = values
    # A cohort of null is that of units never treated.
    found["cohort"] = np.where(np.isnan(found["cohort"]), NEVER, found["cohort"])
    if source.layout.has_weights and not np.all(found["weight"] > 0):
        raise ContractError(
            "a weight is missing or not above 0",
            next_step="import the panel again with a weight for every unit",
        )
    return found


def _shares_clusters(engine: Engine) -> bool:
    """Is some unit's cluster called by another name than the unit?"""
    found = engine.rows(
        "select count(*) from panel_facts\n"
        "where cast(cluster as varchar) is distinct from cast(unit as varchar)"
    )
    return bool(found[0][0])


def _number(engine: Engine, relation: str, labels: str) -> None:
    """Number labels from 0 in the order of their text."""
    engine.execute(
        f"create or replace temp table {relation} as\n"
        "select label, row_number() over (order by cast(label as varchar)) - 1\n"
        f"    as number from ({labels})"
    )


def _read_panel(
    engine: Engine,
    source: PanelSource,
    facts: Mapping[str, NDArray[Any]],
    names: tuple[str, str],
) -> Panel:
    n_units, n_periods = len(facts["cohort"]), len(source.layout.labels)
    outcomes = read_matrix(
        engine,
        "select n.number as unit_no, cast(c.period_no as bigint) as period_no, c.value\n"
        f"from ({source.cells[names[1]]}) as c inner join {NUMBERED} as n\n"
        "    on c.unit = n.label where c.value is not null and not isnan(c.value)",
        (n_units, n_periods),
    )
    covariates = [facts[f"x{i}"] for i in range(len(source.layout.covariates))]
    panel = Panel(
        *names,
        periods=np.arange(n_periods, dtype=float),
        outcomes=outcomes,
        cohort=facts["cohort"],
        cluster=facts["cluster"],
        weight=facts["weight"] if source.layout.has_weights else np.ones(n_units),
        covariates=np.column_stack([np.empty((n_units, 0)), *covariates]),
        cluster_labels=np.arange(int(facts["cluster"].max(initial=-1)) + 1),
    )
    return _keep_seen(panel) if source.layout.is_cross_section else balance_panel(panel)


def _keep_seen(panel: Panel) -> Panel:
    """Rows of cross-sections that have a value, and begin untreated.

    As in a balanced panel, a period in which nobody was seen is none of the metric's.
    """
    is_seen = np.asarray(np.isfinite(panel.outcomes).any(axis=0))
    panel = panel.keep_periods(is_seen)
    has_value = np.asarray(np.isfinite(panel.outcomes).any(axis=1))
    is_known = np.asarray(np.isfinite(panel.covariates).all(axis=1))
    is_always = panel.find_always()
    left_out = panel.count_by_arm(
        missing_value=~has_value,
        missing_covariate=has_value & ~is_known,
        always_treated=has_value & is_known & is_always,
    )
    return replace(
        panel.keep(has_value & is_known & ~is_always),
        n_incomplete=int(np.sum(has_value & ~is_known)),
        n_always=int(np.sum(has_value & is_always)),
        left_out=left_out,
    )


def _read_names(engine: Engine) -> Sequence[str]:
    sql = f"select cast(label as varchar) from {CLUSTERS} order by number"
    return [str(row[0]) for row in engine.rows(sql)]
