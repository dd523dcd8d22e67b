"""The part of an `Estimate` that every method fills in the same way.

A draft has names and counts but no numbers. It ends completed (status OK, every number
finite) or refused (a coded reason, null inference).
"""

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any, Literal, Protocol

from scipy.special import stdtr

from exp_platform.errors import ContractError
from exp_platform.records import (
    ClusterTotals,
    Estimate,
    EstimateStatus,
    GramTotals,
    MetricTotals,
    PanelTotals,
)
from exp_platform.stats.comparison import Comparison
from exp_platform.stats.inference import Array
from exp_platform.stats.relative import both_vary, explain_no_interval
from exp_platform.stats.settings import EstimateSettings

ROUNDING = 1e-12
"""Relative size below which a number left over from a cancellation is rounding."""

Spread = tuple[float | None, float | None, float | None]
"""Mean, variance, and range (largest - smallest) of values; None = not known."""

CONSTANT = 4 * sys.float_info.epsilon
"""Relative spread up to which a computed variance may be that of a constant."""


class ArmTotals(Protocol):
    """What the totals of every method have in common."""

    @property
    def experiment_id(self) -> str:
        """The experiment they belong to."""

    @property
    def metric_name(self) -> str:
        """The metric they are of."""

    @property
    def variant(self) -> str:
        """The arm they are of."""

    @property
    def n(self) -> int:
        """Units of the arm."""


class Refusal(StrEnum):
    """Why an estimator gives no number.

    ZERO_VARIANCE: the values do not vary. NO_RESIDUAL_VARIANCE: they do, and covariates
    explain them wholly, as a copy of the outcome would.
    """

    TOO_FEW_UNITS = "TOO_FEW_UNITS"
    TOO_FEW_CLUSTERS = "TOO_FEW_CLUSTERS"
    NEEDS_WILD_BOOTSTRAP = "NEEDS_WILD_BOOTSTRAP"
    NO_PRE_PERIOD = "NO_PRE_PERIOD"
    NO_POST_PERIOD = "NO_POST_PERIOD"
    NEEDS_CAP = "NEEDS_CAP"
    ZERO_VARIANCE = "ZERO_VARIANCE"
    NO_RESIDUAL_VARIANCE = "NO_RESIDUAL_VARIANCE"
    PRECISION_LOST = "PRECISION_LOST"
    DENOMINATOR_NEAR_ZERO = "DENOMINATOR_NEAR_ZERO"
    NO_COVARIATE_DATA = "NO_COVARIATE_DATA"
    INVALID_MOMENTS = "INVALID_MOMENTS"
    NOT_A_PROPORTION = "NOT_A_PROPORTION"
    UNIT_FINER_THAN_ASSIGNMENT = "UNIT_FINER_THAN_ASSIGNMENT"
    TIED_QUANTILE = "TIED_QUANTILE"


ERRORED = frozenset({Refusal.INVALID_MOMENTS, Refusal.NOT_A_PROPORTION})
"""The metric is broken; every other refusal is a lack of data or of a design."""


def status_of(reason: str) -> EstimateStatus:
    """Is the metric broken, the method not valid here, or are there too few data?"""
    if reason == Refusal.UNIT_FINER_THAN_ASSIGNMENT:
        return EstimateStatus.NOT_IDENTIFIED
    is_broken = reason in ERRORED
    broken, lacking = EstimateStatus.METRIC_ERRORED, EstimateStatus.INSUFFICIENT_DATA
    return broken if is_broken else lacking


def draft_estimate(
    method: str,
    control: ArmTotals,
    treatment: ArmTotals,
    settings: EstimateSettings,
) -> Estimate:
    """Which comparison is this row about?

    A draft of units inside assigned clusters carries its refusal from the start.

    Raises:
        ContractError: the totals do not belong to one experiment, metric and segment.
    """
    segment = _segment(control)
    ours = (control.experiment_id, control.metric_name, segment)
    theirs = (treatment.experiment_id, treatment.metric_name, _segment(treatment))
    if ours != theirs:
        raise ContractError(
            "the two arms' totals do not belong together",
            where=f"{control.experiment_id}, metric {control.metric_name}",
            found=f"control {ours}, treatment {theirs}",
            allowed="one experiment, one metric, one segment",
            next_step="pass totals of the same metric and segment",
        )
    return Estimate(
        experiment_id=control.experiment_id,
        metric_name=control.metric_name,
        method=method,
        control=control.variant,
        treatment=treatment.variant,
        status=EstimateStatus.INSUFFICIENT_DATA,
        n_control=control.n,
        n_treatment=treatment.n,
        alpha=settings.alpha,
        role=settings.role,
        metric_version=settings.metric_version,
        segment=segment,
        reason=_refuse_unit(control, settings),
    )


