"""The effect on those who complied: a randomised offer as an instrument for uptake.

Serves non-compliance (some did not take what they were assigned) and trigger dilution
(most units never met the change). All that is needed are moments per arm.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from exp_platform.causal.clusters import (
    count_effective_arms,
    cr1_factor,
    refuse_clusters,
    share_sizes,
)
from exp_platform.causal.refusal import DesignRefusal, refuse_design
from exp_platform.errors import ContractError
from exp_platform.records import Estimate, EstimateStatus, MetricTotals
from exp_platform.stats.draft import (
    draft_estimate,
    find_refusal,
    judge_spread,
    refuse_constants,
    spread_of,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.relative import Baseline, fieller_limits
from exp_platform.stats.settings import EstimateSettings

WEAK_F = 10.0
"""First-stage F below which the effect of uptake is not told (Staiger and Stock)."""


@dataclass(frozen=True, slots=True)
class ComplianceTotals:
    """Outcome and uptake of one arm: means, and cross-products of their scores.

    A cluster's score is the sum over its units of (value - mean of the arm).

    Attributes:
        n: units. n_clusters: clusters (= n when assigned by unit).
        mean_outcome, mean_uptake: per unit; uptake is 0 or 1 (or a dose).
        mean_joint: mean of outcome x uptake; None = compliers' means are not told.
        outcome_range: largest outcome - smallest; None = not known.
        outcome_squares, uptake_squares, cross_products: sums over clusters of squared
            scores of the outcome, of the uptake, and of their product.
        cluster_shares: as those of `GramTotals`.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_clusters: int
    mean_outcome: float
    mean_uptake: float
    outcome_squares: float
    uptake_squares: float
    cross_products: float
    mean_joint: float | None = None
    outcome_range: float | None = None
    cluster_shares: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Stages:
    """Effects of the offer on outcome (`itt`) and uptake, with their covariances."""

    itt: float
    uptake: float
    itt_variance: float
    uptake_variance: float
    covariance: float

    @property
    def f_statistic(self) -> float:
        """First-stage F; infinite when uptake does not vary within the arms."""
        if self.uptake_variance == 0:
            return math.inf if self.uptake else 0.0
        return self.uptake**2 / self.uptake_variance


def compliance_of_units(
    outcome: Array,
    uptake: Array,
    *,
    cluster: NDArray[Any] | None = None,
    metric_name: str = "outcome",
    variant: str = "",
    experiment_id: str = "",
) -> ComplianceTotals:
    """Totals of one arm from its units.

    Args:
        outcome: value per unit, shape (n_units,).
        uptake: 1 where the unit took the treatment, same shape.
        cluster: label of the unit's cluster; None = each unit is one.
        metric_name: of the outcome.
        variant: the arm.
        experiment_id: experiment.

    Raises:
        ContractError: no units, or arrays of different lengths.
    """
    values = np.column_stack([outcome, uptake]).astype(float)
    if not len(values) or (cluster is not None and len(cluster) != len(values)):
        raise ContractError(
            "outcome, uptake and cluster need one value per unit",
            where=f"metric {metric_name}, arm {variant}",
            found=f"{len(values)} units",
            next_step="pass arrays of the same length, with at least one unit",
        )
    means = values.mean(axis=0)
    scores, sizes = values - means, np.ones(len(values))
    if cluster is not None:
        labels, group = np.unique(cluster, return_inverse=True)
        sums = np.zeros((len(labels), 2))
        np.add.at(sums, group, scores)
        scores, sizes = sums, np.bincount(group).astype(float)
    products = scores.T @ scores
    return ComplianceTotals(
        experiment_id,
        metric_name,
        variant,
        n=len(values),
        n_clusters=len(scores),
        mean_outcome=float(means[0]),
        mean_uptake=float(means[1]),
        outcome_squares=float(products[0, 0]),
        uptake_squares=float(products[1, 1]),
        cross_products=float(products[0, 1]),
        mean_joint=float((values[:, 0] * values[:, 1]).mean()),
        outcome_range=float(np.ptp(values[:, 0])),
        cluster_shares=share_sizes(sizes),
    )


