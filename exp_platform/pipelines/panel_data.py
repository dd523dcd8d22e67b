"""A ready-made panel from the canonical tables to arrays, one metric at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.cohort_totals import spans_cohorts, total_cohorts
from exp_platform.causal.group_times import GroupTimes, compare_cohorts, compare_units
from exp_platform.causal.panel_data import Panel, PanelData, arrange_panel
from exp_platform.lake import Engine
from exp_platform.lake.types import quote_text as text
from exp_platform.pipelines.panel_request import PanelLayout, read_layout
from exp_platform.pipelines.run import Run
from exp_platform.records import ExperimentSpec
from exp_platform.stats.inference import Array

NEVER = np.inf


@dataclass(frozen=True)
class PanelMetric:
    """One metric of a panel.

    Attributes:
        data: one row per unit and period; periods and cohorts are numbers from 0 in
            order of time, whatever their distance; clusters and units are numbers.
        cluster_names: label of each cluster by its number.
    """

    spec: ExperimentSpec
    layout: PanelLayout
    data: PanelData
    cluster_names: tuple[str, ...]

    @property
    def clusters(self) -> NDArray[np.generic]:
        """Number of the cluster of every row."""
        return self.data.unit if self.data.cluster is None else self.data.cluster

    @cached_property
    def panel(self) -> Panel:
        """Units seen in every period, without those treated from the first one on."""
        return arrange_panel(self.data)

    @cached_property
    def group_times(self) -> GroupTimes:
        """Effects by cohort and period against the last period before treatment."""
        panel = self.panel
        if panel.covariates.shape[1] or spans_cohorts(panel):
            return compare_units(panel, base_period="universal")
        return compare_cohorts(total_cohorts(panel), base_period="universal")

    @cached_property
    def sections(self) -> Panel:
        """Rows of repeated cross-sections: each a unit, NaN where it was not seen."""
        data = self.data
        seen = np.isfinite(data.outcome) & (data.cohort > 0)
        n, n_periods = int(seen.sum()), len(self.layout.labels)
        outcomes = np.full((n, n_periods), np.nan)
        outcomes[np.arange(n), data.period[seen].astype(int)] = data.outcome[seen]
        return Panel(
            data.experiment_id,
            data.metric_name,
            np.arange(n_periods, dtype=float),
            outcomes,
            data.cohort[seen],
            np.unique(self.clusters[seen], return_inverse=True)[1],
            np.ones(n) if data.weight is None else data.weight[seen],
            np.empty((n, 0)),
            n_incomplete=int(np.sum(~np.isfinite(data.outcome))),
            n_always=int(np.sum(data.cohort <= 0)),
        )

    @property
    def units(self) -> Panel:
        """What is analysed: the balanced panel, or the cross-sections' rows."""
        return self.sections if self.layout.is_cross_section else self.panel

    @property
    def names(self) -> tuple[str, ...]:
        """Label of each cluster by its number in the balanced panel."""
        data = self.data
        unit = data.unit.astype(np.int64)
        seen = np.bincount(unit[np.isfinite(data.outcome)], minlength=unit.max() + 1)
        is_complete = seen == len(np.unique(data.period))
        kept = is_complete[unit] & (data.cohort > data.period.min())
        return tuple(
            self.cluster_names[int(number)] for number in np.unique(self.clusters[kept])
        )

    @property
    def is_treated(self) -> NDArray[np.bool_]:
        """Units that are treated in some period."""
        return np.isfinite(self.units.cohort)

    def name_period(self, number: float) -> str:
        """The label of a period, as it was delivered."""
        return self.layout.labels[int(number)]


def find_layout(run: Run) -> PanelLayout | None:
    """The layout of an experiment that is a ready-made panel, None for any other."""
    rows = run.engine.rows("select panel from exp.experiment_registry")
    document = rows[0][0] if rows else None
    return None if document is None else read_layout(str(document))


