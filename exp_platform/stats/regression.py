"""Adjustment by several covariates: one theta for both arms, or Lin's for every arm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from exp_platform.errors import ContractError
from exp_platform.records import AdjustmentTotals, Estimate
from exp_platform.stats.adjustment import (
    Covariates,
    Theta,
    adjust_arms,
    complete_adjusted,
    explain_variance,
    find_constant,
    is_empty_in_one,
    judge_covariates,
    note_collinear,
    solve_slopes,
)
from exp_platform.stats.comparison import Comparison, compare_means
from exp_platform.stats.draft import (
    Refusal,
    draft_estimate,
    find_refusal,
    refuse_constants,
    refuse_estimate,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.ratio import DENOMINATOR_ERRORS, linearise_ratio
from exp_platform.stats.relative import Baseline
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import Arm, compare_arms, welch_df

MISSING = "_missing"
"""End of the name of the indicator of units whose covariate is unknown."""


def summarise_adjustment(
    names: tuple[str, str, str],
    values: Array,
    covariates: Mapping[str, Array],
    *,
    denominator: Array | None = None,
    may_miss: Sequence[str] = (),
) -> AdjustmentTotals:
    """Totals of one arm from its units.

    Args:
        names: experiment, metric and variant.
        values: one per unit, shape (n_units,).
        covariates: name -> value from before exposure, same shape.
        denominator: of a ratio, same shape.
        may_miss: covariates in which NaN means unknown: 0 is put there, and an
            indicator `<name>_missing` is added, in every arm alike.

    Raises:
        ContractError: a covariate has NaN and is not in `may_miss`.
    """
    columns = [np.asarray(values, dtype=float)]
    if denominator is not None:
        columns.append(np.asarray(denominator, dtype=float))
    known: dict[str, Array] = {}
    for name, column in covariates.items():
        x = np.asarray(column, dtype=float)
        is_missing = np.isnan(x)
        if name in may_miss:
            known[f"{name}{MISSING}"] = is_missing.astype(float)
        elif is_missing.any():
            raise ContractError(
                "a covariate has missing values",
                where=f"{names[0]}, metric {names[1]}, covariate {name}",
                found=f"{int(is_missing.sum())} of {x.size}",
                next_step=f"may_miss=({name!r},)",
            )
        known[name] = np.where(is_missing, 0.0, x)
    table = np.vstack([*columns, *known.values()])
    extent = float(np.ptp(columns[0])) if len(values) else None
    spread = np.zeros((len(table), len(table)))
    if len(values) > 1:
        with np.errstate(over="ignore", invalid="ignore"):
            spread = np.atleast_2d(np.cov(table))
    return AdjustmentTotals(
        *names,
        n=len(values),
        covariates=tuple(known),
        means=tuple(map(float, table.mean(axis=1))),
        covariance=tuple(tuple(map(float, row)) for row in spread),
        is_ratio=denominator is not None,
        value_range=extent,
    )


def estimate_adjusted(
    control: AdjustmentTotals,
    treatment: AdjustmentTotals,
    settings: EstimateSettings,
    *,
    theta: Theta = "within",
) -> Estimate:
    """CUPED with any number of covariates, for a mean or a ratio.

    Args:
        control: moments of the control arm.
        treatment: moments of the treatment arm, with the same covariates.
        settings: metric, role, alpha, least units.
        theta: `within` arms, or `total` to agree with gbstats and tea-tasting.

    Estimand:
        Average effect of being assigned to the treatment, over exposed units.

    Assumptions:
        Randomised units; every covariate was fixed before exposure.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, DENOMINATOR_NEAR_ZERO,
        NO_COVARIATE_DATA (the same for all units, or unknown of all of one arm),
        ZERO_VARIANCE, NO_RESIDUAL_VARIANCE (a covariate is the outcome) or
        PRECISION_LOST (also of a covariate: centre it before its moments);
        METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Deng, Xu, Kohavi and Walker (2013); Deng, Knoblich and Lu (2018).
    """
    draft = draft_estimate("cuped", control, treatment, settings)
    reason = _find_reason(draft, (control, treatment), settings)
    if reason is not None:
        return refuse_estimate(draft, reason)
    (b, x_c), (a, x_t) = _moments_of(control), _moments_of(treatment)
    with np.errstate(all="ignore"):
        found = adjust_arms(
            b,
            a,
            (x_c, x_t),
            alpha=settings.alpha,
            theta=theta,
            is_normal=control.is_ratio,
        )
    slopes = dict(zip(control.covariates, map(float, found.theta[0]), strict=True))
    details = {
        "theta": slopes,
        **_describe(b, a, found.comparison, settings),
        **note_collinear(int(found.n_covariates[0]), int(found.n_varying[0])),
    }
    return complete_adjusted(draft, (b, a), found.comparison, details)


def estimate_lin(
    control: AdjustmentTotals,
    treatments: Sequence[AdjustmentTotals],
    settings: EstimateSettings,
) -> tuple[Estimate, ...]:
    """Regression with arm x covariate interactions, for any number of arms at once.

    Each arm has slopes of its own; its mean is read off at the covariate mean of all
    arms. The variance is that of least squares in each arm, plus what the units'
    own draw adds when slopes differ: gap' S gap / N with S the covariance of the
    covariates in all N units (`details["interaction_variance"]`).

    Args:
        control: moments of the control arm.
        treatments: moments of the other arms, with the same covariates.
        settings: metric, role, alpha, least units.

    Returns:
        One row per treatment.

    Estimand:
        Average effect of being assigned to the treatment, over the population the
        exposed units of all arms were drawn from.

    Assumptions:
        Randomised units; every covariate was fixed before exposure; residuals of an
        arm vary alike.

    Outcomes:
        As `estimate_adjusted`.

    References:
        Lin (2013); Negi and Wooldridge (2021), variance with random covariates.
    """
    arms = (control, *treatments)
    drafts = [
        draft_estimate("regression_lin", control, treatment, settings)
        for treatment in treatments
    ]
    reasons = [_find_reason(draft, arms, settings) for draft in drafts]
    if any(reasons):
        return tuple(
            refuse_estimate(draft, reason or Refusal.TOO_FEW_UNITS)
            for draft, reason in zip(drafts, reasons, strict=True)
        )
    with np.errstate(all="ignore"):
        base, *others = _fit_arms(arms)
        return tuple(
            _compare_fits(draft, (base, fit), settings)
            for draft, fit in zip(drafts, others, strict=True)
        )


@dataclass(frozen=True, slots=True)
class _Fit:
    """One arm's regression, read off at the common covariate mean."""

    arm: Arm
    mean: Array
    variance: Array
    slopes: Array
    n_varying: int
    df: Array
    spread: Array
    n_all: float
    names: tuple[str, ...]
    is_ratio: bool


