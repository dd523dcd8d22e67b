"""What a two-way fixed-effects coefficient is made of: every 2x2 comparison in it."""

from dataclasses import dataclass
from itertools import permutations

import numpy as np

from exp_platform.causal.panel_data import NEVER, Panel
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


def decompose_panel(panel: Panel) -> BaconDecomposition:
    """Which comparisons does the two-way fixed-effects coefficient average?

    Args:
        panel: balanced; always-treated units may be in it. Weights of units are used
            as cohort sizes and in cohort means.

    References:
        Goodman-Bacon (2021), theorem 1.
    """
    cohorts = np.unique(panel.cohort)
    total = panel.weight.sum()
    shares = {c: panel.weight[panel.cohort == c].sum() / total for c in cohorts}
    means = {
        c: np.average(
            panel.outcomes[panel.cohort == c],
            axis=0,
            weights=panel.weight[panel.cohort == c],
        )
        for c in cohorts
    }
    found = [
        made
        for treated, control in permutations(cohorts, 2)
        if (made := _compare(panel.periods, treated, control, shares, means))
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


def share_negative(panel: Panel, residual: Array) -> float:
    """Sum of the negative weights on effects of treated cells, as a positive number.

    Args:
        panel: balanced.
        residual: treatment less unit and period effects, shape (n_units, n_periods).

    References:
        de Chaisemartin and D'Haultfoeuille (2020), theorem 1.
    """
    weights = (panel.weight[:, None] * residual)[panel.is_treated]
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
