"""A unit x period panel with staggered treatment, checked and laid out as a matrix."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exp_platform.errors import ContractError
from exp_platform.stats.inference import Array

NEVER = np.inf
"""Cohort of units that are never treated."""


@dataclass(frozen=True, slots=True)
class PanelData:
    """One row per unit and period; arrays of equal length.

    Attributes:
        unit, cluster: labels. period: number of the period.
        outcome: value of the metric; NaN = missing, the unit is then left out.
        cohort: first period under treatment, the same in all rows of a unit; infinite
            or NaN = never.
        weight: above 0, constant within a unit; None = 1.
        cluster: at whose level treatment was assigned; None = every unit is one.
        covariates: shape (n_rows, n_covariates), constant within a unit.
    """

    experiment_id: str
    metric_name: str
    unit: NDArray[np.generic]
    period: Array
    outcome: Array
    cohort: Array
    cluster: NDArray[np.generic] | None = None
    weight: Array | None = None
    covariates: Array | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """The same as a balanced matrix: units by rows, periods by columns.

    Attributes:
        periods: ascending, shape (n_periods,).
        outcomes: shape (n_units, n_periods).
        cohort: shape (n_units,); infinite also for units treated after the last
            period.
        cluster: numbers from 0, shape (n_units,). weight: shape (n_units,).
        covariates: shape (n_units, n_covariates).
        n_incomplete: units left out because a period was missing.
        n_always: units left out because they were treated from the first period on.
    """

    experiment_id: str
    metric_name: str
    periods: Array
    outcomes: Array
    cohort: Array
    cluster: NDArray[np.int64]
    weight: Array
    covariates: Array
    n_incomplete: int = 0
    n_always: int = 0

    @property
    def cohorts(self) -> Array:
        """Treated cohorts, ascending."""
        return np.unique(self.cohort[np.isfinite(self.cohort)])

    @property
    def is_treated(self) -> NDArray[np.bool_]:
        """Under treatment, shape (n_units, n_periods)."""
        return np.asarray(self.cohort[:, None] <= self.periods[None, :])

    def keep(self, is_kept: NDArray[np.bool_]) -> "Panel":
        """The same for some of the units."""
        return Panel(
            self.experiment_id,
            self.metric_name,
            self.periods,
            self.outcomes[is_kept],
            self.cohort[is_kept],
            np.unique(self.cluster[is_kept], return_inverse=True)[1],
            self.weight[is_kept],
            self.covariates[is_kept],
            self.n_incomplete,
            self.n_always,
        )


def arrange_panel(data: PanelData, *, keep_always: bool = False) -> Panel:
    """Lay the rows out by unit and period; drop units that cannot be compared.

    Args:
        data: long arrays, in any order.
        keep_always: keep units treated from the first period on (two-way fixed effects
            use them; group-time effects cannot).

    Raises:
        ContractError: lengths differ, a unit has two rows in a period, or what must be
            constant within a unit is not.
    """
    _require_lengths(data)
    _, unit = np.unique(data.unit, return_inverse=True)
    periods, period = np.unique(data.period, return_inverse=True)
    shape = (int(unit.max(initial=-1)) + 1, periods.size)
    rows = np.bincount(unit * max(shape[1], 1) + period, minlength=shape[0] * shape[1])
    if np.any(rows > 1):
        _refuse(data, "a unit has several rows in one period", f"{rows.max()} rows")
    outcomes = np.full(shape, np.nan)
    outcomes[unit, period] = data.outcome
    cohort = _constant(data, "cohort", _clean_cohort(data.cohort), unit)
    cohort = np.where(cohort > periods.max(initial=-NEVER), NEVER, cohort)
    is_complete = np.all(np.isfinite(outcomes), axis=1)
    is_always = cohort <= periods.min(initial=NEVER)
    panel = Panel(
        experiment_id=data.experiment_id,
        metric_name=data.metric_name,
        periods=periods.astype(float),
        outcomes=outcomes,
        cohort=cohort,
        cluster=_cluster(data, unit),
        weight=_weight(data, unit),
        covariates=_covariates(data, unit),
        n_incomplete=int(np.sum(~is_complete)),
        n_always=int(np.sum(is_complete & is_always)),
    )
    return panel.keep(is_complete & (keep_always | ~is_always))


def _clean_cohort(cohort: Array) -> Array:
    return np.where(np.isnan(cohort), NEVER, cohort)


def _cluster(data: PanelData, unit: NDArray[np.int64]) -> NDArray[np.int64]:
    if data.cluster is None:
        return np.arange(unit.max(initial=-1) + 1)
    _, cluster = np.unique(data.cluster, return_inverse=True)
    return _constant(data, "cluster", cluster.astype(float), unit).astype(np.int64)


def _weight(data: PanelData, unit: NDArray[np.int64]) -> Array:
    if data.weight is None:
        return np.ones(unit.max(initial=-1) + 1)
    weight = _constant(data, "weight", data.weight, unit)
    if not np.all(weight > 0):
        _refuse(data, "a weight is not above 0", f"least {weight.min()}")
    return weight


def _covariates(data: PanelData, unit: NDArray[np.int64]) -> Array:
    if data.covariates is None:
        return np.empty((unit.max(initial=-1) + 1, 0))
    columns = [
        _constant(data, f"covariate {index}", column, unit)
        for index, column in enumerate(data.covariates.T)
    ]
    return np.column_stack(columns)


def _constant(
    data: PanelData, name: str, values: Array, unit: NDArray[np.int64]
) -> Array:
    """The value of each unit, which must be the same in all its rows."""
    found = np.empty(unit.max(initial=-1) + 1)
    found[unit] = values
    if not np.array_equal(found[unit], values):
        _refuse(data, f"{name} changes or is missing within a unit", name)
    return found


def _require_lengths(data: PanelData) -> None:
    columns = (data.unit, data.period, data.outcome, data.cohort)
    extra = (data.cluster, data.weight, data.covariates)
    lengths = {len(one) for one in (*columns, *extra) if one is not None}
    if len(lengths) != 1:
        _refuse(data, "columns of a panel differ in length", f"{sorted(lengths)}")


def _refuse(data: PanelData, what: str, found: str) -> None:
    raise ContractError(
        what,
        where=f"{data.experiment_id}, metric {data.metric_name}",
        found=found,
        allowed="one row per unit and period; cohort, cluster, weight and covariates "
        "constant within a unit",
        next_step="aggregate to one row per unit and period, take covariates from "
        "before treatment",
    )
