"""Group-time effects ATT(g, t) of Callaway and Sant'Anna, with their joint covariance.

Without covariates everything follows from totals by cohort: each effect is a contrast
of cohort means, and its influence function is linear in a unit's outcomes within a
cohort. With covariates the influence functions are computed unit by unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.cohort_totals import CohortPanel, CohortTotals
from exp_platform.causal.panel_data import NEVER, Panel
from exp_platform.causal.two_by_two import (
    AdjustedChange,
    Adjustment,
    adjust_change,
)
from exp_platform.stats.inference import Array

ControlGroup = Literal["never", "not_yet"]
BasePeriod = Literal["varying", "universal"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which cohort is compared when, and with whom.

    Attributes:
        cohort: g. period: index of t. base: index of the period before.
        controls: cohorts that serve as controls.
    """

    cohort: float
    period: int
    base: int
    controls: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GroupTimes:
    """Effects by cohort and period, and the cohorts' shares, with one covariance.

    Attributes:
        cohorts, periods: g and t of each effect, shape (n_effects,).
        estimates: ATT(g, t), same shape.
        groups: the treated cohorts, shape (n_groups,). shares: of all weight.
        covariance: of estimates and shares together, by cluster, shape
            (n_effects + n_groups, n_effects + n_groups).
        group_clusters: clusters of each treated cohort.
        n_clusters: all of them. n_clusters_control: fewest in a comparison after
            treatment. n_treated, n_control: units; for control those never treated, or
            all not treated at first.
        treated_means: mean of the cohort in the period of each effect, shape
            (n_effects,).
        unmatched: largest share, over the effects, of treated units whose covariates
            no control has.
    """

    cohorts: Array
    periods: Array
    estimates: Array
    groups: Array
    shares: Array
    covariance: Array
    group_clusters: NDArray[np.int64]
    n_clusters: int
    n_clusters_control: int
    n_treated: int
    n_control: int
    treated_means: Array
    unmatched: float = 0.0

    @property
    def is_post(self) -> NDArray[np.bool_]:
        """The cohort is under treatment in the period."""
        return np.asarray(self.periods >= self.cohorts)


def list_comparisons(
    periods: Array,
    cohorts: Array,
    *,
    control_group: ControlGroup = "not_yet",
    base_period: BasePeriod = "varying",
) -> Iterator[Comparison]:
    """Every cohort in every period, against the last period before treatment.

    Args:
        periods: ascending.
        cohorts: all, the never treated included as infinite.
        control_group: the never treated only, or also those treated later than both
            periods.
        base_period: before treatment compare with the period before (varying), or
            always with the last one before treatment (universal).

    References:
        Callaway and Sant'Anna (2021), equations 2.5 to 2.8.
    """
    for cohort in cohorts[np.isfinite(cohorts)]:
        rows = [
            row
            for index in range(periods.size)
            if (
                row := _compare(
                    periods,
                    cohorts,
                    cohort,
                    index,
                    control_group=control_group,
                    base_period=base_period,
                )
            )
        ]
        # A cohort that is never compared after treatment only serves as control.
        if any(periods[row.period] >= cohort for row in rows):
            yield from rows


def _compare(
    periods: Array,
    cohorts: Array,
    cohort: float,
    index: int,
    *,
    control_group: ControlGroup,
    base_period: BasePeriod,
) -> Comparison | None:
    last = int(np.searchsorted(periods, cohort)) - 1
    is_fixed = periods[index] >= cohort or base_period == "universal"
    base = last if is_fixed else index - 1
    if base < 0 or base == index:
        return None
    later = cohorts > max(periods[index], periods[base])
    untreated = cohorts == NEVER if control_group == "never" else later
    controls = cohorts[untreated & (cohorts != cohort)]
    if not controls.size:
        return None
    return Comparison(float(cohort), index, base, tuple(float(c) for c in controls))


