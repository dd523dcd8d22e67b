"""Bayesian comparison of proportions: beta priors, integrals instead of normals."""

import math
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from exp_platform.errors import ContractError
from exp_platform.records import Direction, Estimate, EstimateStatus, MetricTotals
from exp_platform.stats.beta_rates import Beta, RatePosterior, compare_rates
from exp_platform.stats.draft import (
    Refusal,
    draft_estimate,
    find_refusal,
    refuse_estimate,
)
from exp_platform.stats.proportion import count_events, is_share
from exp_platform.stats.score import Counts
from exp_platform.stats.settings import EstimateSettings

METHOD = "bayes_beta_binomial"

SENSITIVITY_UNITS = (0.0, 10.0, 100.0, 1000.0)
"""Prior units of the sensitivity table: added to both arms at the pooled rate, they
pull the arms together."""


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """Beta(events, non_events) for each arm's rate; the default is Jeffreys'."""

    events: float = 0.5
    non_events: float = 0.5

    def __post_init__(self) -> None:
        given = (self.events, self.non_events)
        if all(isinstance(one, Real) and 0 < one < math.inf for one in given):
            return
        raise ContractError(
            "the prior is not a proper distribution",
            found=f"Beta({self.events}, {self.non_events})",
            allowed="two positive numbers",
            next_step="use Jeffreys' prior, Beta(0.5, 0.5), or past experiments",
        )


def update_rates(counts: Counts, prior: BetaPrior) -> tuple[Beta, Beta]:
    """Posteriors of control and treatment after the counts."""
    events = (counts.control_events, counts.treatment_events)
    units = (counts.control_n, counts.treatment_n)
    control, treatment = (
        Beta(prior.events + x, prior.non_events + n - x)
        for x, n in zip(events, units, strict=True)
    )
    return control, treatment


def estimate_bayes_proportions(
    control: MetricTotals,
    treatment: MetricTotals,
    settings: EstimateSettings,
    *,
    prior: BetaPrior | None = None,
) -> Estimate:
    """What should be believed about the difference of two shares of units?

    `difference` is the posterior mean, `relative_lift` the posterior median of
    treatment / control - 1, the intervals are credible ones; there is no p-value.
    `details` holds probability_to_beat, expected_loss and expected_loss_control (in the
    metric's good direction), the prior and the sensitivity table.

    Args:
        control: totals of the control arm.
        treatment: totals of the treatment arm.
        settings: metric, role, alpha of the credible interval, least units.
        prior: of each arm's rate, independent; default Jeffreys.

    Estimand:
        Average effect of being assigned to the treatment, over exposed units.

    Assumptions:
        One yes or no per independently randomised unit; the prior is right.

    Outcomes:
        OK, also without any event; INSUFFICIENT_DATA with TOO_FEW_UNITS;
        METRIC_ERRORED with INVALID_MOMENTS or NOT_A_PROPORTION.

    References:
        Gelman and others (2013), section 2.4.
    """
    belief = prior or BetaPrior()
    draft = draft_estimate(METHOD, control, treatment, settings)
    means = (control.mean, treatment.mean)
    reason = find_refusal(draft, settings.min_units_per_arm, means, variances=())
    if reason is None and not all(map(is_share, (control, treatment))):
        reason = Refusal.NOT_A_PROPORTION
    if reason is not None:
        return refuse_estimate(draft, reason, means=means)
    return _believe(
        replace(draft, control_mean=control.mean, treatment_mean=treatment.mean),
        count_events(control, treatment),
        belief,
        is_increase=settings.definition.direction is Direction.INCREASE,
    )


def _believe(
    draft: Estimate, counts: Counts, belief: BetaPrior, *, is_increase: bool
) -> Estimate:
    """The row of the posterior."""
    found = compare_rates(*update_rates(counts, belief), draft.alpha)
    numbers = _first_of(found)
    return replace(
        draft,
        status=EstimateStatus.OK,
        difference=numbers["difference"],
        standard_error=numbers["sd"],
        ci_lower=numbers["lower"],
        ci_upper=numbers["upper"],
        relative_lift=numbers["lift"],
        relative_ci_lower=numbers["lift_lower"],
        relative_ci_upper=numbers["lift_upper"],
        relative_method="posterior_median",
        details={
            "prior_events": belief.events,
            "prior_non_events": belief.non_events,
            **_choices(numbers, is_increase=is_increase),
            "sensitivity": _tabulate(counts, belief, draft.alpha, is_increase),
        },
    )


def _tabulate(
    counts: Counts, prior: BetaPrior, alpha: float, is_increase: bool
) -> list[dict[str, float]]:
    """The conclusion under priors that hold more and more units."""
    events = counts.control_events + counts.treatment_events
    rate = float(((events + 0.5) / (counts.n + 1))[0])
    rows = []
    for units in SENSITIVITY_UNITS:
        added = BetaPrior(
            prior.events + units * rate, prior.non_events + units * (1 - rate)
        )
        found = compare_rates(*update_rates(counts, added), alpha)
        numbers = _first_of(found)
        rows.append(
            {
                "prior_units": units,
                "difference": numbers["difference"],
                "ci_lower": numbers["lower"],
                "ci_upper": numbers["upper"],
                **_choices(numbers, is_increase=is_increase),
            }
        )
    return rows


def _first_of(found: RatePosterior) -> dict[str, float]:
    names = RatePosterior.__dataclass_fields__
    return {name: float(getattr(found, name)[0]) for name in names}


def _choices(numbers: dict[str, Any], *, is_increase: bool) -> dict[str, float]:
    above = numbers["probability_above"]
    losses = (numbers["loss_above"], numbers["loss_below"])
    return {
        "probability_to_beat": above if is_increase else 1 - above,
        "expected_loss": losses[0 if is_increase else 1],
        "expected_loss_control": losses[1 if is_increase else 0],
    }
