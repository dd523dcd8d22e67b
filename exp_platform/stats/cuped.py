"""CUPED: remove from an outcome what a value from before exposure explains."""

import math
from typing import Any

import numpy as np

from exp_platform.records import Estimate, MetricTotals, MetricType
from exp_platform.stats.adjustment import (
    Adjustment,
    Covariates,
    Theta,
    adjust_arms,
    complete_adjusted,
    is_empty_in_one,
    judge_covariates,
    note_collinear,
)
from exp_platform.stats.draft import (
    Refusal,
    draft_estimate,
    find_refusal,
    refuse_constants,
    refuse_estimate,
    spread_of,
)
from exp_platform.stats.ratio import has_denominator, ratio_arm
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, arm_of, compare_arms

NO_HELP_RATIO = 0.99
"""A variance ratio from here on is called no help in the row."""


def estimate_cuped(
    control: MetricTotals,
    treatment: MetricTotals,
    settings: EstimateSettings,
    *,
    theta: Theta = "within",
) -> Estimate:
    """By how much do the arms differ, given what units did before exposure?

    Covariates are the pre-exposure value x and, where the totals carry it, the
    indicator of units first seen inside the look-back (their x is 0). A covariate that
    does not vary is dropped; with none left the row is refused. A ratio is adjusted
    as the mean of its linearised values, with a normal test and without the indicator,
    whose covariance with the denominator these totals do not carry
    (`regression` has it, and any number of covariates).

    `details` holds theta, theta_new_unit, variance_ratio (against Welch),
    covariate_difference, correlation (of x with the value, within arms), the raw means,
    and a note: "", COVARIATE_DOES_NOT_HELP, or COVARIATES_COLLINEAR with the number of
    columns in `covariates_used`: x so far from 0 that it is lost beside the indicator.

    Args:
        control: moments of the control arm, covariate included.
        treatment: moments of the treatment arm.
        settings: metric, role, alpha, least units.
        theta: `within` arms, or `total` to agree with gbstats and tea-tasting.

    Estimand:
        Average effect of being assigned to the treatment, over exposed units.

    Assumptions:
        Randomised units; the covariate was fixed before exposure.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, NO_COVARIATE_DATA (none, or the same
        for all units), ZERO_VARIANCE, NO_RESIDUAL_VARIANCE (x is the outcome),
        PRECISION_LOST (also of x) or, for a ratio, DENOMINATOR_NEAR_ZERO;
        METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Deng, Xu, Kohavi and Walker (2013); Lin (2013); Deng, Knoblich and Lu (2018).
    """
    draft = draft_estimate("cuped", control, treatment, settings)
    reason = _find_reason(draft, control, treatment, settings)
    if reason is not None:
        return refuse_estimate(draft, reason, means=(control.mean, treatment.mean))
    is_ratio = settings.definition.type is MetricType.RATIO
    has_indicator = not is_ratio and None not in _indicator_moments(control, treatment)
    arms = (_value_arm(control, is_ratio), _value_arm(treatment, is_ratio))
    covariates = (
        _covariates(control, has_indicator, is_ratio),
        _covariates(treatment, has_indicator, is_ratio),
    )
    with np.errstate(all="ignore"):
        adjustment = adjust_arms(
            *arms, covariates, alpha=settings.alpha, theta=theta, is_normal=is_ratio
        )
    details = _describe(adjustment, control, treatment, settings)
    return complete_adjusted(draft, arms, adjustment.comparison, details)


def _find_reason(
    draft: Estimate,
    control: MetricTotals,
    treatment: MetricTotals,
    settings: EstimateSettings,
) -> Refusal | None:
    arms = (control, treatment)
    is_ratio = settings.definition.type is MetricType.RATIO
    values = [spread_of(arm) for arm in arms]
    if is_ratio:
        values += [
            (arm.denominator_mean, arm.denominator_variance, None) for arm in arms
        ]
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        [mean for mean, _, _ in values],
        variances=[variance for _, variance, _ in values],
        values=values,
    )
    reason = reason or refuse_constants(values[:2])
    if reason is not None:
        return reason
    if is_ratio and not all(map(has_denominator, arms)):
        return Refusal.DENOMINATOR_NEAR_ZERO
    moments: list[float | None] = [
        m for a in arms for m in (a.covariate_mean, a.covariate_covariance)
    ]
    if is_ratio:
        moments += [arm.covariate_denominator_covariance for arm in arms]
    variances = [arm.covariate_variance for arm in arms]
    if None in (*moments, *variances):
        return Refusal.NO_COVARIATE_DATA
    if is_empty_in_one([arm.new_share for arm in arms]):
        return Refusal.NO_COVARIATE_DATA
    known = [value for value in _indicator_moments(*arms) if value is not None]
    if is_ratio:
        moments += [arm.denominator_covariance for arm in arms]
        known = []
    reason = find_refusal(
        draft, settings.min_units_per_arm, [*moments, *known], variances=variances
    )
    return reason or _judge_covariates(arms, len(known) == 2 * len(arms))


