"""2x2 difference in differences from cluster sums, whatever the number of clusters."""

from dataclasses import replace
from typing import Any

import numpy as np

from exp_platform.causal.cluster_sums import (
    ClusterSums,
    collapse_clusters,
    count_effective,
)
from exp_platform.causal.did import (
    describe_did,
    draft_did,
    estimate_did,
    estimate_few_clusters,
)
from exp_platform.causal.effect import (
    complete_by_randomisation,
    describe_randomisation,
)
from exp_platform.causal.randomisation import permute_clusters
from exp_platform.causal.wild_bootstrap import bootstrap_clusters
from exp_platform.records import Estimate
from exp_platform.stats.cluster import BOOTSTRAP_BELOW, FEWEST_CLUSTERS
from exp_platform.stats.draft import Refusal, refuse_estimate
from exp_platform.stats.harm import BOOTSTRAP
from exp_platform.stats.settings import EstimateSettings


def estimate_did_by_cluster(
    control: ClusterSums,
    treatment: ClusterSums,
    settings: EstimateSettings,
    *,
    seed: int = 0,
) -> Estimate:
    """By how much more did the treated clusters change than the others?

    As `did.estimate_did` when both arms have 20 clusters and the effective number is 20
    or more. With fewer, p-value and interval are those of the wild cluster bootstrap;
    the standard error stays CR1 and the lift has no interval. With fewer than 5 in an
    arm there is no number; the p-value of randomisation inference stands in the details
    (`randomisation_p_value`).

    Args:
        control: cluster sums of the untreated group.
        treatment: cluster sums of the treated group.
        settings: metric, role, alpha, least units.
        seed: of the bootstrap.

    Estimand:
        Average effect on the treated units (ATT), intention to treat within the group.

    Assumptions:
        As `did.estimate_did`; clusters are independent.

    Outcomes:
        As `did.estimate_did`, but never NEEDS_WILD_BOOTSTRAP.

    References:
        Cameron, Gelbach and Miller (2008); MacKinnon and Webb (2017).
    """
    arms = (collapse_clusters(control), collapse_clusters(treatment))
    estimate = estimate_did(*arms, settings)
    effective = count_effective(control, treatment)
    if min(control.n_clusters, treatment.n_clusters) < FEWEST_CLUSTERS:
        return _offer_randomisation(estimate, control, treatment, seed)
    is_few = estimate.reason == Refusal.NEEDS_WILD_BOOTSTRAP.value
    if is_few or (estimate.is_ok and effective < BOOTSTRAP_BELOW):
        estimate = estimate_few_clusters(*arms, settings)
        if estimate.is_ok:
            estimate = bootstrap_estimate(estimate, control, treatment, seed=seed)
    return _add(estimate, {"n_clusters_effective": effective})


def estimate_by_randomisation(
    control: ClusterSums,
    treatment: ClusterSums,
    settings: EstimateSettings,
    *,
    seed: int = 0,
) -> Estimate:
    """The same difference, tested against other choices of treated clusters.

    Args:
        control: cluster sums of the untreated group.
        treatment: cluster sums of the treated group.
        settings: metric, role, alpha, least units.
        seed: of the choices, when there are too many for all.

    Estimand:
        A constant effect on the treated clusters (ATT under a sharp hypothesis).

    Assumptions:
        Any set of so many clusters could have been treated.

    Outcomes:
        OK, the standard error being that of the permuted differences and without a
        lift; INSUFFICIENT_DATA with TOO_FEW_CLUSTERS when so few
        choices exist that the interval has no end (the p-value is in the details), or
        as `did.estimate_did`.

    References:
        MacKinnon and Webb (2020).
    """
    arms = (collapse_clusters(control), collapse_clusters(treatment))
    draft, reason = draft_did("did_randomisation", *arms, settings)
    fewest = min(arm.n for arm in arms)
    # One treated unit is enough here, whatever other methods need.
    if reason is Refusal.TOO_FEW_UNITS and fewest >= settings.min_units_per_arm:
        reason = None
    if not all(np.isfinite(arm.score_sum_of_squares) for arm in arms):
        reason = Refusal.INVALID_MOMENTS
    if reason is not None:
        return refuse_estimate(draft, reason, details=describe_did(*arms))
    found = permute_clusters(control, treatment, alpha=settings.alpha, seed=seed)
    return complete_by_randomisation(
        draft,
        found,
        treated_mean=arms[1].mean_post,
        details={**describe_did(*arms), "seed": seed},
    )


def bootstrap_estimate(
    estimate: Estimate, control: ClusterSums, treatment: ClusterSums, *, seed: int
) -> Estimate:
    """The row with the bootstrap's test and interval in place of those of t.

    Args:
        estimate: OK, its error clustered; the lift loses its interval.
        control: cluster sums of the untreated group.
        treatment: cluster sums of the treated group.
        seed: of the draws.

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_CLUSTERS when the interval has no end.
    """
    found = bootstrap_clusters(control, treatment, alpha=estimate.alpha, seed=seed)
    details = {
        "inference": BOOTSTRAP,
        "bootstrap_weights": found.weights,
        "n_draws": found.n_draws,
        "is_enumerated": found.is_enumerated,
        "seed": seed,
        "small_sample": f"{estimate.details.get('small_sample', '')}; p and interval by "
        "wild cluster bootstrap-t",
        "relative_reason": "FEW_CLUSTERS",
    }
    if found.interval is None:
        return _refuse_few(estimate, details)
    is_relative = estimate.relative_lift is not None
    return replace(
        _add(estimate, details),
        p_value=found.p_value,
        ci_lower=found.interval[0],
        ci_upper=found.interval[1],
        relative_ci_lower=None,
        relative_ci_upper=None,
        relative_p_value=None,
        relative_method="point_counterfactual" if is_relative else None,
    )


def _refuse_few(estimate: Estimate, details: dict[str, Any]) -> Estimate:
    blank = replace(
        estimate,
        standard_error=None,
        ci_lower=None,
        ci_upper=None,
        relative_lift=None,
        relative_ci_lower=None,
        relative_ci_upper=None,
        relative_method=None,
        p_value=None,
        relative_p_value=None,
        statistic=None,
        df=None,
    )
    details = {**estimate.details, **details}
    return refuse_estimate(blank, Refusal.TOO_FEW_CLUSTERS, details=details)


def _offer_randomisation(
    estimate: Estimate, control: ClusterSums, treatment: ClusterSums, seed: int
) -> Estimate:
    # Too few clusters is the deeper reason when each has one unit.
    if estimate.reason == Refusal.TOO_FEW_UNITS.value:
        estimate = replace(estimate, reason=Refusal.TOO_FEW_CLUSTERS.value)
    if estimate.reason != Refusal.TOO_FEW_CLUSTERS.value:
        return estimate
    found = permute_clusters(control, treatment, alpha=estimate.alpha, seed=seed)
    return _add(estimate, {**describe_randomisation(found), "seed": seed})


def _add(estimate: Estimate, details: dict[str, Any]) -> Estimate:
    return replace(estimate, details={**estimate.details, **details})