def _fit_arms(totals: Sequence[AdjustmentTotals]) -> list[_Fit]:
    moments = [_moments_of(arm) for arm in totals]
    n_all = sum(arm.n for arm in totals)
    centre = sum(arm.n * x.means for arm, (_, x) in zip(totals, moments, strict=True))
    centre = np.asarray(centre) / n_all
    spread = np.zeros_like(moments[0][1].covariances)
    for arm, (_, x) in zip(totals, moments, strict=True):
        gap = x.means - centre
        spread = spread + (arm.n - 1) * x.covariances
        spread = spread + arm.n * gap[:, :, None] * gap[:, None, :]
    spread = spread / (n_all - 1)
    return [
        _fit(totals[0], arm, x, centre, spread=spread, n_all=n_all)
        for arm, x in moments
    ]


def _fit(
    totals: AdjustmentTotals,
    arm: Arm,
    covariates: Covariates,
    centre: Array,
    *,
    spread: Array,
    n_all: float,
) -> _Fit:
    constant = find_constant([covariates])
    slopes, rank = solve_slopes(covariates.covariances, covariates.with_value, constant)
    gap = centre - covariates.means
    leverage, _ = solve_slopes(covariates.covariances, gap, constant)
    cross, own = explain_variance(covariates, slopes)
    left = np.maximum(arm.variance + own - 2 * cross, 0.0)
    df = arm.n - 1 - rank
    residual = left * (arm.n - 1) / df
    at_centre = 1 / arm.n + np.sum(gap * leverage, axis=1) / (arm.n - 1)
    return _Fit(
        arm,
        arm.mean + np.sum(slopes * gap, axis=1),
        residual * at_centre,
        slopes,
        int((~constant).sum()),
        df,
        spread,
        n_all,
        totals.covariates,
        totals.is_ratio,
    )


