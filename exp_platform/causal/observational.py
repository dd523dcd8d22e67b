"""Effects where units came to their arm by themselves: adjusted, never an experiment.

All covariates that drive both the choice and the outcome must be among those given;
no method can check that. So the role is never primary and nothing ships on it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.cluster_sums import count_effective_sizes
from exp_platform.causal.clusters import refuse_clusters
from exp_platform.causal.propensity import (
    Overlap,
    assess_overlap,
    predict_across_folds,
)
from exp_platform.causal.refusal import DesignRefusal, refuse_design
from exp_platform.errors import ContractError
from exp_platform.records import Estimate, EstimateRole, EstimateStatus, MetricTotals
from exp_platform.stats.draft import Refusal, draft_estimate, judge_spread
from exp_platform.stats.inference import Array, infer_difference
from exp_platform.stats.settings import EstimateSettings

ESTIMAND = "ATE, if nothing unmeasured drives both arm and outcome"

COLLINEAR = 1e-10
"""Smallest eigenvalue of the covariates' correlation matrix that still counts."""


LARGEST = 1e140
"""Values beyond have no sum of squares among the floats."""


@dataclass(frozen=True, slots=True)
class ObservedUnits:
    """Units that were observed, not assigned.

    Attributes:
        outcome: shape (n_units,). is_treated: same shape.
        covariates: facts from before the choice, shape (n_units, k).
        covariate_names: shape (k,).
        cluster: label per unit at which choices were made; None = each by itself.
        too_rare: units of each value that has no covariate of its own; told beside the
            numbers.
    """

    experiment_id: str
    metric_name: str
    control: str
    treatment: str
    outcome: Array
    is_treated: NDArray[np.bool_]
    covariates: Array
    covariate_names: tuple[str, ...]
    cluster: NDArray[Any] | None = None
    too_rare: Mapping[str, int] = field(default_factory=dict)

    @property
    def centred(self) -> Array:
        """Outcomes less their mean: models of large values would lose their spread."""
        return np.asarray(self.outcome - self.outcome.mean())

    @property
    def design(self) -> Array:
        """Intercept and standardised covariates, shape (n_units, 1 + k)."""
        spread = self.covariates.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        centred = (self.covariates - self.covariates.mean(axis=0)) / spread
        return np.column_stack([np.ones(len(centred)), centred])


def estimate_regression_adjustment(
    units: ObservedUnits, settings: EstimateSettings
) -> Estimate:
    """How would the arms differ if both had all units' covariates?

    A linear regression in each arm (Lin's interactions), averaged over all units. The
    standard error counts that the covariates were sampled too; CR1 by cluster, factor
    G/(G-1), and t(G - 1).

    Args:
        units: outcomes, arms and covariates.
        settings: metric, role, alpha, least units.

    Estimand:
        Average effect over all units (ATE), identified by the covariates alone.

    Assumptions:
        Nothing unmeasured drives both arm and outcome; the outcome is linear in the
        covariates within each arm; covariates are from before the choice.

    Outcomes:
        OK with role secondary at most; INSUFFICIENT_DATA with TOO_FEW_UNITS,
        TOO_FEW_CLUSTERS, NEEDS_WILD_BOOTSTRAP, NO_COVARIATE_DATA,
        COLLINEAR_COVARIATES, POOR_OVERLAP, ZERO_VARIANCE, NO_RESIDUAL_VARIANCE (a
        covariate is the outcome) or PRECISION_LOST (values beyond 1e140);
        METRIC_ERRORED with INVALID_MOMENTS.

    Raises:
        ContractError: the arrays do not fit together.

    References:
        Lin (2013); Imbens and Rubin (2015), chapter 12.
    """
    draft, refused = _open(units, settings, "regression_adjustment")
    if refused is not None:
        return refused
    design = units.design
    folds = np.zeros(len(design), dtype=np.int64)
    overlap = assess_overlap(design, units.is_treated, folds)
    details = _describe(units, overlap)
    if overlap.reason:
        return refuse_design(draft, overlap.reason, details)
    means, scores = [], []
    for side in (~units.is_treated, units.is_treated):
        mean, score = _adjust_mean(design, units.centred, side)
        means.append(mean)
        scores.append(score)
    return _complete(
        draft, units, (means[0], means[1]), (scores[0], scores[1]), details
    )