def compliance_of_totals(totals: MetricTotals) -> ComplianceTotals:
    """Totals of one arm from those of a ratio metric whose denominator is the uptake.

    Args:
        totals: moments of outcome (numerator) and uptake (denominator), by unit.

    Raises:
        ContractError: the totals have no denominator.
    """
    moments = (
        totals.mean,
        totals.variance,
        totals.denominator_mean,
        totals.denominator_variance,
        totals.denominator_covariance,
    )
    known = [value for value in moments if value is not None]
    if len(known) < len(moments):
        raise ContractError(
            "uptake is read from the denominator, and the totals have none",
            where=f"{totals.experiment_id}, metric {totals.metric_name}",
            next_step="declare a ratio metric: outcome over uptake",
        )
    mean, variance, uptake, uptake_variance, covariance = known
    n = totals.n
    return ComplianceTotals(
        totals.experiment_id,
        totals.metric_name,
        totals.variant,
        n=n,
        n_clusters=n,
        mean_outcome=mean,
        mean_uptake=uptake,
        outcome_squares=variance * (n - 1),
        uptake_squares=uptake_variance * (n - 1),
        cross_products=covariance * (n - 1),
        mean_joint=covariance * (n - 1) / n + mean * uptake,
        outcome_range=spread_of(totals)[2],
        cluster_shares=(1 / n, 1 / n**3),
    )


def estimate_cace(
    control: ComplianceTotals, treatment: ComplianceTotals, settings: EstimateSettings
) -> Estimate:
    """What did the treatment do to those who took it because they were assigned to it?

    Wald's ratio: effect on the outcome / effect on the uptake (two-stage least squares
    with one instrument). The interval inverts Anderson and Rubin's test (Fieller's set
    with CR1 errors and t(G - 1)), which holds its level however weak the instrument,
    and `p_value` is that of the effect of assignment itself. `standard_error` and the
    `wald_*` details are the usual two-stage ones.

    Args:
        control: totals of the arm without the offer.
        treatment: totals of the arm with it.
        settings: metric, role, alpha, least units.

    Estimand:
        Complier average causal effect (CACE, local ATE). With no uptake in control it
        is the effect on the treated.

    Assumptions:
        Assignment is random; it moves the outcome only through the uptake (exclusion);
        nobody does the opposite of their assignment (monotonicity).

    Outcomes:
        OK; INSUFFICIENT_DATA with TOO_FEW_UNITS, TOO_FEW_CLUSTERS,
        NEEDS_WILD_BOOTSTRAP, ZERO_VARIANCE, WEAK_FIRST_STAGE (F below 10, or an
        unbounded interval) or REVERSED_FIRST_STAGE (the offer lowers the uptake: it
        is coded backwards, or the arms are swapped); NOT_IDENTIFIED with
        UNIT_FINER_THAN_ASSIGNMENT; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Imbens and Angrist (1994); Angrist, Imbens and Rubin (1996); Anderson and Rubin
        (1949); Staiger and Stock (1997); Bloom (1984).
    """
    arms = (control, treatment)
    draft = replace(
        _draft(control, treatment, settings),
        estimand="CACE",
        n_clusters=control.n_clusters + treatment.n_clusters,
    )
    reason = _refuse(draft, arms, settings.min_units_per_arm)
    if reason is not None:
        return refuse_design(draft, reason, _describe_arms(control, treatment))
    stages = _estimate_stages(control, treatment)
    details = {**_describe_arms(control, treatment), **_describe_stages(stages)}
    if stages.f_statistic < WEAK_F:
        return refuse_design(draft, DesignRefusal.WEAK_FIRST_STAGE, details)
    if stages.uptake < 0:
        return refuse_design(draft, DesignRefusal.REVERSED_FIRST_STAGE, details)
    size = max(abs(arm.mean_outcome) for arm in arms)
    n = control.n_clusters + treatment.n_clusters
    lost = judge_spread(math.sqrt(stages.itt_variance), size, n=n)
    if lost is not None:
        return refuse_design(draft, lost, details)
    return _infer(draft, stages, details, _complier_means(control, treatment))


def _refuse(
    draft: Estimate, arms: tuple[ComplianceTotals, ComplianceTotals], min_units: int
) -> str | None:
    values = [
        (a.mean_outcome, a.outcome_squares / max(a.n, 1), a.outcome_range) for a in arms
    ]
    reason = find_refusal(
        draft,
        min_units,
        [v for a in arms for v in (a.mean_outcome, a.mean_uptake, a.cross_products)],
        variances=[v for a in arms for v in (a.outcome_squares, a.uptake_squares)],
        values=values,
    )
    reason = reason or refuse_constants(values)
    effective = count_effective_arms(*(arm.cluster_shares for arm in arms))
    return reason or refuse_clusters(arms[0].n_clusters, arms[1].n_clusters, effective)


def _draft(
    control: ComplianceTotals, treatment: ComplianceTotals, settings: EstimateSettings
) -> Estimate:
    """Totals by cluster are what units inside assigned clusters need."""
    by_cluster = any(arm.n_clusters < arm.n for arm in (control, treatment))
    if by_cluster:
        settings = replace(settings, is_clustered=False)
    return draft_estimate("cace", _name(control), _name(treatment), settings)