def compare_cohorts(
    panel: CohortPanel,
    *,
    control_group: ControlGroup = "not_yet",
    base_period: BasePeriod = "varying",
) -> GroupTimes:
    """ATT(g, t) from totals by cohort, without covariates.

    Args:
        panel: cohorts over the same periods.
        control_group: see `list_comparisons`.
        base_period: see `list_comparisons`.

    References:
        Callaway and Sant'Anna (2021), theorems 1 and 2.
    """
    members = panel.cohorts
    every = np.array([one.cohort for one in members])
    rows = list(
        list_comparisons(
            panel.periods,
            every,
            control_group=control_group,
            base_period=base_period,
        )
    )
    groups = np.unique([row.cohort for row in rows])
    shape = (len(rows) + groups.size, panel.periods.size)
    slopes = {one.cohort: np.zeros(shape) for one in members}
    shifts = {one.cohort: np.zeros(shape[0]) for one in members}
    estimates = np.zeros(len(rows))
    named = {one.cohort: one for one in members}
    for place, row in enumerate(rows):
        estimates[place] = _contrast(named, row, slopes, shifts, place)
    total = sum(one.weight for one in members)
    shares = np.array([named[g].weight / total for g in groups])
    for one in members:
        shifts[one.cohort][len(rows) :] = ((groups == one.cohort) - shares) / total
    covariance = sum(
        (_spread(one, slopes[one.cohort], shifts[one.cohort]) for one in members),
        np.zeros((shape[0], shape[0])),
    )
    clusters = {one.cohort: one.n_clusters for one in members}
    sizes = {one.cohort: one.n for one in members}
    return GroupTimes(
        cohorts=np.array([row.cohort for row in rows]),
        periods=panel.periods[[row.period for row in rows]],
        estimates=estimates,
        groups=groups,
        shares=shares,
        covariance=covariance,
        group_clusters=np.array([clusters[g] for g in groups], dtype=np.int64),
        n_clusters=sum(clusters.values()),
        n_clusters_control=_fewest_controls(rows, panel.periods, clusters),
        n_treated=sum(sizes[g] for g in groups),
        n_control=_count_controls(sizes, control_group),
        treated_means=np.array([named[row.cohort].means[row.period] for row in rows]),
    )


def compare_units(
    panel: Panel,
    *,
    control_group: ControlGroup = "not_yet",
    base_period: BasePeriod = "varying",
    adjustment: Adjustment = "doubly_robust",
) -> GroupTimes:
    """ATT(g, t) unit by unit: with covariates, or clusters that span cohorts.

    Args:
        panel: balanced units, with or without covariates.
        control_group: see `list_comparisons`.
        base_period: see `list_comparisons`.
        adjustment: how covariates are used.

    References:
        Callaway and Sant'Anna (2021), equations 2.5 to 2.8; Sant'Anna and Zhao (2020).
    """
    every, codes = np.unique(panel.cohort, return_inverse=True)
    rows = list(
        list_comparisons(
            panel.periods,
            every,
            control_group=control_group,
            base_period=base_period,
        )
    )
    groups = np.unique([row.cohort for row in rows])
    n_clusters = int(panel.cluster.max()) + 1
    scores = np.zeros((n_clusters, len(rows) + groups.size))
    estimates, unmatched = np.zeros(len(rows)), 0.0
    for place, row in enumerate(rows):
        made, scores[:, place] = _adjust(panel, row, adjustment, n_clusters)
        estimates[place] = made.estimate
        unmatched = max(unmatched, made.unmatched)
    shares, scores[:, len(rows) :] = _share_groups(panel, groups, n_clusters)
    clusters = {
        float(value): int(np.unique(panel.cluster[codes == code]).size)
        for code, value in enumerate(every)
    }
    sizes = {float(v): int(np.sum(codes == c)) for c, v in enumerate(every)}
    return GroupTimes(
        cohorts=np.array([row.cohort for row in rows]),
        periods=panel.periods[[row.period for row in rows]],
        estimates=estimates,
        groups=groups,
        shares=shares,
        covariance=scores.T @ scores,
        group_clusters=np.array([clusters[g] for g in groups], dtype=np.int64),
        n_clusters=n_clusters,
        n_clusters_control=_fewest_controls(rows, panel.periods, clusters),
        n_treated=sum(sizes[g] for g in groups),
        n_control=_count_controls(sizes, control_group),
        treated_means=np.array([_mean_of(panel, row) for row in rows]),
        unmatched=unmatched,
    )


