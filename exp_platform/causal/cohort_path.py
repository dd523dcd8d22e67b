"""Staggered adoption as the sensitivity bounds need it: effects by time since treatment."""

import math
from dataclasses import replace
from typing import Literal

import numpy as np

from exp_platform.causal.aggregation import AveragedEffects, average_effects
from exp_platform.causal.event_path import EventPath, choose_period, gather_path
from exp_platform.causal.group_times import GroupTimes
from exp_platform.causal.sensitivity import Sensitivity, bound_path
from exp_platform.stats.cluster import FEWEST_CLUSTERS
from exp_platform.stats.draft import Refusal
from exp_platform.stats.inference import Array


def assess_cohorts(
    group_times: GroupTimes,
    blank: Sensitivity,
    *,
    alpha: float = 0.05,
    is_daily: bool = False,
    effective: float = math.inf,
) -> Sensitivity:
    """How large a violation of parallel trends would overturn the simple average?

    Args:
        group_times: made with the universal base period, so that every lead is against
            the last period before treatment.
        blank: names of experiment, metric and arms.
        alpha: error rate of the intervals, two-sided.
        is_daily: periods are days, gathered into weeks where there are enough.
        effective: number of clusters, where it is known.

    Estimand:
        As `estimate_staggered`'s simple average; a bound is on the gap by time since
        treatment, averaged over cohorts.

    Assumptions:
        As `sensitivity.assess_sensitivity`.

    Outcomes:
        OK; INSUFFICIENT_DATA with NO_PRE_PERIOD, TOO_FEW_CLUSTERS or ZERO_VARIANCE;
        METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Rambachan and Roth (2023), section 2.1; Callaway and Sant'Anna (2021).
    """
    n_treated = int(group_times.group_clusters.sum())
    n_control = group_times.n_clusters_control
    if min(n_treated, n_control, effective) < FEWEST_CLUSTERS:
        return replace(blank, reason=Refusal.TOO_FEW_CLUSTERS.value)
    path = path_of_effects(group_times, averaging="simple", fewest=FEWEST_CLUSTERS)
    if path is None:
        return replace(blank, reason=Refusal.NO_PRE_PERIOD.value)
    days = tuple(range(-path.n_pre - 1, path.n_post))
    period = choose_period(days, is_daily=is_daily)
    blank = replace(blank, period_days=period)
    return bound_path(blank, gather_path(path, period), alpha=alpha)


def path_of_effects(
    group_times: GroupTimes,
    *,
    averaging: Literal["dynamic", "simple"] = "dynamic",
    fewest: int = 1,
) -> EventPath | None:
    """The effects by time since treatment as an event study.

    Args:
        group_times: made with the universal base period.
        averaging: effect of interest: the mean over times from 0 on (dynamic), or over
            all effects by share of cohort (simple).
        fewest: treated clusters that a lead needs; those further back have no more.

    Returns:
        The path; None without leads.

    References:
        Rambachan and Roth (2023), section 2.1.
    """
    effects = average_effects(group_times, "dynamic")
    is_lead = (effects.at < 0) & (effects.n_clusters >= fewest)
    if not is_lead.any():
        return None
    kept = np.flatnonzero(is_lead | (effects.at >= 0))
    weights = _weigh(group_times, effects, averaging)
    return EventPath(
        coefficients=effects.estimates[kept],
        covariance=effects.covariance[np.ix_(kept, kept)],
        n_pre=int(is_lead.sum()),
        weights=weights / weights.sum(),
    )


def _weigh(found: GroupTimes, effects: AveragedEffects, averaging: str) -> Array:
    """Weight of each time from 0 on in the effect of interest."""
    times = effects.at[effects.at >= 0]
    if averaging == "dynamic":
        return np.ones(times.size)
    shares = found.shares[np.searchsorted(found.groups, found.cohorts)]
    since = found.periods - found.cohorts
    return np.array([float(shares[since == time].sum()) for time in times])
