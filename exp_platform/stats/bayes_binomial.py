"""Bayesian comparison of proportions: beta priors, integrals instead of approximations.

An integral over a beta distribution is a sum over its log odds, where the density is
smooth and falls off on both sides however small the counts are. The narrower arm is
summed over, the wider one enters by its distribution function.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaln, expit, ndtri

from exp_platform.errors import ContractError
from exp_platform.records import Direction, Estimate, EstimateStatus, MetricTotals
from exp_platform.stats.draft import (
    Refusal,
    draft_estimate,
    find_refusal,
    refuse_estimate,
)
from exp_platform.stats.inference import Array
from exp_platform.stats.proportion import count_events
from exp_platform.stats.score import Counts
from exp_platform.stats.settings import EstimateSettings

METHOD = "bayes_beta_binomial"

NODES = 320
"""Points per integral; makes 1e-12 from zero events to millions."""

MANY_EVENTS = 30.0
"""Above so many events and non-events, a beta's log odds are close to normal."""

NODES_MANY = 64
"""Points per integral there; makes 1e-12 as well."""

LOG_FLOOR = 42.0
"""Log odds are cut where the density is e^-42 of its largest value."""

STEPS = 80

SENSITIVITY_UNITS = (0.0, 10.0, 100.0, 1000.0)
"""Prior units of the sensitivity table: added to both arms at the pooled rate, they
pull the arms together."""


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """Beta(events, non_events) for each arm's rate; the default is Jeffreys'."""

    events: float = 0.5
    non_events: float = 0.5

    def __post_init__(self) -> None:
        if all(0 < value < math.inf for value in (self.events, self.non_events)):
            return
        raise ContractError(
            "the prior is not a proper distribution",
            found=f"Beta({self.events}, {self.non_events})",
            allowed="two positive numbers",
            next_step="use Jeffreys' prior, Beta(0.5, 0.5), or past experiments",
        )


@dataclass(frozen=True, slots=True)
class Beta:
    """Beta distributions of many rates, each field of shape (n_comparisons,)."""

    a: Array
    b: Array

    @property
    def mean(self) -> Array:
        """Expected rate."""
        return self.a / (self.a + self.b)

    @property
    def variance(self) -> Array:
        """Variance of the rate."""
        total = self.a + self.b
        return self.a * self.b / (total**2 * (total + 1))


@dataclass(frozen=True, slots=True)
class RatePosterior:
    """Beliefs about treatment against control, each field of shape (n_comparisons,).

    Attributes:
        difference, sd: posterior mean and sd of treatment - control.
        lower, upper: equal-tailed credible limits of the difference.
        lift, lift_lower, lift_upper: posterior median and limits of the relative lift.
        probability_above: that treatment's rate is the higher one.
        loss_above: E max(0, control - treatment), given away by choosing treatment
            when more is better; loss_below: E max(0, treatment - control).
    """

    difference: Array
    sd: Array
    lower: Array
    upper: Array
    lift: Array
    lift_lower: Array
    lift_upper: Array
    probability_above: Array
    loss_above: Array
    loss_below: Array


@dataclass(frozen=True, slots=True)
class _Grid:
    """Weighted rates of the narrower arm and the other arm's distribution.

    Attributes:
        rates, weights: shape (n_comparisons, n_nodes).
        other: shape (n_comparisons, 1) parameters.
        is_control: the summed arm is control, shape (n_comparisons, 1).
    """

    rates: Array
    weights: Array
    other: Beta
    is_control: NDArray[np.bool_]


def compare_rates(control: Beta, treatment: Beta, alpha: float) -> RatePosterior:
    """How do two rates compare, given what is believed about each?

    Args:
        control: posterior of the baseline arm's rate.
        treatment: posterior of the compared arm's rate, independent of it.
        alpha: share of belief outside each credible interval.
    """
    fewest = np.minimum.reduce([control.a, control.b, treatment.a, treatment.b])
    is_many = fewest >= MANY_EVENTS
    found: dict[str, Array] = {}
    for rows, n_nodes in ((is_many, NODES_MANY), (~is_many, NODES)):
        if np.any(rows):
            arms = (Beta(arm.a[rows], arm.b[rows]) for arm in (control, treatment))
            part = _compare(*arms, alpha, n_nodes)
            for name, values in part.items():
                found.setdefault(name, np.empty(fewest.size))[rows] = values
    return RatePosterior(**found)