def load_panel(
    engine: Engine,
    spec: ExperimentSpec,
    layout: PanelLayout,
    metrics: Mapping[str, str],
) -> dict[str, PanelMetric]:
    """Every metric's rows.

    Args:
        engine: holds `exp.exposures` and `exp.outcomes`.
        spec: the experiment.
        layout: of the panel.
        metrics: metric -> name in `outcomes`.
    """
    units, names = _read_units(engine, layout)
    periods = ", ".join(
        f"({number}, timestamptz '{start}')"
        for number, start in enumerate(layout.starts)
    )
    engine.execute(
        "create or replace temp table panel_periods as select * from (values\n"
        f"{periods}) as p (period_no, start_ts)"
    )
    return {
        name: PanelMetric(
            spec, layout, _read_rows(engine, spec, name, source, units), names
        )
        for name, source in metrics.items()
    }


def _read_units(
    engine: Engine, layout: PanelLayout
) -> tuple[dict[str, NDArray[Any]], tuple[str, ...]]:
    """Facts of the units by column, in the order of their number; names of clusters."""
    keys = {"cohort": "cohort_no", "weight": "weight"}
    keys |= {f"x{i}": f"covariate:{name}" for i, name in enumerate(layout.covariates)}
    facts = ",\n    ".join(
        f"try_cast(attributes[{text(key)}] as double) as {column}"
        for column, key in keys.items()
    )
    engine.execute(
        "create or replace temp table panel_units as\n"
        "select row_number() over (order by user_id) - 1 as unit_no, user_id,\n"
        f"    coalesce(attributes['cluster'], user_id) as cluster,\n    {facts}\n"
        "from (select user_id, any_value(attributes) as attributes\n"
        "    from exp.exposures group by user_id)"
    )
    table = engine.arrow("select * from panel_units order by unit_no")
    found: dict[str, NDArray[Any]] = {
        name: table.column(name).to_numpy().astype(float) for name in keys
    }
    found["cohort"] = np.where(np.isnan(found["cohort"]), NEVER, found["cohort"])
    if not layout.has_weights:
        del found["weight"]
    labels = np.array(table.column("cluster").to_pylist())
    names, found["cluster"] = np.unique(labels, return_inverse=True)
    return found, tuple(names.tolist())


def _read_rows(
    engine: Engine,
    spec: ExperimentSpec,
    name: str,
    source: str,
    units: Mapping[str, NDArray[Any]],
) -> PanelData:
    table = engine.arrow(
        "select u.unit_no, p.period_no, o.value from exp.outcomes as o\n"
        "inner join panel_units as u on o.user_id = u.user_id\n"
        "inner join panel_periods as p on o.outcome_ts = p.start_ts\n"
        f"where o.metric_name = {text(source)} order by u.unit_no, p.period_no"
    )
    unit = table.column("unit_no").to_numpy().astype(np.int64)
    covariates = [units[key] for key in units if key.startswith("x")]
    outcome = table.column("value").to_numpy().astype(float)
    for column in covariates:
        # A unit without a covariate is left out, as one without an outcome is.
        outcome = np.where(np.isnan(column[unit]), np.nan, outcome)
    weight = units.get("weight")
    return PanelData(
        experiment_id=spec.experiment_id,
        metric_name=name,
        unit=unit,
        period=table.column("period_no").to_numpy().astype(float),
        outcome=outcome,
        cohort=units["cohort"][unit],
        cluster=units["cluster"][unit],
        weight=None if weight is None else weight[unit],
        covariates=np.nan_to_num(np.column_stack(covariates))[unit]
        if covariates
        else None,
    )


def relative_weights(weight: Array) -> Array:
    """Weights that add to the number of units, or a breath more.

    Cluster sums take the number of units from the weights' sum, rounded down.
    """
    return np.asarray(weight * (len(weight) / weight.sum()) * (1 + 1e-12))
