"""From an effect on the treated, its error and its df to a finished row."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from scipy.special import stdtr, stdtrit

from exp_platform.causal.randomisation import RandomisationTest
from exp_platform.records import Estimate, EstimateStatus
from exp_platform.stats.draft import (
    Refusal,
    judge_spread,
    keep_finite,
    status_of,
)
from exp_platform.stats.harm import RANDOMISATION


def complete_effect(
    draft: Estimate,
    effect: tuple[float, float],
    *,
    df: float,
    treated_mean: float,
    details: Mapping[str, Any],
) -> Estimate:
    """The row with t inference; the counterfactual mean stands for control's.

    Args:
        draft: row with names and counts.
        effect: estimate and standard error.
        df: degrees of freedom of t.
        treated_mean: of the treated under treatment.
        details: extras of the method.

    Outcomes:
        OK; INSUFFICIENT_DATA with ZERO_VARIANCE or PRECISION_LOST.
    """
    difference, error = effect
    counterfactual = treated_mean - difference
    size = max(abs(treated_mean), abs(difference))
    lost = judge_spread(error, size, n=_count(draft))
    if lost is not None:
        return stop_effect(draft, lost.value, details)
    half = float(stdtrit(df, 1 - draft.alpha / 2)) * error
    is_relative = counterfactual > 0
    return replace(
        draft,
        status=EstimateStatus.OK,
        control_mean=counterfactual,
        treatment_mean=treated_mean,
        difference=difference,
        standard_error=error,
        ci_lower=difference - half,
        ci_upper=difference + half,
        relative_lift=difference / counterfactual if is_relative else None,
        relative_method="point_counterfactual" if is_relative else None,
        p_value=float(2 * stdtr(df, -abs(difference) / error)),
        statistic=difference / error,
        df=df,
        details=keep_finite(details),
    )


def complete_by_randomisation(
    draft: Estimate,
    found: RandomisationTest,
    *,
    treated_mean: float,
    details: Mapping[str, Any],
) -> Estimate:
    """The row of a permutation test; its error is the spread of the permuted effects.

    Args:
        draft: row with names and counts.
        found: the test, of finite numbers.
        treated_mean: of the treated under treatment.
        details: extras of the method; those of the test are added.

    Outcomes:
        OK; INSUFFICIENT_DATA with ZERO_VARIANCE, PRECISION_LOST, or TOO_FEW_CLUSTERS
        when so few choices exist that the interval has no end.
    """
    details = {
        **details,
        **describe_randomisation(found),
        "relative_reason": "FEW_CLUSTERS",
    }
    size = max(abs(treated_mean), abs(found.difference))
    lost = judge_spread(found.spread, size, n=_count(draft))
    if lost is not None:
        return stop_effect(draft, lost.value, details)
    if found.interval is None:
        return stop_effect(draft, Refusal.TOO_FEW_CLUSTERS.value, details)
    return replace(
        draft,
        status=EstimateStatus.OK,
        control_mean=treated_mean - found.difference,
        treatment_mean=treated_mean,
        difference=found.difference,
        standard_error=found.spread,
        statistic=found.difference / found.spread,
        ci_lower=found.interval[0],
        ci_upper=found.interval[1],
        p_value=found.p_value,
        details=details,
    )


def _count(draft: Estimate) -> int:
    """Clusters, or units where they are not told, behind the error."""
    return draft.n_clusters or (draft.n_control or 0) + (draft.n_treatment or 0)


def describe_randomisation(found: RandomisationTest) -> dict[str, Any]:
    """What a row says of its permutation test.

    Args:
        found: the test.
    """
    return {
        "inference": RANDOMISATION,
        "randomisation_difference": found.difference,
        "randomisation_p_value": found.p_value,
        "n_assignments": found.n_assignments,
        "is_exact": found.is_exact,
    }


def stop_effect(draft: Estimate, reason: str, details: Mapping[str, Any]) -> Estimate:
    """The row without numbers, with its reason.

    Args:
        draft: row with names and counts.
        reason: coded.
        details: extras of the method.
    """
    return replace(
        draft, status=status_of(reason), reason=reason, details=keep_finite(details)
    )