def _judge_covariates(
    arms: tuple[MetricTotals, MetricTotals], has_indicator: bool
) -> Refusal | None:
    """Of x, and of the indicator where it is one of the covariates."""
    x = [(arm.covariate_mean or 0.0, arm.covariate_variance or 0.0) for arm in arms]
    shares = [(arm.new_share or 0.0) * has_indicator for arm in arms]
    return judge_covariates([x, [(share, share * (1 - share)) for share in shares]])


def _indicator_moments(*arms: MetricTotals) -> tuple[float | None, ...]:
    return tuple(m for arm in arms for m in (arm.new_share, arm.new_covariance))


def _value_arm(totals: MetricTotals, is_ratio: bool) -> Arm:
    """The arm that is adjusted: plain means, or linearised ratios."""
    return ratio_arm(totals) if is_ratio else arm_of(totals)


def _covariates(
    totals: MetricTotals, has_indicator: bool, is_ratio: bool
) -> Covariates:
    """Moments of x and the new-unit indicator, arrays for one comparison.

    The indicator needs no moments of its own beyond its share s: its variance is
    s (1 - s) n / (n - 1), and as x = 0 wherever it is 1, its covariance with x is
    -s mean(x) n / (n - 1).
    """
    mean, variance = totals.covariate_mean or 0.0, totals.covariate_variance or 0.0
    share = (totals.new_share or 0.0) if has_indicator else 0.0
    with_new = (totals.new_covariance or 0.0) if has_indicator else 0.0
    factor = totals.n / (totals.n - 1)
    shared = -share * mean * factor
    with_value = totals.covariate_covariance or 0.0
    if is_ratio:
        level = totals.denominator_mean or np.nan
        ratio = (totals.mean or 0.0) / level
        below = totals.covariate_denominator_covariance or 0.0
        with_value = (with_value - ratio * below) / level
    return Covariates(
        means=np.array([[mean, share]]),
        covariances=np.array(
            [[[variance, shared], [shared, share * (1 - share) * factor]]]
        ),
        with_value=np.array([[with_value, with_new]]),
    )


def _describe(
    adjustment: Adjustment,
    control: MetricTotals,
    treatment: MetricTotals,
    settings: EstimateSettings,
) -> dict[str, Any]:
    is_ratio = settings.definition.type is MetricType.RATIO
    arms = [_value_arm(totals, is_ratio) for totals in (control, treatment)]
    welch = compare_arms(arms[0], arms[1], settings.alpha)
    x = [_covariates(totals, False, is_ratio) for totals in (control, treatment)]
    before = float(welch.inference.standard_error[0])
    after = float(adjustment.comparison.inference.standard_error[0])
    change = after / before if before > 0 else math.nan
    ratio = change * change if math.isfinite(change) else None
    slopes = adjustment.theta[0]
    is_useless = ratio is not None and ratio >= NO_HELP_RATIO
    return {
        "theta": float(slopes[0]),
        "theta_new_unit": float(slopes[1]),
        "variance_ratio": ratio,
        "covariate_difference": float(
            (treatment.covariate_mean or 0.0) - (control.covariate_mean or 0.0)
        ),
        "correlation": _correlation((arms[0], arms[1]), (x[0], x[1])),
        "control_mean_raw": float(arms[0].mean[0]),
        "treatment_mean_raw": float(arms[1].mean[0]),
        "note": "COVARIATE_DOES_NOT_HELP" if is_useless else "",
        **note_collinear(int(adjustment.n_covariates[0]), int(adjustment.n_varying[0])),
    }


def _correlation(
    arms: tuple[Arm, Arm], covariates: tuple[Covariates, Covariates]
) -> float | None:
    """Of x with the value within arms, each arm weighted by 1 / n as in theta."""
    pairs = list(zip(arms, covariates, strict=True))
    value = sum(float(arm.variance[0] / arm.n[0]) for arm in arms)
    covariate = sum(float(x.covariances[0, 0, 0] / arm.n[0]) for arm, x in pairs)
    shared = sum(float(x.with_value[0, 0] / arm.n[0]) for arm, x in pairs)
    if value <= 0 or covariate <= 0:
        return None
    with np.errstate(over="ignore"):
        return float(shared / np.sqrt(value) / np.sqrt(covariate))