def _compare_fits(
    draft: Estimate, fits: tuple[_Fit, _Fit], settings: EstimateSettings
) -> Estimate:
    base, other = fits
    gap = other.slopes - base.slopes
    shift = np.einsum("nj,njk,nk->n", gap, base.spread, gap) / base.n_all
    shared = np.einsum("nj,njk,nk->n", gap, base.spread, base.slopes) / base.n_all
    own = np.einsum("nj,njk,nk->n", base.slopes, base.spread, base.slopes) / base.n_all
    df = welch_df(base.variance, other.variance, base.df + 1, other.df + 1)
    comparison = compare_means(
        (base.mean, other.mean),
        np.sqrt(base.variance + other.variance + shift),
        np.full_like(df, np.inf) if base.is_ratio else df,
        baseline=Baseline(base.mean, base.variance + own, shared - base.variance),
        alpha=settings.alpha,
    )
    details = {
        "slopes_control": dict(
            zip(base.names, map(float, base.slopes[0]), strict=True)
        ),
        "slopes_treatment": dict(
            zip(base.names, map(float, other.slopes[0]), strict=True)
        ),
        "interaction_variance": float(shift[0]),
        **_describe(base.arm, other.arm, comparison, settings),
        **_note(base),
        **_note(other),
    }
    return complete_adjusted(draft, (base.arm, other.arm), comparison, details)


def _note(fit: _Fit) -> dict[str, str]:
    used = fit.arm.n[0] - 1 - fit.df[0]
    return note_collinear(round(float(used)), fit.n_varying)


def _describe(
    control: Arm, treatment: Arm, comparison: Comparison, settings: EstimateSettings
) -> dict[str, Any]:
    plain = compare_arms(control, treatment, settings.alpha).inference
    before = float(plain.standard_error[0])
    after = float(comparison.inference.standard_error[0])
    return {
        "variance_ratio": (after / before) ** 2 if before > 0 else None,
        "control_mean_raw": float(control.mean[0]),
        "treatment_mean_raw": float(treatment.mean[0]),
    }


def _find_reason(
    draft: Estimate, arms: Sequence[AdjustmentTotals], settings: EstimateSettings
) -> Refusal | None:
    _check_columns(arms)
    n_columns = len(arms[0].means)
    values = [(a.means[0], a.covariance[0][0], a.value_range) for a in arms]
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        [m for arm in arms for m in (*arm.means, *sum(arm.covariance, ()))],
        variances=[arm.covariance[i][i] for arm in arms for i in range(n_columns)],
        values=values,
    )
    reason = reason or refuse_constants(values)
    if reason is not None:
        return reason
    if min(arm.n for arm in arms) < len(arms[0].covariates) + 3:
        return Refusal.TOO_FEW_UNITS
    if not all(map(_has_denominator, arms)):
        return Refusal.DENOMINATOR_NEAR_ZERO
    return _judge_covariates(arms)


def _judge_covariates(arms: Sequence[AdjustmentTotals]) -> Refusal | None:
    places = list(enumerate(arms[0].covariates, start=2 if arms[0].is_ratio else 1))
    unknown = [
        [arm.means[place] for arm in arms]
        for place, name in places
        if name.endswith(MISSING)
    ]
    if any(map(is_empty_in_one, unknown)):
        return Refusal.NO_COVARIATE_DATA
    return judge_covariates(
        [[(arm.means[i], arm.covariance[i][i]) for arm in arms] for i, _ in places]
    )


def _has_denominator(totals: AdjustmentTotals) -> bool:
    if not totals.is_ratio:
        return True
    error = float(np.sqrt(totals.covariance[1][1] / totals.n))
    return totals.means[1] > DENOMINATOR_ERRORS * error


def _check_columns(arms: Sequence[AdjustmentTotals]) -> None:
    kinds = {(arm.covariates, arm.is_ratio) for arm in arms}
    if len(kinds) > 1:
        raise ContractError(
            "the arms' totals have different columns",
            where=f"{arms[0].experiment_id}, metric {arms[0].metric_name}",
            found="; ".join(", ".join(names) or "none" for names, _ in kinds),
            allowed="the same covariates in the same order in every arm",
        )


def _moments_of(totals: AdjustmentTotals) -> tuple[Arm, Covariates]:
    """The value, linearised for a ratio, and its covariates; one comparison."""
    means = np.array(totals.means, dtype=float)
    spread = np.array(totals.covariance, dtype=float)
    n = np.array([totals.n], dtype=float)
    first = 2 if totals.is_ratio else 1
    arm = Arm(n, means[:1], spread[:1, 0])
    with_value = spread[0, first:]
    if totals.is_ratio:
        below = Arm(n, means[1:2], spread[1:2, 1])
        arm = linearise_ratio(arm, below, spread[:1, 1])
        with_value = (with_value - arm.mean * spread[1, first:]) / means[1]
    covariates = Covariates(
        means[None, first:], spread[None, first:, first:], with_value[None]
    )
    return arm, covariates
