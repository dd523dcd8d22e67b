"""Differences between days, of the difference between two arms."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.clusters import count_effective_arms, cr1_factor
from exp_platform.errors import ContractError
from exp_platform.records import GramTotals
from exp_platform.stats.draft import Refusal, judge_spread
from exp_platform.stats.inference import Array

ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class DayContrasts:
    """How the gap between the arms differs from its value on a reference day.

    Attributes:
        days: shape (n_days,). reference_day: the day they are compared with.
        deltas: (treatment - control on the day) - (the same on the reference day).
        control_covariance, treatment_covariance: each arm's part in the covariance of
            the deltas, CR1 factor included, shape (n_days, n_days).
        n_clusters_control, n_clusters_treatment: effective numbers, where known.
        scale: size of the largest daily mean, against which rounding is judged.
    """

    days: NDArray[np.int64]
    reference_day: int
    deltas: Array
    control_covariance: Array
    treatment_covariance: Array
    n_clusters_control: float
    n_clusters_treatment: float
    scale: float

    @property
    def covariance(self) -> Array:
        """Covariance of the deltas, shape (n_days, n_days)."""
        return self.control_covariance + self.treatment_covariance

    @property
    def is_finite(self) -> bool:
        """No delta and no covariance is missing or infinite."""
        parts = (self.deltas, self.control_covariance, self.treatment_covariance)
        return all(bool(np.all(np.isfinite(part))) for part in parts)

    @property
    def variances(self) -> Array:
        """Variances of the deltas, 0 where they are rounding noise."""
        diagonal = np.diag(self.covariance)
        # not squared: values beyond 1e154 are legal, their squares are not
        errors = np.sqrt(np.maximum(diagonal, 0.0))
        return np.where(errors <= ROUNDING * self.scale, 0.0, diagonal)

    @property
    def flat_reason(self) -> str:
        """Why a day counts as without variance: a constant, or lost in rounding."""
        errors = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        flat = errors[self.variances == 0]
        n = self.n_clusters_control + self.n_clusters_treatment
        largest = float(flat.max()) if flat.size else 0.0
        found = judge_spread(largest, self.scale, n=n)
        return (found or Refusal.ZERO_VARIANCE).value

    def keep(self, is_kept: NDArray[np.bool_]) -> "DayContrasts":
        """The same for some of the days."""
        inside = np.ix_(is_kept, is_kept)
        return DayContrasts(
            self.days[is_kept],
            self.reference_day,
            self.deltas[is_kept],
            self.control_covariance[inside],
            self.treatment_covariance[inside],
            self.n_clusters_control,
            self.n_clusters_treatment,
            self.scale,
        )


def contrast_days(
    control: GramTotals,
    treatment: GramTotals,
    days: Sequence[int],
    *,
    reference_day: int,
) -> DayContrasts:
    """By how much did the gap between the arms change against the reference day?

    Args:
        control: daily means and cross-products of the untreated arm.
        treatment: the same days of the treated arm.
        days: to be compared; all, like the reference day, among the totals' days.
        reference_day: day number the others are compared with.

    Raises:
        ContractError: the arms' totals are of different days or metrics.

    References:
        Freyaldenhoven, Hansen and Shapiro (2019); Cameron and Miller (2015).
    """
    _require_same_days(control, treatment)
    place = {day: index for index, day in enumerate(control.days)}
    rows, base = np.array([place[day] for day in days]), place[reference_day]
    n_clusters = control.n_clusters + treatment.n_clusters
    factor = cr1_factor(n_clusters, control.n + treatment.n)
    means = (np.array(control.means), np.array(treatment.means))
    with np.errstate(invalid="ignore"):
        gap = means[1] - means[0]
        spreads = [
            factor * _contrast_products(np.array(arm.score_gram), rows, base) / arm.n**2
            for arm in (control, treatment)
        ]
        deltas = gap[rows] - gap[base]
    return DayContrasts(
        days=np.array(days, dtype=np.int64),
        reference_day=reference_day,
        deltas=deltas,
        control_covariance=spreads[0],
        treatment_covariance=spreads[1],
        n_clusters_control=_count_effective(control),
        n_clusters_treatment=_count_effective(treatment),
        scale=float(max(np.max(np.abs(m), initial=0.0) for m in means)),
    )


def _count_effective(arm: GramTotals) -> float:
    return min(arm.n_clusters, count_effective_arms(arm.cluster_shares))


def _contrast_products(products: Array, rows: NDArray[np.int64], base: int) -> Array:
    """Cross-products of (day - base), from those of the days."""
    shared = products[rows, base]
    inside = products[np.ix_(rows, rows)]
    return np.asarray(inside - shared[:, None] - shared[None, :] + products[base, base])


def _require_same_days(control: GramTotals, treatment: GramTotals) -> None:
    ours = (control.experiment_id, control.metric_name, control.days)
    theirs = (treatment.experiment_id, treatment.metric_name, treatment.days)
    if ours == theirs:
        return
    raise ContractError(
        "the two arms' daily totals do not belong together",
        where=f"{control.experiment_id}, metric {control.metric_name}",
        found=f"control {ours}, treatment {theirs}",
        allowed="one experiment, one metric, the same days",
        next_step="aggregate both arms over the same registered days",
    )
