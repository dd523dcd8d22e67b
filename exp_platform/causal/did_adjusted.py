"""2x2 difference in differences with covariates: parallel trends given who units are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.cluster_sums import count_effective_sizes
from exp_platform.causal.clusters import refuse_clusters
from exp_platform.causal.effect import complete_effect, stop_effect
from exp_platform.causal.two_by_two import (
    MOST_UNMATCHED,
    Adjustment,
    adjust_change,
)
from exp_platform.errors import ContractError
from exp_platform.records import Estimate, EstimateStatus
from exp_platform.stats.draft import Refusal
from exp_platform.stats.inference import Array
from exp_platform.stats.settings import EstimateSettings


@dataclass(frozen=True, slots=True)
class UnitChanges:
    """One row per unit of both arms, arrays of shape (n_units,).

    Attributes:
        control, treatment: names of the arms.
        pre, post: the unit's average daily value in each period.
        covariates: from before the event, shape (n_units, n_covariates).
        cluster: label at whose level treatment was assigned; None = every unit is one.
        weight: above 0; None = 1.
    """

    experiment_id: str
    metric_name: str
    control: str
    treatment: str
    is_treated: NDArray[np.bool_]
    pre: Array
    post: Array
    covariates: Array
    cluster: NDArray[np.generic] | None = None
    weight: Array | None = None

    def __post_init__(self) -> None:
        columns = (self.is_treated, self.pre, self.post, self.covariates)
        extra = (self.cluster, self.weight)
        lengths = {len(one) for one in (*columns, *extra) if one is not None}
        if len(lengths) == 1 and self.covariates.ndim == 2:
            return
        raise ContractError(
            "columns of units' changes do not belong together",
            where=f"{self.experiment_id}, metric {self.metric_name}",
            found=f"lengths {sorted(lengths)}",
            allowed="one row per unit, covariates as a matrix",
            next_step="pass arrays of equal length",
        )


def estimate_did_adjusted(
    units: UnitChanges,
    settings: EstimateSettings,
    *,
    adjustment: Adjustment = "doubly_robust",
) -> Estimate:
    """By how much more did the treated units change than like ones did?

    Errors are the influence function's, summed by cluster, without a small-sample
    factor, with t(G - 1).

    Args:
        units: changes and covariates of both arms.
        settings: metric, role, alpha, least units.
        adjustment: outcome regression among controls, weighting by the odds of
            treatment, or both.

    Estimand:
        Average effect on the treated units (ATT).

    Assumptions:
        Without treatment, units with equal covariates would have changed alike in both
        arms; every treated unit has a counterpart among controls; the covariates are
        from before treatment.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, TOO_FEW_CLUSTERS,
        NEEDS_WILD_BOOTSTRAP, POOR_OVERLAP (the covariates tell the arms apart) or
        ZERO_VARIANCE; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Sant'Anna and Zhao (2020).
    """
    weight = np.ones(units.pre.size) if units.weight is None else units.weight
    codes = _number_clusters(units)
    counts = _count_clusters(units, codes)
    draft = _draft(units, settings, np.unique(codes).size)
    details = _describe(units, adjustment, counts)
    reason = _refuse(draft, units, settings)
    if reason is None:
        details["n_clusters_effective"] = _count_effective(units, codes, weight)
        reason = refuse_clusters(*counts, effective=details["n_clusters_effective"])
    if reason is not None:
        return stop_effect(draft, reason.value, details)
    change, treated = units.post - units.pre, units.is_treated
    seen = (change, treated, units.covariates, weight)
    with np.errstate(all="ignore"):
        found = adjust_change(*seen, adjustment=adjustment)
    details["share_unmatched"] = found.unmatched
    is_finite = np.isfinite(found.estimate) and np.all(np.isfinite(found.influence))
    if not is_finite or found.unmatched > MOST_UNMATCHED:
        return stop_effect(draft, "POOR_OVERLAP", details)
    error = float(np.linalg.norm(np.bincount(codes, found.influence)))
    return complete_effect(
        draft,
        (found.estimate, error),
        df=float(codes.max()),
        treated_mean=float(np.average(units.post[treated], weights=weight[treated])),
        details=details,
    )


def _describe(
    units: UnitChanges, adjustment: Adjustment, counts: tuple[int, int]
) -> dict[str, Any]:
    return {
        "adjustment": adjustment,
        "n_covariates": units.covariates.shape[1],
        "n_clusters_control": counts[0],
        "n_clusters_treatment": counts[1],
        "small_sample": "influence function by cluster, no factor, t(G-1)",
    }


def _number_clusters(units: UnitChanges) -> NDArray[np.int64]:
    if units.cluster is None:
        return np.arange(units.pre.size)
    _, codes = np.unique(units.cluster, return_inverse=True)
    return np.asarray(codes, dtype=np.int64)


def _draft(units: UnitChanges, settings: EstimateSettings, n_clusters: int) -> Estimate:
    n_treated = int(np.sum(units.is_treated))
    return Estimate(
        experiment_id=units.experiment_id,
        metric_name=units.metric_name,
        method="did_adjusted",
        control=units.control,
        treatment=units.treatment,
        status=EstimateStatus.INSUFFICIENT_DATA,
        estimand="ATT",
        n_control=units.is_treated.size - n_treated,
        n_treatment=n_treated,
        n_clusters=n_clusters,
        alpha=settings.alpha,
        role=settings.role,
        period="post",
        metric_version=settings.metric_version,
    )


def _count_clusters(units: UnitChanges, codes: NDArray[np.int64]) -> tuple[int, int]:
    treated = units.is_treated
    return np.unique(codes[~treated]).size, np.unique(codes[treated]).size


def _count_effective(
    units: UnitChanges, codes: NDArray[np.int64], weight: Array
) -> float:
    """Effective number of clusters, by the weights of their units."""
    sides = (~units.is_treated, units.is_treated)
    control, treatment = (np.bincount(codes[side], weight[side]) for side in sides)
    return count_effective_sizes(control.astype(float), treatment.astype(float))


def _refuse(
    draft: Estimate, units: UnitChanges, settings: EstimateSettings
) -> Refusal | None:
    fewest = min(draft.n_control or 0, draft.n_treatment or 0)
    if fewest < max(2, settings.min_units_per_arm):
        return Refusal.TOO_FEW_UNITS
    values = (units.pre, units.post, units.covariates)
    is_finite = all(bool(np.all(np.isfinite(one))) for one in values)
    return None if is_finite else Refusal.INVALID_MOMENTS
