"""What a two-way fixed-effects coefficient is made of: every 2x2 comparison in it."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.panel_data import NEVER, Panel
from exp_platform.causal.vector_moments import BLOCK
from exp_platform.stats.inference import Array

FORBIDDEN = ("later_vs_earlier", "treated_vs_always")
"""Kinds of comparison whose controls are under treatment throughout."""


@dataclass(frozen=True, slots=True)
class BaconComparison:
    """One 2x2 difference in differences within the regression.

    Attributes:
        treated, control: cohorts; infinite = never treated.
        kind: treated_vs_never, earlier_vs_later, later_vs_earlier or
            treated_vs_always.
        weight: in the coefficient; all sum to 1. estimate: the 2x2 difference.
    """

    treated: float
    control: float
    kind: str
    weight: float
    estimate: float


@dataclass(frozen=True, slots=True)
class BaconDecomposition:
    """All comparisons; weight x estimate sums to the coefficient."""

    comparisons: tuple[BaconComparison, ...]

    @property
    def share_forbidden(self) -> float:
        """Weight of comparisons with units already under treatment."""
        return sum(c.weight for c in self.comparisons if c.kind in FORBIDDEN)

    @property
    def forbidden_estimate(self) -> float | None:
        """Mean of the comparisons with units already under treatment."""
        return _mean([c for c in self.comparisons if c.kind in FORBIDDEN])

    @property
    def clean_estimate(self) -> float | None:
        """Mean of the others."""
        return _mean([c for c in self.comparisons if c.kind not in FORBIDDEN])


@dataclass(frozen=True, slots=True)
class GroupMeans:
    """Period means of each cohort.

    Attributes:
        periods: ascending. cohorts: ascending, shape (n_cohorts,); infinite = never.
        weight: sum over each cohort's units.
        means: shape (n_cohorts, n_periods).
    """

    periods: Array
    cohorts: Array
    weight: Array
    means: Array

    @property
    def is_treated(self) -> NDArray[np.bool_]:
        """Under treatment, shape (n_cohorts, n_periods)."""
        return np.asarray(self.cohorts[:, None] <= self.periods[None, :])


def group_means(panel: Panel) -> GroupMeans:
    """Weighted means by cohort and period.

    Args:
        panel: balanced; always-treated units may be in it.
    """
    cohorts, code = panel.cohort_codes
    weight = np.bincount(code, panel.weight).astype(float)
    pivot = panel.outcomes[:BLOCK].mean(axis=0)
    # Around a pivot: a sum of large values would round away what they differ by.
    sums = [
        np.bincount(code, panel.weight * (values - centre))
        for values, centre in zip(panel.outcomes.T, pivot, strict=True)
    ]
    means = pivot + np.column_stack(sums) / weight[:, None]
    return GroupMeans(panel.periods, cohorts, weight, means)


def decompose_panel(panel: Panel | GroupMeans) -> BaconDecomposition:
    """Which comparisons does the two-way fixed-effects coefficient average?

    Args:
        panel: balanced; always-treated units may be in it. Weights of units are used
            as cohort sizes and in cohort means.

    References:
        Goodman-Bacon (2021), theorem 1.
    """
    groups = group_means(panel) if isinstance(panel, Panel) else panel
    cohorts, total = groups.cohorts, groups.weight.sum()
    shares = dict(zip(cohorts, groups.weight / total, strict=True))
    means = dict(zip(cohorts, groups.means, strict=True))
    found = [
        made
        for treated, control in permutations(cohorts, 2)
        if (made := _compare(groups.periods, treated, control, shares, means))
    ]
    scale = sum(one.weight for one in found)
    return BaconDecomposition(
        tuple(
            BaconComparison(
                one.treated, one.control, one.kind, one.weight / scale, one.estimate
            )
            for one in found
        )
    )


def share_negative(groups: GroupMeans, residual: Array) -> float:
    """Sum of the negative weights on effects of treated cells, as a positive number.

    Args:
        groups: of a balanced panel.
        residual: treatment less unit and period effects, shape (n_cohorts, n_periods).

    References:
        de Chaisemartin and D'Haultfoeuille (2020), theorem 1.
    """
    weights = (groups.weight[:, None] * residual)[groups.is_treated]
    return float(-weights[weights < 0].sum() / weights.sum())


def _compare(
    periods: Array,
    treated: float,
    control: float,
    shares: dict[float, float],
    means: dict[float, Array],
) -> BaconComparison | None:
    first = periods[0]
    if treated == NEVER or treated <= first:
        return None
    # The periods in which the control's own treatment does not change.
    inside = np.ones(periods.size, dtype=bool)
    if control == NEVER:
        kind = "treated_vs_never"
    elif control <= first:
        kind = "treated_vs_always"
    elif control > treated:
        kind, inside = "earlier_vs_later", periods < control
    else:
        kind, inside = "later_vs_earlier", periods >= control
    after = periods >= treated
    share = shares[treated] / (shares[treated] + shares[control])
    length = float(np.mean(inside))
    switched = float(np.mean(after[inside]))
    weight = (
        ((shares[treated] + shares[control]) * length) ** 2
        * share
        * (1 - share)
        * switched
        * (1 - switched)
    )
    gap = means[treated] - means[control]
    estimate = float(np.mean(gap[inside & after]) - np.mean(gap[inside & ~after]))
    return BaconComparison(float(treated), float(control), kind, weight, estimate)


def _mean(chosen: list[BaconComparison]) -> float | None:
    weight = sum(one.weight for one in chosen)
    if not weight:
        return None
    return sum(one.weight * one.estimate for one in chosen) / weight