def _name(arm: ComplianceTotals) -> MetricTotals:
    return MetricTotals(
        arm.experiment_id, arm.metric_name, arm.variant, arm.n, arm.mean_outcome, None
    )


def _estimate_stages(control: ComplianceTotals, treatment: ComplianceTotals) -> _Stages:
    n_clusters = control.n_clusters + treatment.n_clusters
    factor = cr1_factor(n_clusters, control.n + treatment.n)

    def spread(part: str) -> float:
        """Variance of a difference of means from the arms' sums of squares."""
        return factor * sum(
            float(getattr(arm, part)) / arm.n**2 for arm in (control, treatment)
        )

    return _Stages(
        itt=treatment.mean_outcome - control.mean_outcome,
        uptake=treatment.mean_uptake - control.mean_uptake,
        itt_variance=spread("outcome_squares"),
        uptake_variance=spread("uptake_squares"),
        covariance=spread("cross_products"),
    )


def _infer(
    draft: Estimate,
    stages: _Stages,
    details: dict[str, Any],
    means: tuple[float | None, float | None],
) -> Estimate:
    df = float((draft.n_clusters or 0) - 1)
    quantile = float(stdtrit(df, 1 - draft.alpha / 2))
    effect = stages.itt / stages.uptake
    error = _two_stage_error(stages, effect)
    lower, upper = _anderson_rubin(stages, quantile)
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return refuse_design(draft, DesignRefusal.WEAK_FIRST_STAGE, details)
    statistic = stages.itt / math.sqrt(stages.itt_variance)
    lift = effect / means[0] if means[0] is not None and means[0] > 0 else None
    return replace(
        draft,
        status=EstimateStatus.OK,
        control_mean=means[0],
        treatment_mean=means[1],
        difference=effect,
        standard_error=error,
        ci_lower=lower,
        ci_upper=upper,
        relative_lift=lift,
        relative_method=None if lift is None else "point_complier",
        p_value=float(2 * stdtr(df, -abs(statistic))),
        statistic=statistic,
        df=df,
        details={
            **details,
            "interval": "anderson_rubin",
            "wald_ci_lower": effect - quantile * error,
            "wald_ci_upper": effect + quantile * error,
            "wald_p_value": float(2 * stdtr(df, -abs(effect) / error))
            if error > 0
            else None,
        },
    )


def _two_stage_error(stages: _Stages, effect: float) -> float:
    """Standard error of Wald's ratio by the delta method, as 2SLS has it."""
    variance = (
        stages.itt_variance
        - 2 * effect * stages.covariance
        + effect * effect * stages.uptake_variance
    )
    return math.sqrt(max(variance, 0.0)) / abs(stages.uptake)


def _anderson_rubin(stages: _Stages, quantile: float) -> tuple[float, float]:
    """Effects b at which a test of itt - b x uptake = 0 does not reject."""
    baseline = Baseline(
        np.array([stages.uptake]),
        np.array([stages.uptake_variance]),
        np.array([stages.covariance]),
    )
    lower, upper = fieller_limits(
        np.array([stages.itt]), np.array([stages.itt_variance]), baseline, quantile
    )
    return float(lower[0]), float(upper[0])


def _complier_means(
    control: ComplianceTotals, treatment: ComplianceTotals
) -> tuple[float | None, float | None]:
    """Mean of the compliers without and with treatment (Imbens and Rubin 1997)."""
    if control.mean_joint is None or treatment.mean_joint is None:
        return None, None
    share = treatment.mean_uptake - control.mean_uptake
    without = [
        arm.mean_outcome - (arm.mean_joint or 0.0) for arm in (control, treatment)
    ]
    taken = treatment.mean_joint - control.mean_joint
    return (without[0] - without[1]) / share, taken / share


def _describe_arms(
    control: ComplianceTotals, treatment: ComplianceTotals
) -> dict[str, Any]:
    return {
        "uptake_control": control.mean_uptake,
        "uptake_treatment": treatment.mean_uptake,
        "is_one_sided": control.mean_uptake == 0,
        "n_clusters_control": control.n_clusters,
        "n_clusters_treatment": treatment.n_clusters,
        "small_sample": "CR1 G/(G-1)*(N-1)/(N-2), t(G-1)",
    }


def _describe_stages(stages: _Stages) -> dict[str, Any]:
    f_statistic = stages.f_statistic
    return {
        "itt": stages.itt,
        "itt_standard_error": math.sqrt(stages.itt_variance),
        "complier_share": stages.uptake,
        "first_stage_standard_error": math.sqrt(stages.uptake_variance),
        "first_stage_f": f_statistic if math.isfinite(f_statistic) else None,
    }
