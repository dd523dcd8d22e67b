"""The event study's average effect, against the last period before the event."""

import math
from dataclasses import asdict, replace
from typing import Any

from exp_platform.causal.clusters import count_effective_arms, refuse_clusters
from exp_platform.causal.effect import complete_effect, stop_effect
from exp_platform.causal.event_path import REFERENCE, path_of
from exp_platform.causal.event_study import estimate_deltas
from exp_platform.records import Estimate, GramTotals, MetricTotals
from exp_platform.stats.draft import Refusal, draft_estimate, find_refusal
from exp_platform.stats.settings import EstimateSettings


def estimate_event_study(
    control: GramTotals, treatment: GramTotals, settings: EstimateSettings
) -> Estimate:
    """How far has the gap moved since the last period before the event, on average?

    CR1 errors by cluster and t(G - 1), as `did.estimate_did`, which compares with the
    mean of all periods before. The effect of each period stands in the details.

    Args:
        control: means and cross-products by period of the untreated arm.
        treatment: the same periods of the treated arm.
        settings: metric, role, alpha, least units.

    Estimand:
        Average effect on the treated units (ATT) over the periods from the event on.

    Assumptions:
        Parallel trends from the last period before the event on; no anticipation.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, NO_PRE_PERIOD, NO_POST_PERIOD,
        TOO_FEW_CLUSTERS, NEEDS_WILD_BOOTSTRAP or ZERO_VARIANCE; METRIC_ERRORED with
        INVALID_MOMENTS.

    References:
        Freyaldenhoven, Hansen and Shapiro (2019).
    """
    draft = _draft(control, treatment, settings)
    reason: str | None = find_refusal(
        draft,
        settings.min_units_per_arm,
        [*control.means, *treatment.means],
        variances=[arm.score_gram[0][0] for arm in (control, treatment)],
    )
    reason = reason or _refuse_periods(control)
    effective = count_effective_arms(control.cluster_shares, treatment.cluster_shares)
    counts = (control.n_clusters, treatment.n_clusters)
    reason = reason or refuse_clusters(*counts, effective)
    if reason is not None:
        return stop_effect(draft, reason, _count(control, treatment))
    path = path_of(control, treatment, period_days=1)
    after = [
        mean
        for day, mean in zip(treatment.days, treatment.means, strict=True)
        if day >= 0
    ]
    details = {
        **_count(control, treatment),
        "small_sample": "CR1 G/(G-1)*(N-1)/(N-2), t(G-1)",
        "effects": _list_effects(control, treatment, draft.alpha),
    }
    return complete_effect(
        draft,
        (path.estimate, path.standard_error),
        df=control.n_clusters + treatment.n_clusters - 1.0,
        treated_mean=sum(after) / len(after),
        details=details,
    )


def _draft(
    control: GramTotals, treatment: GramTotals, settings: EstimateSettings
) -> Estimate:
    return replace(
        draft_estimate("event_study", _name(control), _name(treatment), settings),
        estimand="ATT",
        period="post",
        n_clusters=control.n_clusters + treatment.n_clusters,
    )


def _name(arm: GramTotals) -> MetricTotals:
    return MetricTotals(
        arm.experiment_id, arm.metric_name, arm.variant, arm.n, None, None
    )


def _refuse_periods(arm: GramTotals) -> Refusal | None:
    if REFERENCE not in arm.days:
        return Refusal.NO_PRE_PERIOD
    return None if any(day >= 0 for day in arm.days) else Refusal.NO_POST_PERIOD


def _count(control: GramTotals, treatment: GramTotals) -> dict[str, Any]:
    effective = count_effective_arms(control.cluster_shares, treatment.cluster_shares)
    return {
        "n_clusters_control": control.n_clusters,
        "n_clusters_treatment": treatment.n_clusters,
        **({"n_clusters_effective": effective} if math.isfinite(effective) else {}),
        "pre_periods": sum(day < 0 for day in control.days),
        "post_periods": sum(day >= 0 for day in control.days),
    }


def _list_effects(
    control: GramTotals, treatment: GramTotals, alpha: float
) -> list[dict[str, Any]]:
    names = ("day", "delta", "standard_error", "ci_lower", "ci_upper", "p_value")
    rows = [asdict(row) for row in estimate_deltas(control, treatment, alpha=alpha)]
    return [{name: row[name] for name in names} for row in rows]