def _refuse_unit(totals: ArmTotals, settings: EstimateSettings) -> str:
    """Units inside assigned clusters are not independent: only clusters' totals are."""
    is_clustered = isinstance(totals, ClusterTotals | PanelTotals | GramTotals)
    if settings.is_clustered and not is_clustered:
        return Refusal.UNIT_FINER_THAN_ASSIGNMENT.value
    return ""


def find_refusal(
    draft: Estimate,
    min_units: int,
    moments: Iterable[float | None],
    *,
    variances: Iterable[float | None],
    values: Iterable[Spread] = (),
) -> Refusal | None:
    """Is there enough, is it finite, and is it more than rounding?

    Args:
        draft: row with the units of both arms.
        min_units: units an arm must have; never less than 2.
        moments: means and covariances the method needs; null or non-finite is refused.
        variances: the same, and a negative one is refused.
        values: mean and variance of what varies between units, and the range of the
            values where it is known; a spread that is lost in the rounding of such
            large values is refused.
    """
    if draft.reason:
        return Refusal(draft.reason)
    if min(draft.n_control or 0, draft.n_treatment or 0) < max(2, min_units):
        return Refusal.TOO_FEW_UNITS
    spreads = tuple(variances)
    if any(_finite(value) is None for value in (*moments, *spreads)):
        return Refusal.INVALID_MOMENTS
    if any(value is not None and value < 0 for value in spreads):
        return Refusal.INVALID_MOMENTS
    lost = Refusal.PRECISION_LOST
    known = ((m, v, r) for m, v, r in values if m is not None and v is not None)
    is_lost = any(judge_spread(v**0.5, m, extent=r) is lost for m, v, r in known)
    return lost if is_lost else None


def judge_spread(
    spread: float, size: float, *, extent: float | None = None, n: float = 1.0
) -> Refusal | None:
    """Is there a spread, and is it more than the rounding of values of this size?

    Args:
        spread: standard deviation, or standard error.
        size: a typical value, of either sign.
        extent: largest value - smallest, which has no rounding; None = not known.
        n: units, or clusters, behind a standard error: it may be tiny where values
            vary.

    Returns:
        ZERO_VARIANCE for a constant, PRECISION_LOST where the moments cannot tell, else
        None.
    """
    if spread > ROUNDING * abs(size):
        return None
    is_constant = spread * n**0.5 <= CONSTANT * abs(size)
    if extent is not None:
        is_constant = extent == 0
    return Refusal.ZERO_VARIANCE if is_constant else Refusal.PRECISION_LOST


def spread_of(totals: MetricTotals) -> Spread:
    """Mean, variance and range of one arm's values, as `find_refusal` takes them.

    Args:
        totals: of the arm.
    """
    low, high = totals.min_value, totals.max_value
    extent = None if low is None or high is None else high - low
    return totals.mean, totals.variance, extent


def refuse_constants(values: Iterable[Spread]) -> Refusal | None:
    """Do the values of no arm vary, so that an adjusted error would be rounding?

    Args:
        values: mean and variance of each arm, and its range where it is known.
    """
    judged = [
        judge_spread((variance or 0.0) ** 0.5, mean or 0.0, extent=extent)
        for mean, variance, extent in values
    ]
    return Refusal.ZERO_VARIANCE if all(judged) else None


def refuse_estimate(
    draft: Estimate,
    reason: Refusal,
    *,
    means: tuple[float | None, float | None] = (None, None),
    details: Mapping[str, Any] | None = None,
) -> Estimate:
    """The row without inference, with the reason and the means where they exist."""
    control_mean, treatment_mean = (_finite(mean) for mean in means)
    difference = None
    if control_mean is not None and treatment_mean is not None:
        is_kept = reason is Refusal.ZERO_VARIANCE
        difference = _finite(treatment_mean - control_mean) if is_kept else None
    return replace(
        draft,
        status=status_of(reason),
        reason=reason.value,
        control_mean=control_mean,
        treatment_mean=treatment_mean,
        difference=difference,
        details=keep_finite(details or {}),
    )


INFERRED = (
    "difference",
    "standard_error",
    "ci_lower",
    "ci_upper",
    "relative_lift",
    "relative_ci_lower",
    "relative_ci_upper",
    "p_value",
    "relative_p_value",
    "p_value_adjusted",
    "statistic",
)
"""Numbers of a row that must be finite when it has them, and are null without OK."""


