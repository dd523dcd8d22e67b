"""Does the effect last? The arms day by day since exposure, and the trend of the gap."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

from exp_platform.causal.clusters import cr1_factor
from exp_platform.causal.event_study import NoveltyTrend, assess_novelty
from exp_platform.records import Estimate, EstimateStatus, GramTotals
from exp_platform.stats.draft import Refusal, draft_estimate, refuse_estimate
from exp_platform.stats.inference import infer_difference
from exp_platform.stats.settings import EstimateSettings

METHOD = "novelty_trend"

FIRST_DAY = 1
"""Day 0 is a visit by definition: an effect per visit is larger on it."""


def estimate_novelty(
    control: GramTotals,
    treatment: GramTotals,
    settings: EstimateSettings,
    *,
    first_day: int = FIRST_DAY,
) -> Estimate:
    """By how much does the effect change with every day since exposure?

    `difference` is the slope of the daily effect, in units of the metric per day, with
    its standard error, interval and p-value. `details` holds the effect of every day
    from 0 on, with intervals day by day, and `change`, slope x days.

    Args:
        control: daily means and cross-products of the control arm.
        treatment: the same days of the treatment arm.
        settings: metric, role, alpha, least units.
        first_day: first day since exposure that the slope is fitted to.

    Estimand:
        EFFECT_TREND: the slope of the average daily effect over days since exposure,
        for units followed through all of the days.

    Assumptions:
        Units were randomised; a straight line describes the change. A novelty effect
        that is over before `first_day` is not seen.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, TOO_FEW_DAYS, TOO_FEW_CLUSTERS,
        ZERO_VARIANCE or SINGULAR_COVARIANCE; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Rao (1967); Kohavi, Tang and Xu (2020), chapter 23.
    """
    draft = replace(
        draft_estimate(METHOD, control, treatment, settings),
        estimand="EFFECT_TREND",
        period="post",
        n_clusters=control.n_clusters + treatment.n_clusters,
    )
    if min(control.n, treatment.n) < max(2, settings.min_units_per_arm):
        return refuse_estimate(draft, Refusal.TOO_FEW_UNITS)
    trend = assess_novelty(control, treatment, first_day=first_day)
    details = {
        "first_day": first_day,
        "days": list_daily_effects(control, treatment, settings.alpha),
    }
    if trend.slope is None or not trend.slope_se:
        return replace(draft, status=trend.status, reason=trend.reason, details=details)
    return _fill(draft, trend, details)


def list_daily_effects(
    control: GramTotals, treatment: GramTotals, alpha: float
) -> list[dict[str, float | None]]:
    """How far apart are the arms on each day from 0 on?

    Args:
        control: daily means and cross-products of the control arm.
        treatment: the same days of the treatment arm.
        alpha: two-sided error rate of each day's interval; t(G - 1), CR1 by cluster.

    Returns:
        One entry per day: day, effect, standard_error, ci_lower, ci_upper, p_value;
        null where nothing varies.
    """
    places = [index for index, day in enumerate(control.days) if day >= 0]
    clusters = control.n_clusters + treatment.n_clusters
    factor = cr1_factor(clusters, control.n + treatment.n)
    with np.errstate(all="ignore"):
        gap = np.array(treatment.means)[places] - np.array(control.means)[places]
        errors = np.sqrt(
            factor
            * sum(
                np.diag(np.array(arm.score_gram))[places] / arm.n**2
                for arm in (control, treatment)
            )
        )
        found = infer_difference(gap, errors, np.full(gap.shape, clusters - 1.0), alpha)
    columns = {
        "effect": found.difference,
        "standard_error": np.where(errors > 0, errors, np.nan),
        "ci_lower": found.ci_lower,
        "ci_upper": found.ci_upper,
        "p_value": found.p_value,
    }
    return [
        {
            "day": control.days[place],
            **{name: _number(values[row]) for name, values in columns.items()},
        }
        for row, place in enumerate(places)
    ]


def _fill(draft: Estimate, trend: NoveltyTrend, details: dict[str, Any]) -> Estimate:
    slope, error = trend.slope or 0.0, trend.slope_se or 0.0
    df = trend.df or math.inf
    reach = float(stdtrit(df, 1 - draft.alpha / 2)) * error
    return replace(
        draft,
        status=EstimateStatus.OK,
        difference=slope,
        standard_error=error,
        ci_lower=slope - reach,
        ci_upper=slope + reach,
        p_value=trend.p_value,
        statistic=slope / error,
        df=trend.df,
        details={"change": trend.change, "n_days": trend.n_days, **details},
    )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
