"""Bayesian comparison of means: a normal prior on the lift meets a normal estimate.

The prior is always proper. With a flat one "probability to beat" is a one-sided p-value
under another name.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal

import numpy as np
from scipy.special import ndtr, ndtri

from exp_platform.errors import ContractError
from exp_platform.records import Direction, Estimate, MetricTotals
from exp_platform.stats.draft import Refusal, refuse_estimate, require_finite
from exp_platform.stats.group_sequential import Estimator
from exp_platform.stats.inference import Array
from exp_platform.stats.repeated import relative_error
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch

METHOD = "bayes_normal"

NEAR_ZERO_ERRORS = 5.0
"""A control mean within so many of its standard errors of 0 has no normal lift: the
delta method's error on the prior's scale is too small there."""

SENSITIVITY_FACTORS = (0.1, 1 / 3, 1.0, 3.0, 10.0)
"""Prior standard deviations of the sensitivity table, in units of the plan's."""


@dataclass(frozen=True, slots=True)
class NormalPrior:
    """What was believed about the lift before the data.

    Attributes:
        mean, sd: of treatment over control; a share of the control mean when relative,
            in units of the metric when absolute.
        scale: relative or absolute.
    """

    mean: float = 0.0
    sd: float = 0.3
    scale: Literal["relative", "absolute"] = "relative"

    def __post_init__(self) -> None:
        is_number = isinstance(self.mean, Real) and isinstance(self.sd, Real)
        is_proper = is_number and abs(self.mean) < math.inf and 0 < self.sd < math.inf
        if is_proper and self.scale in ("relative", "absolute"):
            return
        raise ContractError(
            "the prior is not a proper distribution",
            found=f"mean {self.mean}, sd {self.sd}, scale {self.scale!r}",
            allowed="a finite mean, a positive finite sd, relative or absolute",
            next_step="choose a prior from past experiments, or N(0, 0.3) relative",
        )


@dataclass(frozen=True, slots=True)
class NormalPosterior:
    """Beliefs about many lifts after the data, each field of shape (n_comparisons,).

    Attributes:
        probability_above: that the lift is above 0.
        loss_above: expected lift given away by choosing treatment when more is better,
            E max(0, -lift); loss_below when less is better, E max(0, lift).
    """

    mean: Array
    sd: Array
    lower: Array
    upper: Array
    probability_above: Array
    loss_above: Array
    loss_below: Array


def update_normal(
    lift: Array, error: Array, prior_mean: Array, prior_sd: Array, alpha: float
) -> NormalPosterior:
    """What is believed about each lift after an estimate with a standard error?

    Args:
        lift: estimates, shape (n_comparisons,).
        error: their standard errors, same shape, above 0.
        prior_mean: same shape.
        prior_sd: same shape, above 0.
        alpha: share of belief left outside the credible interval.

    References:
        Gelman and others (2013), section 2.5.
    """
    # a share of the hypotenuse: squares of extreme errors would overflow
    share = prior_sd / np.hypot(prior_sd, error)
    mean = prior_mean + share**2 * (lift - prior_mean)
    sd = error * share
    reach = -ndtri(alpha / 2) * sd
    z = mean / sd
    density = sd * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return NormalPosterior(
        mean=mean,
        sd=sd,
        lower=mean - reach,
        upper=mean + reach,
        probability_above=ndtr(z),
        loss_above=np.maximum(density - mean * ndtr(-z), 0.0),
        loss_below=np.maximum(density + mean * ndtr(z), 0.0),
    )


def estimate_bayes_normal(
    control: MetricTotals,
    treatment: MetricTotals,
    settings: EstimateSettings,
    *,
    prior: NormalPrior | None = None,
    estimator: Estimator = estimate_welch,
) -> Estimate:
    """What should be believed about the lift of the treatment arm?

    `difference` and `relative_lift` are posterior means, the intervals credible ones,
    the standard error the posterior sd; there is no p-value. On the relative scale the
    lift is the estimator's, with the delta method's error, and the difference is lift x
    control mean (the control mean taken as known); on the absolute scale the reverse.

    `details` holds probability_to_beat, expected_loss and expected_loss_control (in the
    metric's good direction, on the prior's scale), the prior, the observed values and
    the sensitivity table.

    Args:
        control: moments of the control arm.
        treatment: moments of the treatment arm.
        settings: metric, role, alpha of the credible interval, least units.
        prior: default N(0, 0.3^2) on the relative lift.
        estimator: any estimator of one look.

    Estimand:
        That of the estimator.

    Assumptions:
        The prior is right for this kind of experiment: only then is stopping at any
        look harmless; the estimate is close to normal.

    Outcomes:
        OK; the estimator's refusals; INSUFFICIENT_DATA with DENOMINATOR_NEAR_ZERO when
        the control mean is within 5 of its errors of 0 and the prior is relative.

    References:
        Gelman and others (2013); Deng, Lu and Chen (2016).
    """
    belief = prior or NormalPrior()
    base = estimator(control, treatment, settings)
    base = replace(base, method=METHOD)
    if not base.is_ok:
        return base
    means = (base.control_mean, base.treatment_mean)
    observed = _observe(base, belief)
    if observed is None:
        return refuse_estimate(
            base_draft(base), Refusal.DENOMINATOR_NEAR_ZERO, means=means
        )
    is_increase = settings.definition.direction is Direction.INCREASE
    return _believe(base, belief, observed, is_increase=is_increase)