def estimate_aipw(
    units: ObservedUnits, settings: EstimateSettings, *, n_folds: int = 5
) -> Estimate:
    """The same question, right if either the outcome or the choice is modelled well.

    Augmented inverse-probability weighting: a linear outcome model in each arm and a
    logistic model of the arm, each fitted without the fold it predicts. Folds deal out
    the units of each arm in the order of their covariates (clusters by label), so that
    the same units always give the same answer. CR1 by cluster, factor G/(G-1), and
    t(G - 1).

    Args:
        units: outcomes, arms and covariates.
        settings: metric, role, alpha, least units.
        n_folds: parts for cross-fitting; 1 = none.

    Estimand:
        Average effect over all units (ATE), identified by the covariates alone.

    Assumptions:
        Nothing unmeasured drives both arm and outcome; every kind of unit is found in
        both arms (overlap); one of the two models is right.

    Outcomes:
        As `estimate_regression_adjustment`.

    Raises:
        ContractError: the arrays do not fit together.

    References:
        Robins, Rotnitzky and Zhao (1994); Chernozhukov et al. (2018), section 5;
        Crump, Hotz, Imbens and Mitnik (2009) on overlap.
    """
    draft, refused = _open(units, settings, "aipw")
    if refused is not None:
        return refused
    design, treated = units.design, units.is_treated
    folds = _folds(units, n_folds)
    overlap = assess_overlap(design, treated, folds)
    details = {**_describe(units, overlap), "n_folds": n_folds}
    if overlap.reason:
        return refuse_design(draft, overlap.reason, details)
    chance = overlap.propensity
    means, scores = [], []
    for side, share in ((~treated, 1 - chance), (treated, chance)):
        predicted = predict_across_folds(design, units.centred, side, folds)
        parts = predicted + np.where(side, (units.centred - predicted) / share, 0.0)
        means.append(float(parts.mean()))
        scores.append(parts - parts.mean())
    return _complete(
        draft, units, (means[0], means[1]), (scores[0], scores[1]), details
    )


def _open(
    units: ObservedUnits, settings: EstimateSettings, method: str
) -> tuple[Estimate, Estimate | None]:
    """The draft, and the refused row when the data do not allow a number."""
    _require_shapes(units)
    n_treated = int(units.is_treated.sum())
    control, treatment = (
        MetricTotals(units.experiment_id, units.metric_name, name, n, None, None)
        for name, n in (
            (units.control, len(units.outcome) - n_treated),
            (units.treatment, n_treated),
        )
    )
    draft = draft_estimate(method, control, treatment, settings)
    is_primary = draft.role is EstimateRole.PRIMARY
    draft = replace(
        draft,
        estimand=ESTIMAND,
        role=EstimateRole.SECONDARY if is_primary else draft.role,
        n_clusters=len(np.unique(_labels(units))),
    )
    reason = _refuse(units, draft, settings.min_units_per_arm)
    return draft, None if reason is None else refuse_design(draft, reason)


def _require_shapes(units: ObservedUnits) -> None:
    n = len(units.outcome)
    fits = units.is_treated.shape == (n,) and units.covariates.shape == (
        n,
        len(units.covariate_names),
    )
    if fits and (units.cluster is None or len(units.cluster) == n):
        return
    raise ContractError(
        "outcomes, arms and covariates do not fit together",
        where=f"{units.experiment_id}, metric {units.metric_name}",
        found=f"{units.outcome.shape}, {units.covariates.shape}",
        allowed="one row per unit, one name per covariate",
        next_step="pass arrays of the same length",
    )


def _refuse(units: ObservedUnits, draft: Estimate, min_units: int) -> str | None:
    n_control, n_treatment = draft.n_control or 0, draft.n_treatment or 0
    k = len(units.covariate_names)
    if min(n_control, n_treatment) < max(2, min_units, 2 * (k + 1)):
        return Refusal.TOO_FEW_UNITS
    if not k:
        return Refusal.NO_COVARIATE_DATA
    reason = _refuse_values(units) or _refuse_clusters(units)
    if reason is not None:
        return reason
    design = units.design
    for side in (~units.is_treated, units.is_treated):
        squares = design[side].T @ design[side] / side.sum()
        if np.linalg.eigvalsh(squares)[0] <= COLLINEAR:
            return DesignRefusal.COLLINEAR_COVARIATES
    return None


def _refuse_values(units: ObservedUnits) -> str | None:
    largest = max(np.abs(values).max() for values in (units.outcome, units.covariates))
    if not np.isfinite(largest):
        return Refusal.INVALID_MOMENTS
    if largest > LARGEST:
        return Refusal.PRECISION_LOST
    values = units.outcome
    lost = judge_spread(
        float(values.std()), float(values.mean()), extent=float(np.ptp(values))
    )
    return lost if lost is Refusal.PRECISION_LOST else None


def _labels(units: ObservedUnits) -> NDArray[np.int64]:
    """Number of each unit's cluster."""
    if units.cluster is None:
        return np.arange(len(units.outcome))
    return np.unique(units.cluster, return_inverse=True)[1].astype(np.int64)