def require_finite(row: Estimate) -> Estimate:
    """The row, or a refusal where one of its numbers is not finite.

    Args:
        row: of an estimator that fills it by itself.
    """
    numbers = [getattr(row, name) for name in INFERRED]
    is_finite = all(n is None or math.isfinite(n) for n in numbers)
    if not row.is_ok or (is_finite and row.standard_error != 0):
        return replace(row, details=keep_finite(row.details))
    means = (row.control_mean, row.treatment_mean)
    refused = refuse_estimate(
        row, Refusal.INVALID_MOMENTS, means=means, details=row.details
    )
    blank: dict[str, Any] = dict.fromkeys((*INFERRED, "relative_method", "df"))
    return replace(refused, **blank)


def keep_finite(details: Mapping[str, Any]) -> dict[str, Any]:
    """The same details with null where a number is not finite."""
    return {name: _keep(value) for name, value in details.items()}


def _keep(value: Any) -> Any:
    if isinstance(value, Mapping):
        return keep_finite(value)
    if isinstance(value, list | tuple):
        return [_keep(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def complete_estimate(
    draft: Estimate,
    comparison: Comparison,
    *,
    details: Mapping[str, Any] | None = None,
    baseline: Literal["", "counterfactual"] = "",
) -> Estimate:
    """The row with the numbers of the comparison's first element.

    A zero standard error is refused as ZERO_VARIANCE, a number that is not finite as
    INVALID_MOMENTS; so status OK never stands beside NaN.

    Args:
        draft: row with names and counts.
        comparison: arrays of shape (1,).
        details: extras of the method.
        baseline: what the lift is relative to, when it is not the control mean.
    """
    inference, relative = comparison.inference, comparison.relative
    means = (_first(comparison.control_mean), _first(comparison.treatment_mean))
    if _first(inference.standard_error) == 0:
        return refuse_estimate(
            draft, Refusal.ZERO_VARIANCE, means=means, details=details
        )
    tested = (inference.p_value, inference.ci_lower, inference.ci_upper)
    measured = (inference.difference, inference.standard_error)
    if None in (*means, *(_first(values) for values in (*measured, *tested))):
        return refuse_estimate(
            draft, Refusal.INVALID_MOMENTS, means=means, details=details
        )
    return replace(
        draft,
        status=EstimateStatus.OK,
        control_mean=means[0],
        treatment_mean=means[1],
        difference=_first(inference.difference),
        standard_error=_first(inference.standard_error),
        ci_lower=_first(inference.ci_lower),
        ci_upper=_first(inference.ci_upper),
        relative_lift=_first(relative.lift),
        relative_ci_lower=_first(relative.ci_lower),
        relative_ci_upper=_first(relative.ci_upper),
        relative_method=_relative_method(comparison, baseline),
        p_value=_first(inference.p_value),
        relative_p_value=_first(relative.p_value),
        statistic=_first(inference.statistic),
        df=_first(inference.df),
        details=keep_finite({**_baseline_details(comparison), **(details or {})}),
    )


def _relative_method(comparison: Comparison, baseline: str) -> str | None:
    if _first(comparison.relative.lift) is None:
        return None
    kind = comparison.relative.method
    if _first(comparison.baseline.variance) is None:
        kind = "point"
    return f"{kind}_{baseline}" if baseline else kind


def _baseline_details(comparison: Comparison) -> dict[str, Any]:
    """What guardrails with a relative margin need, and why there is no lift.

    And the p-value of the lift by the delta method, as if looked at once.
    """
    baseline, relative = comparison.baseline, comparison.relative
    details: dict[str, Any] = {
        "baseline_mean": _first(baseline.mean),
        "baseline_variance": _first(baseline.variance),
        "baseline_covariance": _first(baseline.covariance),
    }
    reason = explain_no_interval(relative, comparison.inference, baseline)
    if reason:
        details["relative_reason"] = reason
    p_value = _delta_p_value(comparison)
    if p_value is not None:
        details["delta_p_value"] = p_value
    return details


def _delta_p_value(comparison: Comparison) -> float | None:
    """How probable is a lift this far from 0 by the delta method, two-sided?"""
    inference, baseline = comparison.inference, comparison.baseline
    lift, mean = _first(comparison.relative.lift), _first(baseline.mean)
    own, shared = _first(baseline.variance), _first(baseline.covariance)
    error = _first(inference.standard_error)
    if None in (lift, mean, own, shared, error):
        return None
    if not both_vary(inference.standard_error**2, baseline)[0]:
        return None
    spread = error * error - 2 * lift * shared + lift * lift * own  # type: ignore[operator]
    if not 0 < spread < math.inf:
        return None
    z = abs(lift * mean) / math.sqrt(spread)  # type: ignore[operator]
    return float(2 * stdtr(float(inference.df[0]), -z))


def _segment(totals: ArmTotals) -> str:
    return getattr(totals, "segment", "all")


def _first(values: Array) -> float | None:
    return _finite(float(values[0]))


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