def _share_groups(panel: Panel, groups: Array, n_clusters: int) -> tuple[Array, Array]:
    """Each group's share of the units, and the clusters' influence on it."""
    total = float(panel.weight.sum())
    shares, scores = np.zeros(groups.size), np.zeros((n_clusters, groups.size))
    for place, group in enumerate(groups):
        is_inside = panel.cohort == group
        shares[place] = panel.weight[is_inside].sum() / total
        influence = panel.weight * (is_inside - shares[place]) / total
        scores[:, place] = np.bincount(panel.cluster, influence, minlength=n_clusters)
    return shares, scores


def _contrast(
    named: dict[float, CohortTotals],
    row: Comparison,
    slopes: dict[float, Array],
    shifts: dict[float, Array],
    place: int,
) -> float:
    """One effect, and its influence on each cohort: slope on outcomes, shift."""
    treated = named[row.cohort]
    weight = sum(named[c].weight for c in row.controls)
    changes = {c: _change(named[c], row) for c in row.controls}
    control = sum(named[c].weight * change for c, change in changes.items()) / weight
    slopes[row.cohort][place, [row.period, row.base]] += np.array([1, -1]) / (
        treated.weight
    )
    for cohort, change in changes.items():
        slopes[cohort][place, [row.period, row.base]] -= np.array([1, -1]) / weight
        shifts[cohort][place] -= (change - control) / weight
    return _change(treated, row) - control


def _change(one: CohortTotals, row: Comparison) -> float:
    return float(one.means[row.period] - one.means[row.base])


def _spread(one: CohortTotals, slopes: Array, shifts: Array) -> Array:
    """Sum over the cohort's clusters of the outer product of their influence."""
    mixed = np.outer(slopes @ one.size_score, shifts)
    squares = one.size_square * np.outer(shifts, shifts)
    return np.asarray(slopes @ one.score_gram @ slopes.T + mixed + mixed.T + squares)


def _adjust(
    panel: Panel, row: Comparison, adjustment: Adjustment, n_clusters: int
) -> tuple[AdjustedChange, Array]:
    is_treated = panel.cohort == row.cohort
    is_inside = is_treated | np.isin(panel.cohort, row.controls)
    change = panel.outcomes[is_inside, row.period] - panel.outcomes[is_inside, row.base]
    found = adjust_change(
        change,
        is_treated[is_inside],
        panel.covariates[is_inside],
        panel.weight[is_inside],
        adjustment=adjustment,
    )
    scores = np.bincount(
        panel.cluster[is_inside], found.influence, minlength=n_clusters
    )
    return found, scores.astype(float)


def _fewest_controls(
    rows: list[Comparison], periods: Array, clusters: dict[float, int]
) -> int:
    counts = [
        sum(clusters[c] for c in row.controls)
        for row in rows
        if periods[row.period] >= row.cohort
    ]
    return min(counts, default=0)


def _count_controls(sizes: dict[float, int], control_group: ControlGroup) -> int:
    if control_group == "never" or not sizes:
        return sizes.get(NEVER, 0)
    return sum(sizes.values()) - sizes[min(sizes)]


def _mean_of(panel: Panel, row: Comparison) -> float:
    """Mean of the treated cohort in the period."""
    is_inside = panel.cohort == row.cohort
    outcomes = panel.outcomes[is_inside, row.period]
    return float(np.average(outcomes, weights=panel.weight[is_inside]))