def _compare(
    control: Beta, treatment: Beta, alpha: float, n_nodes: int
) -> dict[str, Array]:
    grid = _make_grid(control, treatment, n_nodes)
    sd = np.sqrt(control.variance + treatment.variance)
    difference = treatment.mean - control.mean
    zero = np.zeros_like(difference)
    chances = (alpha / 2, 0.5, 1 - alpha / 2)
    ratio_sd = np.sqrt(
        control.variance / control.mean**2 + treatment.variance / treatment.mean**2
    )
    centre = np.log(treatment.mean / control.mean)
    limits = [
        _solve(_chance_of_difference, grid, chance, (difference, sd), 1.0)
        for chance in (chances[0], chances[2])
    ]
    lifts = [
        np.expm1(_solve(_chance_of_ratio, grid, c, (centre, ratio_sd), 700.0))
        for c in chances
    ]
    loss_above, loss_below = _expected_losses(grid)
    return {
        "difference": difference,
        "sd": sd,
        "lower": limits[0],
        "upper": limits[1],
        "lift": lifts[1],
        "lift_lower": lifts[0],
        "lift_upper": lifts[2],
        "probability_above": _chance_above(grid, zero),
        "loss_above": loss_above,
        "loss_below": loss_below,
    }


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
    if reason is None and not all(0 <= (mean or 0) <= 1 for mean in means):
        reason = Refusal.NOT_A_PROPORTION
    if reason is not None:
        return refuse_estimate(draft, reason, means=means)
    counts = count_events(control, treatment)
    found = compare_rates(*update_rates(counts, belief), settings.alpha)
    is_increase = settings.definition.direction is Direction.INCREASE
    numbers = _first_of(found)
    return replace(
        draft,
        status=EstimateStatus.OK,
        control_mean=control.mean,
        treatment_mean=treatment.mean,
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
            "sensitivity": _tabulate(counts, belief, settings.alpha, is_increase),
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


def _make_grid(control: Beta, treatment: Beta, n_nodes: int) -> _Grid:
    """Nodes of the arm whose log odds vary less."""
    spreads = [1 / arm.a + 1 / arm.b for arm in (control, treatment)]
    is_control = spreads[0] <= spreads[1]
    a = np.where(is_control, control.a, treatment.a)
    b = np.where(is_control, control.b, treatment.b)
    other = Beta(
        np.where(is_control, treatment.a, control.a)[:, None],
        np.where(is_control, treatment.b, control.b)[:, None],
    )
    centre = np.log(a / b)
    left, right = (_find_edge(a, b, centre, side) for side in (-1.0, 1.0))
    share = np.linspace(0, 1, n_nodes)
    odds = left[:, None] + (right - left)[:, None] * share
    mass = np.exp(_log_density(a[:, None], b[:, None], odds))
    # The sum is exact; what differs from 1 is rounding in the beta function.
    weights = mass / mass.sum(axis=1, keepdims=True)
    return _Grid(expit(odds), weights, other, is_control[:, None])


def _log_density(a: Array, b: Array, odds: Array) -> Array:
    """Log density of the log odds of a beta distribution."""
    log_p, log_q = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
    return np.asarray(a * log_p + b * log_q - betaln(a, b))


def _find_edge(a: Array, b: Array, centre: Array, side: float) -> Array:
    """Log odds beyond which the density is negligible."""
    reach = 8 * np.sqrt(1 / a + 1 / b)
    top = _log_density(a, b, centre)
    for _ in range(STEPS):
        is_short = top - _log_density(a, b, centre + side * reach) < LOG_FLOOR
        if not np.any(is_short):
            break
        reach = np.where(is_short, 1.15 * reach, reach)
    return np.asarray(centre + side * reach)


def _chance_above(grid: _Grid, difference: Array) -> Array:
    """P(treatment - control > difference)."""
    shift = np.where(grid.is_control, 1.0, -1.0) * difference[:, None]
    edge = np.clip(grid.rates + shift, 0, 1)
    a, b = grid.other.a, grid.other.b
    chance = np.where(grid.is_control, betaincc(a, b, edge), betainc(a, b, edge))
    return np.asarray(np.sum(grid.weights * chance, axis=1))


def _chance_of_difference(grid: _Grid, value: Array) -> Array:
    return 1 - _chance_above(grid, value)


def _chance_of_ratio(grid: _Grid, log_ratio: Array) -> Array:
    """P(treatment / control <= e^log_ratio)."""
    turn = np.where(grid.is_control, 1.0, -1.0) * log_ratio[:, None]
    edge = np.clip(grid.rates * np.exp(np.clip(turn, -700, 700)), 0, 1)
    a, b = grid.other.a, grid.other.b
    chance = np.where(grid.is_control, betainc(a, b, edge), betaincc(a, b, edge))
    return np.asarray(np.sum(grid.weights * chance, axis=1))


def _solve(
    chance_of: Callable[[_Grid, Array], Array],
    grid: _Grid,
    chance: float,
    guess: tuple[Array, Array],
    limit: float,
) -> Array:
    """Quantiles, by the Illinois form of the rule of false position.

    Args:
        chance_of: distribution function, rising.
        grid: what it is summed over.
        chance: 0 to 1.
        guess: mean and sd of a normal approximation.
        limit: largest size a quantile can have.
    """
    centre, sd = guess
    start = centre + ndtri(chance) * sd
    low, f_low = _bracket(chance_of, grid, chance, (start, -sd / 4), limit)
    high, f_high = _bracket(chance_of, grid, chance, (start, sd / 4), limit)
    middle, side = start.copy(), np.zeros_like(low)
    open_ = np.arange(start.size)
    for _ in range(STEPS):
        a, b, f_a, f_b = low[open_], high[open_], f_low[open_], f_high[open_]
        with np.errstate(all="ignore"):
            x = (a * f_b - b * f_a) / (f_b - f_a)
        x = np.where(np.isfinite(x) & (x > a) & (x < b), x, (a + b) / 2)
        gap = chance_of(_take(grid, open_), x) - chance
        is_low, before = gap < 0, side[open_]
        low[open_], high[open_] = np.where(is_low, x, a), np.where(is_low, b, x)
        f_low[open_] = np.where(is_low, gap, np.where(before > 0, f_a / 2, f_a))
        f_high[open_] = np.where(is_low, np.where(before < 0, f_b / 2, f_b), gap)
        side[open_], middle[open_] = np.where(is_low, -1.0, 1.0), x
        is_done = (np.abs(gap) < 1e-13) | (high[open_] - low[open_] < 1e-15)
        open_ = open_[~is_done]
        if not open_.size:
            break
    return middle


def _bracket(
    chance_of: Callable[[_Grid, Array], Array],
    grid: _Grid,
    chance: float,
    start: tuple[Array, Array],
    limit: float,
) -> tuple[Array, Array]:
    """A value on one side of the quantile and its gap, by growing steps."""
    value, step = np.clip(start[0], -limit, limit), start[1]
    gap = chance_of(grid, value) - chance
    for _ in range(STEPS):
        is_beyond = np.where(step > 0, gap >= 0, gap <= 0) | (np.abs(value) >= limit)
        open_ = np.flatnonzero(~is_beyond)
        if not open_.size:
            break
        value[open_] = np.clip(value[open_] + step[open_], -limit, limit)
        gap[open_] = chance_of(_take(grid, open_), value[open_]) - chance
        step = 2 * step
    return value, gap


def _take(grid: _Grid, rows: NDArray[np.intp]) -> _Grid:
    other = Beta(grid.other.a[rows], grid.other.b[rows])
    return _Grid(grid.rates[rows], grid.weights[rows], other, grid.is_control[rows])


def _expected_losses(grid: _Grid) -> tuple[Array, Array]:
    """E max(0, control - treatment) and E max(0, treatment - control)."""
    a, b, rates = grid.other.a, grid.other.b, grid.rates
    mean = grid.other.mean
    over = mean * betaincc(a + 1, b, rates) - rates * betaincc(a, b, rates)
    under = rates * betainc(a, b, rates) - mean * betainc(a + 1, b, rates)
    other_above, other_below = (
        np.sum(grid.weights * np.maximum(values, 0.0), axis=1)
        for values in (over, under)
    )
    is_control = grid.is_control[:, 0]
    return (
        np.where(is_control, other_below, other_above),
        np.where(is_control, other_above, other_below),
    )