def _believe(
    base: Estimate,
    belief: NormalPrior,
    observed: tuple[float, float],
    *,
    is_increase: bool,
) -> Estimate:
    """The row of the posterior, with what was observed beside it."""
    posterior = _update_one(observed, belief, belief.sd, base.alpha)
    details = {
        **base.details,
        "observed_difference": base.difference,
        "observed_relative_lift": base.relative_lift,
        "observed_error": observed[1],
        "prior_mean": belief.mean,
        "prior_sd": belief.sd,
        "scale": belief.scale,
        **describe_posterior(posterior, is_increase=is_increase),
        "sensitivity": tabulate_sensitivity(
            observed, belief, base.alpha, is_increase=is_increase
        ),
    }
    return require_finite(replace(_fill(base, posterior, belief), details=details))


def tabulate_sensitivity(
    observed: tuple[float, float],
    prior: NormalPrior,
    alpha: float,
    *,
    factors: Sequence[float] = SENSITIVITY_FACTORS,
    is_increase: bool = True,
) -> list[dict[str, float]]:
    """How does the conclusion move when the prior is narrower or wider?

    Args:
        observed: lift and its standard error, on the prior's scale.
        prior: the plan's.
        alpha: share of belief outside the credible interval.
        factors: prior sds, in units of the plan's.
        is_increase: more is better.

    Returns:
        One row per factor: prior_sd, lift, ci_lower, ci_upper, probability_to_beat,
        expected_loss, expected_loss_control.
    """
    rows = []
    for factor in factors:
        sd = factor * prior.sd
        posterior = _update_one(observed, prior, sd, alpha)
        rows.append(
            {
                "prior_sd": sd,
                "lift": float(posterior.mean[0]),
                "ci_lower": float(posterior.lower[0]),
                "ci_upper": float(posterior.upper[0]),
                **describe_posterior(posterior, is_increase=is_increase),
            }
        )
    return rows


def describe_posterior(
    posterior: NormalPosterior, *, is_increase: bool
) -> dict[str, float]:
    """Probability to beat control and the losses of both choices."""
    above, loss_above, loss_below = (
        float(values[0])
        for values in (
            posterior.probability_above,
            posterior.loss_above,
            posterior.loss_below,
        )
    )
    return {
        "probability_to_beat": above if is_increase else 1 - above,
        "expected_loss": loss_above if is_increase else loss_below,
        "expected_loss_control": loss_below if is_increase else loss_above,
    }


def base_draft(estimate: Estimate) -> Estimate:
    """The row with its names and counts, without any number."""
    kept = ("experiment_id", "metric_name", "method", "control", "treatment")
    more = ("n_control", "n_treatment", "alpha", "role", "metric_version", "segment")
    values: dict[str, Any] = {name: getattr(estimate, name) for name in (*kept, *more)}
    return Estimate(status=estimate.status, **values)


def _observe(base: Estimate, prior: NormalPrior) -> tuple[float, float] | None:
    """Lift and its error on the prior's scale; None where the scale breaks down."""
    if prior.scale == "absolute":
        return base.difference or 0.0, base.standard_error or 0.0
    error, lift = relative_error(base), base.relative_lift
    mean = base.details.get("baseline_mean") or 0.0
    variance = base.details.get("baseline_variance") or 0.0
    is_near_zero = variance < 0 or mean < NEAR_ZERO_ERRORS * math.sqrt(variance)
    if error is None or lift is None or is_near_zero:
        return None
    return lift, error


def _update_one(
    observed: tuple[float, float], prior: NormalPrior, sd: float, alpha: float
) -> NormalPosterior:
    values = (*observed, prior.mean, sd)
    lift, error, mean, width = (np.array([value]) for value in values)
    with np.errstate(all="ignore"):
        return update_normal(lift, error, mean, width, alpha)


def _fill(base: Estimate, posterior: NormalPosterior, prior: NormalPrior) -> Estimate:
    """Posterior on the prior's scale, and carried over to the other one."""
    numbers = [
        float(values[0])
        for values in (posterior.mean, posterior.lower, posterior.upper, posterior.sd)
    ]
    control = base.control_mean or 0.0
    is_relative = prior.scale == "relative"
    absolute = [value * control for value in numbers] if is_relative else numbers
    share = numbers if is_relative else None
    if not is_relative and control > 0:
        share = [value / control for value in numbers]
    return replace(
        base,
        difference=absolute[0],
        ci_lower=absolute[1],
        ci_upper=absolute[2],
        standard_error=absolute[3],
        relative_lift=share[0] if share else None,
        relative_ci_lower=share[1] if share else None,
        relative_ci_upper=share[2] if share else None,
        relative_method="posterior" if share else None,
        p_value=None,
        relative_p_value=None,
        statistic=None,
        df=None,
    )
