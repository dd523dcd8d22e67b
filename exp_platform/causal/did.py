"""Difference in differences of two periods and two groups."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.clusters import cr1_factor, refuse_clusters
from exp_platform.records import Estimate, GramTotals, PanelTotals
from exp_platform.stats.comparison import compare_means
from exp_platform.stats.draft import (
    Refusal,
    complete_estimate,
    draft_estimate,
    find_refusal,
    judge_spread,
    refuse_estimate,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.relative import Baseline
from exp_platform.stats.settings import EstimateSettings


def estimate_did(
    control: PanelTotals,
    treatment: PanelTotals,
    settings: EstimateSettings,
    *,
    effective: float = math.inf,
) -> Estimate:
    """By how much more did the treated units change than the others?

    The regression of a unit's change (mean of its post days - mean of its pre days) on
    the arm, with CR1 errors by cluster: factor G/(G-1) x (N-1)/(N-2), N units, and
    t(G - 1). `control_mean` is the counterfactual: the treated arm's post mean less the
    estimate; the lift is relative to it (`relative_method` ends in `_counterfactual`,
    without an interval where the totals lack the pre-period's scores).

    Args:
        control: units' changes in the untreated group.
        treatment: units' changes in the treated group.
        settings: metric, role, alpha, least units.
        effective: number of clusters, where it is known.

    Estimand:
        Average effect on the treated units (ATT), intention to treat within the group,
        averaged over the post-period's days.

    Assumptions:
        Without treatment both groups' means would have changed alike (see `pretrends`);
        no anticipation; clusters are the level of assignment.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, NO_PRE_PERIOD, NO_POST_PERIOD,
        TOO_FEW_CLUSTERS (below 5 in an arm), NEEDS_WILD_BOOTSTRAP (below 20, or
        effectively so), ZERO_VARIANCE or PRECISION_LOST; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Bertrand, Duflo and Mullainathan (2004); Cameron and Miller (2015).
    """
    return _assess(
        control,
        treatment,
        settings,
        refuse_clusters(control.n_clusters, treatment.n_clusters, effective),
    )


def estimate_few_clusters(
    control: PanelTotals, treatment: PanelTotals, settings: EstimateSettings
) -> Estimate:
    """The same with 5 to 19 clusters in an arm, for a bootstrap to complete.

    Its p-value and interval come from t(G - 1) and must be replaced: see
    `few_clusters.estimate_did_by_cluster`.

    Args:
        control: units' changes in the untreated group.
        treatment: units' changes in the treated group.
        settings: metric, role, alpha, least units.

    Outcomes:
        As `estimate_did`, but never NEEDS_WILD_BOOTSTRAP.
    """
    reason = refuse_clusters(control.n_clusters, treatment.n_clusters)
    is_curable = reason is Refusal.NEEDS_WILD_BOOTSTRAP
    return _assess(control, treatment, settings, None if is_curable else reason)


def draft_did(
    method: str,
    control: PanelTotals,
    treatment: PanelTotals,
    settings: EstimateSettings,
) -> tuple[Estimate, Refusal | None]:
    """The row of a 2x2 comparison without numbers, and what else it lacks.

    Args:
        method: name of the estimator.
        control: units' changes in the untreated group.
        treatment: units' changes in the treated group.
        settings: metric, role, alpha, least units.
    """
    arms = (control, treatment)
    draft = replace(
        draft_estimate(method, control, treatment, settings),
        estimand="ATT",
        period="post",
        n_clusters=control.n_clusters + treatment.n_clusters,
    )
    reason = find_refusal(
        draft,
        settings.min_units_per_arm,
        [mean for arm in arms for mean in (arm.mean_pre, arm.mean_post)],
        variances=[arm.score_sum_of_squares for arm in arms],
    )
    return draft, reason or _refuse_periods(arms)


def _assess(
    control: PanelTotals,
    treatment: PanelTotals,
    settings: EstimateSettings,
    cluster_reason: Refusal | None,
) -> Estimate:
    draft, reason = draft_did("did_2x2", control, treatment, settings)
    details = describe_did(control, treatment)
    reason = reason or cluster_reason
    if reason is not None:
        return refuse_estimate(draft, reason, details=details)
    return _estimate(draft, control, treatment, details)


def panel_of(gram: GramTotals) -> PanelTotals:
    """The 2x2 totals that lie in an event study's daily totals.

    Days before 0 are the pre-period, day 0 and later the post-period.

    Args:
        gram: daily means of one arm and their cross-products.
    """
    days = np.array(gram.days)
    means, products = np.array(gram.means), np.array(gram.score_gram)
    pre, post = (_average(days < 0), _average(days >= 0))
    change = post - pre
    return PanelTotals(
        experiment_id=gram.experiment_id,
        metric_name=gram.metric_name,
        variant=gram.variant,
        n=gram.n,
        n_clusters=gram.n_clusters,
        pre_days=int(np.sum(days < 0)),
        post_days=int(np.sum(days >= 0)),
        mean_pre=float(pre @ means),
        mean_post=float(post @ means),
        score_sum_of_squares=max(float(change @ products @ change), 0.0),
        pre_score_sum_of_squares=max(float(pre @ products @ pre), 0.0),
        pre_score_product=float(pre @ products @ change),
    )


def _average(is_inside: NDArray[np.bool_]) -> Array:
    """Weights of a mean over some days; all 0 when there is none."""
    return is_inside / max(int(is_inside.sum()), 1)


def _refuse_periods(arms: tuple[PanelTotals, PanelTotals]) -> Refusal | None:
    if min(arm.pre_days for arm in arms) < 1:
        return Refusal.NO_PRE_PERIOD
    return Refusal.NO_POST_PERIOD if min(arm.post_days for arm in arms) < 1 else None


def _estimate(
    draft: Estimate,
    control: PanelTotals,
    treatment: PanelTotals,
    details: dict[str, Any],
) -> Estimate:
    n_clusters = control.n_clusters + treatment.n_clusters
    factor = cr1_factor(n_clusters, control.n + treatment.n)
    in_control = factor * control.score_sum_of_squares / control.n**2
    in_treatment = factor * treatment.score_sum_of_squares / treatment.n**2
    counterfactual = treatment.mean_pre + control.mean_post - control.mean_pre
    error = math.sqrt(in_control + in_treatment)
    lost = judge_spread(error, _size(control, treatment), n=n_clusters)
    if lost is not None:
        means = (counterfactual, treatment.mean_post)
        return refuse_estimate(draft, lost, means=means, details=details)
    comparison = compare_means(
        (np.array([counterfactual]), np.array([treatment.mean_post])),
        np.array([error]),
        np.array([n_clusters - 1.0]),
        baseline=_baseline(treatment, counterfactual, in_control, factor),
        alpha=draft.alpha,
    )
    return complete_estimate(
        draft, comparison, details=details, baseline="counterfactual"
    )


def _size(control: PanelTotals, treatment: PanelTotals) -> float:
    """The largest mean, beside which a standard error may be rounding."""
    arms = (control, treatment)
    return max(abs(mean) for arm in arms for mean in (arm.mean_pre, arm.mean_post))


def _baseline(
    treatment: PanelTotals, mean: float, in_control: float, factor: float
) -> Baseline:
    """The counterfactual: treated pre mean + control's change, with its errors.

    Its covariance with the estimate is cov(pre, change) in the treated arm less the
    variance of control's change.
    """
    squares, product = treatment.pre_score_sum_of_squares, treatment.pre_score_product
    variance = covariance = math.nan
    if squares is not None and product is not None:
        variance = factor * squares / treatment.n**2 + in_control
        covariance = factor * product / treatment.n**2 - in_control
    return Baseline(np.array([mean]), np.array([variance]), np.array([covariance]))


def describe_did(control: PanelTotals, treatment: PanelTotals) -> dict[str, Any]:
    """What a 2x2 row says beside its numbers.

    Args:
        control: units' changes in the untreated group.
        treatment: units' changes in the treated group.
    """
    return {
        "control_mean_pre": control.mean_pre,
        "control_mean_post": control.mean_post,
        "treatment_mean_pre": treatment.mean_pre,
        "n_clusters_control": control.n_clusters,
        "n_clusters_treatment": treatment.n_clusters,
        "pre_days": treatment.pre_days,
        "post_days": treatment.post_days,
        "small_sample": "CR1 G/(G-1)*(N-1)/(N-2), t(G-1)",
    }
