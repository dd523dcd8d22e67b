"""Regression adjustment of many comparisons by covariates from before exposure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exp_platform.records import Estimate
from exp_platform.stats.comparison import Comparison, compare_means
from exp_platform.stats.draft import (
    ROUNDING,
    Refusal,
    complete_estimate,
    judge_spread,
    refuse_estimate,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.lift import withhold_interval
from exp_platform.stats.relative import Baseline
from exp_platform.stats.welch import Arm, welch_df

Theta = Literal["within", "total"]

COLLINEAR = 1e-10
"""Eigenvalues of the covariates' correlation matrix below this are dropped."""

COLLINEAR_NOTE = "COVARIATES_COLLINEAR"


@dataclass(frozen=True, slots=True)
class Covariates:
    """Moments of k covariates in one arm of many comparisons.

    Attributes:
        means: shape (n_comparisons, k).
        covariances: among the covariates, divisor n - 1, (n_comparisons, k, k).
        with_value: with the outcome, shape (n_comparisons, k).
    """

    means: Array
    covariances: Array
    with_value: Array


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What the covariates did to many comparisons.

    Attributes:
        theta: shape (n_comparisons, k); 0 for a dropped covariate.
        n_covariates: directions that were adjusted for, shape (n_comparisons,).
        n_varying: covariates that vary; with more of them than directions some are
            sums of the others, or cannot be told from them in double precision.
        comparison: the adjusted one.
    """

    theta: Array
    n_covariates: NDArray[np.int64]
    n_varying: NDArray[np.int64]
    comparison: Comparison


def adjust_arms(
    control: Arm,
    treatment: Arm,
    covariates: tuple[Covariates, Covariates],
    *,
    alpha: float,
    theta: Theta = "within",
    is_normal: bool = False,
) -> Adjustment:
    """How do means differ once the covariates' part is taken out?

    One theta serves both arms. `within` minimises the estimated variance of the
    difference, which therefore never exceeds Welch's. `total` is the regression over
    both arms without an arm term, as gbstats and tea-tasting have it; it takes no
    degrees of freedom and may raise the variance when the arms differ in size or slope.

    Args:
        control: outcomes of the baseline arms.
        treatment: outcomes of the compared arms.
        covariates: of control and treatment.
        alpha: two-sided error rate of the intervals.
        theta: which covariance theta is made from.
        is_normal: normal quantiles, as for linearised ratios, instead of t.

    References:
        Deng, Xu, Kohavi and Walker (2013); Lin (2013).
    """
    x_c, x_t = covariates
    n_c, n_t = control.n[:, None], treatment.n[:, None]
    spread = x_t.covariances / n_t[..., None] + x_c.covariances / n_c[..., None]
    shared = x_t.with_value / n_t + x_c.with_value / n_c
    gap = x_t.means - x_c.means
    if theta == "total":
        spread, shared = _total_moments(control, treatment, covariates)
    is_constant = find_constant(covariates)
    slopes, rank = solve_slopes(spread, shared, is_constant)
    share = n_t / (n_t + n_c)
    means = (
        control.mean + np.sum(slopes * gap * share, axis=1),
        treatment.mean - np.sum(slopes * gap * (1 - share), axis=1),
    )
    b = _residual_variance(control, x_c, slopes)
    a = _residual_variance(treatment, x_t, slopes)
    with np.errstate(all="ignore"):
        df = welch_df(b, a, control.n, treatment.n) - (theta == "within") * rank
        df = np.full_like(df, np.inf) if is_normal else df
        comparison = compare_means(
            means,
            np.sqrt(a + b),
            df,
            baseline=_baseline(control, treatment, covariates, slopes, means[0]),
            alpha=alpha,
        )
    return Adjustment(slopes, rank, (~is_constant).sum(axis=1), comparison)


def note_collinear(n_used: int, n_varying: int) -> dict[str, str]:
    """What a row says where a direction of its covariates was left out.

    The estimate is valid and less precise than it could be. A covariate far from 0
    whose unknown values are 0 is such a one beside their indicator: from moments alone
    the two cannot be told apart.

    Args:
        n_used: directions that were adjusted for.
        n_varying: covariates that vary.
    """
    if n_used >= n_varying:
        return {}
    return {
        "note": COLLINEAR_NOTE,
        "covariates_used": f"{n_used} of {n_varying} columns: the others are sums of "
        "these to double precision; a covariate far from 0 is centred before its moments",
    }


def complete_adjusted(
    draft: Estimate,
    arms: tuple[Arm, Arm],
    comparison: Comparison,
    details: Mapping[str, Any],
) -> Estimate:
    """The row with its numbers; no interval of the lift where an arm does not vary.

    The covariate lends such an arm an error, that of theta x, which says nothing of
    how uncertain a mean without any spread is. Values that vary and are explained
    wholly are refused as NO_RESIDUAL_VARIANCE, with their means as they were.

    Args:
        draft: row with names and counts.
        arms: control and treatment before the adjustment.
        comparison: the adjusted one, arrays of shape (1,).
        details: extras of the method.
    """
    error = float(comparison.inference.standard_error[0])
    raw = sum(float(arm.variance_of_mean[0]) for arm in arms)
    if raw > 0 and error * error <= ROUNDING * raw:
        means = (float(arms[0].mean[0]), float(arms[1].mean[0]))
        reason = Refusal.NO_RESIDUAL_VARIANCE
        return refuse_estimate(draft, reason, means=means, details=details)
    row = complete_estimate(draft, comparison, details=details)
    is_constant = any(arm.variance_of_mean[0] == 0 for arm in arms)
    return withhold_interval(row) if is_constant else row


def find_constant(covariates: Sequence[Covariates]) -> NDArray[np.bool_]:
    """Which covariates vary in none of the arms, shape (n_comparisons, k)."""
    flat = [
        np.diagonal(x.covariances, axis1=-2, axis2=-1) <= (ROUNDING * x.means) ** 2
        for x in covariates
    ]
    return np.asarray(np.all(flat, axis=0))


def judge_covariates(
    moments: Sequence[Sequence[tuple[float, float]]],
) -> Refusal | None:
    """Can the moments show how the covariates vary?

    A spread lost in the rounding would give a slope of 0, as if x explained nothing.

    Args:
        moments: mean and variance by arm, for every covariate.

    Returns:
        PRECISION_LOST where one of them varies too little for its size,
        NO_COVARIATE_DATA where none of them varies in any arm, else None.
    """
    judged = [
        judge_spread(variance**0.5, mean) for arms in moments for mean, variance in arms
    ]
    if Refusal.PRECISION_LOST in judged:
        return Refusal.PRECISION_LOST
    return Refusal.NO_COVARIATE_DATA if all(judged) else None


def is_empty_in_one(shares: Sequence[float | None]) -> bool:
    """Is a covariate known in one arm and of nobody in another?

    The gap between the arms' values says nothing then, and nothing can be adjusted.

    Args:
        shares: of each arm's units whose value is unknown.
    """
    return 1.0 in shares and any(share != 1.0 for share in shares)


def _total_moments(
    control: Arm, treatment: Arm, covariates: tuple[Covariates, Covariates]
) -> tuple[Array, Array]:
    """Sums of squares and products about the mean over both arms."""
    x_c, x_t = covariates
    n_c, n_t = control.n[:, None], treatment.n[:, None]
    gap = x_t.means - x_c.means
    weight = n_c * n_t / (n_c + n_t)
    outer = gap[:, :, None] * gap[:, None, :] * weight[..., None]
    value_gap = (treatment.mean - control.mean)[:, None]
    spread = (
        (n_t - 1)[..., None] * x_t.covariances
        + (n_c - 1)[..., None] * x_c.covariances
        + outer
    )
    shared = (n_t - 1) * x_t.with_value + (n_c - 1) * x_c.with_value
    return spread, shared + weight * gap * value_gap


def solve_slopes(
    spread: Array, shared: Array, is_constant: NDArray[np.bool_]
) -> tuple[Array, NDArray[np.int64]]:
    """Slopes spread^-1 shared and the rank; constant covariates get exactly 0.

    Args:
        spread: covariances among the covariates, shape (n_comparisons, k, k).
        shared: covariances with the value, shape (n_comparisons, k).
        is_constant: covariates to leave out, shape (n_comparisons, k).
    """
    sizes = np.sqrt(np.diagonal(spread, axis1=-2, axis2=-1))
    keep = ~is_constant & (sizes > 0)
    sizes = np.where(keep, sizes, 1.0)
    pairs = keep[:, :, None] & keep[:, None, :]
    correlation = spread / (sizes[:, :, None] * sizes[:, None, :])
    values, vectors = np.linalg.eigh(np.where(pairs, correlation, 0.0))
    is_used = values > COLLINEAR
    inverse = np.where(is_used, 1 / np.where(is_used, values, 1.0), 0.0)
    scaled = np.where(keep, shared / sizes, 0.0)
    rotated = np.einsum("nkj,nk->nj", vectors, scaled) * inverse
    slopes = np.einsum("nkj,nj->nk", vectors, rotated) / sizes
    return np.where(keep, slopes, 0.0), is_used.sum(axis=1)


def explain_variance(covariates: Covariates, slopes: Array) -> tuple[Array, Array]:
    """Covariance of slopes'x with the value, and the variance of slopes'x."""
    cross = np.sum(slopes * covariates.with_value, axis=1)
    own = np.einsum("nj,njk,nk->n", slopes, covariates.covariances, slopes)
    return cross, own


def _residual_variance(arm: Arm, covariates: Covariates, slopes: Array) -> Array:
    """Sampling variance of the adjusted mean, shape (n_comparisons,)."""
    cross, own = explain_variance(covariates, slopes)
    value = arm.variance_of_mean
    residual = value + (own - 2 * cross) / arm.n
    return np.where(residual <= ROUNDING * value, 0.0, residual)


def _baseline(
    control: Arm,
    treatment: Arm,
    covariates: tuple[Covariates, Covariates],
    slopes: Array,
    mean: Array,
) -> Baseline:
    """The adjusted control mean and its covariance with the adjusted difference.

    With w the treatment's share of units, the adjusted control mean is
    (mean_C - w slopes'x_C) + w slopes'x_T: centring on the pooled covariate mean makes
    it depend on the treatment arm too.
    """
    w = treatment.n / (treatment.n + control.n)
    cross_c, own_c = explain_variance(covariates[0], slopes)
    cross_t, own_t = explain_variance(covariates[1], slopes)
    value = control.variance_of_mean
    variance = value + (w**2 * own_c - 2 * w * cross_c) / control.n
    in_control = value + (w * own_c - (1 + w) * cross_c) / control.n
    in_treatment = w * (cross_t - own_t) / treatment.n
    return Baseline(
        mean, variance + w**2 * own_t / treatment.n, in_treatment - in_control
    )