def _refuse_clusters(units: ObservedUnits) -> str | None:
    labels = _labels(units)
    control, treatment = (
        np.unique(labels[side], return_counts=True)[1].astype(float)
        for side in (~units.is_treated, units.is_treated)
    )
    effective = count_effective_sizes(control, treatment)
    return refuse_clusters(control.size, treatment.size, effective)


def _folds(units: ObservedUnits, n_folds: int) -> NDArray[np.int64]:
    """Number of each unit's fold; a cluster stays whole."""
    labels = _labels(units)
    if units.cluster is not None:
        return labels % n_folds
    folds = np.empty(len(labels), dtype=np.int64)
    order = np.lexsort(units.covariates.T[::-1])
    for side in (False, True):
        ranked = order[units.is_treated[order] == side]
        folds[ranked] = np.arange(len(ranked)) % n_folds
    return folds


def _adjust_mean(
    design: Array, outcome: Array, side: NDArray[np.bool_]
) -> tuple[float, Array]:
    """Mean of one arm's regression over all units, and each unit's influence on it."""
    inside = design[side]
    inverse = np.linalg.inv(inside.T @ inside)
    slopes = inverse @ inside.T @ outcome[side]
    predicted = design @ slopes
    mean = float(predicted.mean())
    score = predicted - mean
    leverage = inside @ inverse @ design.mean(axis=0) * len(design)
    score[side] += leverage * (outcome[side] - predicted[side])
    return mean, score


def _complete(
    draft: Estimate,
    units: ObservedUnits,
    means: tuple[float, float],
    scores: tuple[Array, Array],
    details: dict[str, Any],
) -> Estimate:
    labels, n = _labels(units), len(units.outcome)
    n_clusters = int(labels.max()) + 1
    sums = np.bincount(labels, weights=scores[1] - scores[0], minlength=n_clusters)
    variance = n_clusters / (n_clusters - 1) * float(sums @ sums) / n**2
    # What is left of values that were explained wholly is rounding of their spread.
    size = float(np.abs(units.centred).max())
    if judge_spread(math.sqrt(variance), size) is not None:
        is_constant = not np.ptp(units.outcome)
        lacking = Refusal.NO_RESIDUAL_VARIANCE
        reason = Refusal.ZERO_VARIANCE if is_constant else lacking
        return refuse_design(draft, reason, details)
    difference = means[1] - means[0]
    level = float(units.outcome.mean())
    means = (level + means[0], level + means[1])
    found = infer_difference(
        np.array([difference]),
        np.array([math.sqrt(variance)]),
        np.array([n_clusters - 1.0]),
        draft.alpha,
    )
    has_lift = means[0] > 0
    return replace(
        draft,
        status=EstimateStatus.OK,
        control_mean=means[0],
        treatment_mean=means[1],
        difference=difference,
        standard_error=math.sqrt(variance),
        ci_lower=float(found.ci_lower[0]),
        ci_upper=float(found.ci_upper[0]),
        relative_lift=difference / means[0] if has_lift else None,
        relative_method="point_adjusted" if has_lift else None,
        p_value=float(found.p_value[0]),
        statistic=float(found.statistic[0]),
        df=n_clusters - 1.0,
        details=details,
    )


def _describe(units: ObservedUnits, overlap: Overlap) -> dict[str, Any]:
    treated = units.is_treated
    outcome = units.outcome
    return {
        "design": "observational: units were not assigned, nothing ships on this",
        "covariates": list(units.covariate_names),
        "too_rare": dict(units.too_rare),
        "unadjusted_difference": float(
            outcome[treated].mean() - outcome[~treated].mean()
        ),
        "standardised_gaps": _standardised_gaps(units),
        "share_outside": overlap.share_outside,
        "largest_weight": overlap.largest_weight,
        "lowest_propensity": overlap.lowest,
        "highest_propensity": overlap.highest,
        "small_sample": "CR1 G/(G-1), t(G-1)",
    }


def _standardised_gaps(units: ObservedUnits) -> dict[str, float | None]:
    """Gap of the arms' covariate means in pooled standard deviations, by covariate."""
    sides = (units.covariates[~units.is_treated], units.covariates[units.is_treated])
    spread = np.sqrt((sides[0].var(axis=0, ddof=1) + sides[1].var(axis=0, ddof=1)) / 2)
    gaps = sides[1].mean(axis=0) - sides[0].mean(axis=0)
    return {
        name: float(gap / size) if size > 0 else None
        for name, gap, size in zip(units.covariate_names, gaps, spread, strict=True)
    }
