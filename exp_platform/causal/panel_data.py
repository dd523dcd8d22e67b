"""A unit x period panel with staggered treatment, checked and laid out as a matrix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.vector_moments import BLOCK
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


@dataclass(frozen=True)
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
        left_out: units left out by reason, (untreated, treated): `missing_value` in
            some period or in all, `missing_covariate`, `always_treated`.
        cluster_labels: what the clusters were called before they were numbered anew,
            shape (n_clusters,); empty = nobody asked.
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
    left_out: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    cluster_labels: NDArray[np.generic] = field(default_factory=lambda: np.empty(0))

    @cached_property
    def cohort_codes(self) -> tuple[Array, NDArray[np.int64]]:
        """All cohorts, ascending, and the place of each unit's among them."""
        cohorts = np.unique(self.cohort)
        return cohorts, np.searchsorted(cohorts, self.cohort)

    @property
    def cohorts(self) -> Array:
        """Treated cohorts, ascending."""
        every, _ = self.cohort_codes
        return every[np.isfinite(every)]

    @property
    def is_treated(self) -> NDArray[np.bool_]:
        """Under treatment, shape (n_units, n_periods)."""
        return np.asarray(self.cohort[:, None] <= self.periods[None, :])

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return int(self.cluster.max(initial=-1)) + 1

    def count_clusters(self, is_inside: NDArray[np.bool_]) -> int:
        """Clusters with one of these units or more."""
        return int(np.count_nonzero(np.bincount(self.cluster[is_inside])))

    def size_clusters(self, is_inside: NDArray[np.bool_]) -> Array:
        """Summed weight of these units in every cluster that has one of them."""
        cluster, weight = self.cluster[is_inside], self.weight[is_inside]
        sizes = np.bincount(cluster, weight)[np.bincount(cluster) > 0]
        return sizes.astype(float)

    def keep(self, is_kept: NDArray[np.bool_]) -> "Panel":
        """The same for some of the units, in a matrix of its own."""
        if np.all(is_kept):
            return self
        return self._choose(is_kept, self.outcomes[is_kept])

    def keep_periods(self, is_seen: NDArray[np.bool_]) -> "Panel":
        """The same for some periods; who is treated after the last of them never is."""
        periods = self.periods[is_seen]
        is_later = self.cohort > periods.max(initial=-NEVER)
        return replace(
            self,
            periods=periods,
            outcomes=self.outcomes if np.all(is_seen) else self.outcomes[:, is_seen],
            cohort=np.where(is_later, NEVER, self.cohort),
        )

    def find_always(self) -> NDArray[np.bool_]:
        """Units that were treated from the first period on."""
        return np.asarray(self.cohort <= self.periods.min(initial=NEVER))

    def drop_always(self) -> "Panel":
        """Without units that were treated from the first period on."""
        is_always = self.find_always()
        return replace(
            self.keep(~is_always),
            n_always=int(np.sum(is_always)),
            left_out={**self.left_out, **self.count_by_arm(always_treated=is_always)},
        )

    def count_by_arm(self, **reasons: NDArray[np.bool_]) -> dict[str, tuple[int, int]]:
        """How many of these units are untreated and treated, by reason."""
        is_treated = np.isfinite(self.cohort)
        return {
            reason: (int(np.sum(units & ~is_treated)), int(np.sum(units & is_treated)))
            for reason, units in reasons.items()
        }

    def _choose(self, is_kept: NDArray[np.bool_], outcomes: Array) -> "Panel":
        members = self.cluster[is_kept]
        is_used = np.bincount(members, minlength=self.n_clusters) > 0
        labels = self.cluster_labels
        return replace(
            self,
            outcomes=outcomes,
            cohort=self.cohort[is_kept],
            cluster=(np.cumsum(is_used) - 1)[members],
            weight=self.weight[is_kept],
            covariates=self.covariates[is_kept],
            cluster_labels=labels[is_used] if labels.size else labels,
        )


def balance_panel(panel: Panel) -> Panel:
    """Units that were seen in every period and are known; others seen are counted.

    The rows that stay move up within the matrix that came in: a panel as large as
    memory has no room for a second one.

    Args:
        panel: of all units; NaN = not seen, or a covariate that is not known. A
            period in which nobody was seen is none of the panel's.
    """
    seen = np.zeros(len(panel.outcomes), dtype=np.int64)
    by_period = np.zeros(panel.periods.size, dtype=np.int64)
    for part in _blocks(panel):
        is_seen = np.isfinite(panel.outcomes[part])
        seen[part], by_period = is_seen.sum(axis=1), by_period + is_seen.sum(axis=0)
    panel = panel.keep_periods(by_period > 0)
    outcomes = panel.outcomes
    is_known = np.all(np.isfinite(panel.covariates), axis=1)
    has_all = (seen == panel.periods.size) & (seen > 0)
    is_complete = has_all & is_known
    reasons = {"missing_value": ~has_all, "missing_covariate": has_all & ~is_known}
    found = replace(
        panel,
        n_incomplete=int(np.sum((seen > 0) & ~is_complete)),
        left_out=panel.count_by_arm(**reasons),
    )
    if np.all(is_complete):
        return found
    kept = 0
    for part in _blocks(panel):
        rows = outcomes[part][is_complete[part]]
        outcomes[kept : kept + len(rows)] = rows
        kept += len(rows)
    return found._choose(is_complete, outcomes[:kept])  # noqa: SLF001


def _blocks(panel: Panel) -> Iterator[slice]:
    for first in range(0, len(panel.outcomes), BLOCK):
        yield slice(first, first + BLOCK)


def sum_by_cluster(panel: Panel, centre: Array | float = 0.0) -> Array:
    """Sum over each cluster's units of weight x (outcome - centre), by period.

    Args:
        panel: balanced.
        centre: subtracted first, shape (n_periods,).

    Returns:
        Shape (n_clusters, n_periods).
    """
    centres = np.broadcast_to(centre, panel.periods.shape)
    columns = [
        np.bincount(panel.cluster, panel.weight * (outcomes - one))
        for outcomes, one in zip(panel.outcomes.T, centres, strict=True)
    ]
    return np.column_stack(columns)


def average_periods(
    panel: Panel, is_inside: NDArray[np.bool_], units: NDArray[np.int64]
) -> Array:
    """Some units' means over some of the periods, in the order of the units.

    Args:
        panel: balanced.
        is_inside: the periods, shape (n_periods,), one at least.
        units: their places.
    """
    found = np.zeros(units.size)
    for period in np.flatnonzero(is_inside):
        found += panel.outcomes[units, period]
    return np.asarray(found / is_inside.sum())


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
    panel = balance_panel(
        Panel(
            experiment_id=data.experiment_id,
            metric_name=data.metric_name,
            periods=periods.astype(float),
            outcomes=outcomes,
            cohort=_constant(data, "cohort", _clean_cohort(data.cohort), unit),
            cluster=_cluster(data, unit),
            weight=_weight(data, unit),
            covariates=_covariates(data, unit),
        )
    )
    return panel if keep_always else panel.drop_always()


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
