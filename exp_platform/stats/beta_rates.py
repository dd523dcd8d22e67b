"""Two rates with beta distributions: their difference, ratio, and the cost of choosing.

An integral over a beta distribution is a sum over its log odds, where the density is
smooth and falls off on both sides however small the counts are. One arm is summed over,
the other enters by its distribution function; which one is chosen so that the function
has no kink where there is mass.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaln, expit, ndtri

from exp_platform.stats.inference import Array

NODES = 320
"""Points per integral; makes 1e-10 from zero events to millions."""

SOME_EVENTS = 1.5
"""From so many events and non-events on, the tails of the log odds are short."""

NODES_SOME = 128
"""Points per integral there, for arms of about the same size."""

ALIKE = 3.0
"""Arms whose log odds vary in this proportion or less are of about the same size."""

MOST_NODES = 6400

FEW_AT_END = 10.0
"""One rate near 0 and one near 1, with fewer events or non-events than these: the
largest differences end in the corner of both, where no arm is free of a kink."""

LOG_FLOOR = 42.0
"""Log odds are cut where the density is e^-42 of its largest value."""

STEPS = 80


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
class _Nodes:
    """Weighted rates of one arm, each field of shape (n_comparisons, n_nodes)."""

    rates: Array
    weights: Array


@dataclass(frozen=True, slots=True)
class _Pair:
    """Both arms, their nodes, and which rates are nearer to 1 than to 0.

    Attributes:
        is_high: fewer non-events than events, shape (n_comparisons,).
        is_control_narrow: control's log odds vary less, same shape.
    """

    control: Beta
    treatment: Beta
    control_nodes: _Nodes
    treatment_nodes: _Nodes
    is_high: NDArray[np.bool_]
    is_control_narrow: NDArray[np.bool_]


def compare_rates(control: Beta, treatment: Beta, alpha: float) -> RatePosterior:
    """How do two rates compare, given what is believed about each?

    Args:
        control: posterior of the baseline arm's rate.
        treatment: posterior of the compared arm's rate, independent of it.
        alpha: share of belief outside each credible interval.
    """
    needed = _count_nodes(control, treatment)
    found: dict[str, Array] = {}
    for n_nodes in np.unique(needed).tolist():
        rows = needed == n_nodes
        taken = [Beta(arm.a[rows], arm.b[rows]) for arm in (control, treatment)]
        pair = _pair(taken[0], taken[1], n_nodes)
        for name, values in _compare(pair, alpha).items():
            found.setdefault(name, np.empty(needed.size))[rows] = values
    return RatePosterior(**found)


def _compare_sizes(first: Array, second: Array) -> Array:
    """Ratio of two standard deviations, the larger over the smaller one."""
    return np.asarray(np.sqrt(np.maximum(first / second, second / first)))


def _count_nodes(control: Beta, treatment: Beta) -> NDArray[np.int64]:
    """Points per integral, by comparison: so many steps are shared by many of them."""
    fewest = np.minimum.reduce([control.a, control.b, treatment.a, treatment.b])
    # One arm's nodes must resolve the other one, in rates as well as in log odds.
    of_odds = _compare_sizes(*(1 / arm.a + 1 / arm.b for arm in (control, treatment)))
    ratio = np.maximum(of_odds, _compare_sizes(control.variance, treatment.variance))
    doublings = np.ceil(np.log2(np.maximum(ratio / ALIKE, 1)))
    nodes = np.minimum(NODES * 2**doublings, MOST_NODES)
    nodes[(fewest >= SOME_EVENTS) & (ratio <= ALIKE)] = NODES_SOME
    is_apart = _is_low(control) != _is_low(treatment)
    nodes[is_apart & (fewest < FEW_AT_END)] = MOST_NODES
    return np.asarray(nodes, dtype=np.int64)


def _compare(pair: _Pair, alpha: float) -> dict[str, Array]:
    control, treatment = pair.control, pair.treatment
    difference = treatment.mean - control.mean
    sd = np.sqrt(control.variance + treatment.variance)
    centre = np.log(treatment.mean / control.mean)
    ratio_sd = np.sqrt(
        control.variance / control.mean**2 + treatment.variance / treatment.mean**2
    )
    chances = (alpha / 2, 0.5, 1 - alpha / 2)
    limits = [
        _solve(_chance_of_difference, pair, chance, (difference, sd), 1.0)
        for chance in (chances[0], chances[2])
    ]
    lifts = [
        np.expm1(_solve(_chance_of_ratio, pair, chance, (centre, ratio_sd), 700.0))
        for chance in chances
    ]
    above, loss_above, loss_below = _weigh_choices(pair)
    return {
        "difference": difference,
        "sd": sd,
        "lower": limits[0],
        "upper": limits[1],
        "lift": lifts[1],
        "lift_lower": lifts[0],
        "lift_upper": lifts[2],
        "probability_above": above,
        "loss_above": loss_above,
        "loss_below": loss_below,
    }


def _pair(control: Beta, treatment: Beta, n_nodes: int) -> _Pair:
    fewest_events = np.minimum(control.a, treatment.a)
    fewest_others = np.minimum(control.b, treatment.b)
    spreads = [1 / arm.a + 1 / arm.b for arm in (control, treatment)]
    return _Pair(
        control,
        treatment,
        _make_nodes(control, n_nodes),
        _make_nodes(treatment, n_nodes),
        fewest_others < fewest_events,
        spreads[0] <= spreads[1],
    )


def _make_nodes(arm: Beta, n_nodes: int) -> _Nodes:
    centre = np.log(arm.a / arm.b)
    left, right = (_find_edge(arm, centre, side) for side in (-1.0, 1.0))
    odds = np.linspace(left, right, n_nodes, axis=1)
    mass = np.exp(_log_density(arm.a[:, None], arm.b[:, None], odds))
    # The sum is exact; what differs from 1 is rounding in the beta function.
    return _Nodes(expit(odds), mass / mass.sum(axis=1, keepdims=True))


def _log_density(a: Array, b: Array, odds: Array) -> Array:
    """Log density of the log odds of a beta distribution."""
    log_p, log_q = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
    return np.asarray(a * log_p + b * log_q - betaln(a, b))


def _find_edge(arm: Beta, centre: Array, side: float) -> Array:
    """Log odds beyond which the density is negligible."""
    reach = 8 * np.sqrt(1 / arm.a + 1 / arm.b)
    top = _log_density(arm.a, arm.b, centre)
    for _ in range(STEPS):
        is_short = top - _log_density(arm.a, arm.b, centre + side * reach) < LOG_FLOOR
        if not np.any(is_short):
            break
        reach = np.where(is_short, 1.15 * reach, reach)
    return np.asarray(centre + side * reach)


def _choose(
    pair: _Pair, is_control: NDArray[np.bool_]
) -> tuple[Array, Array, Array, Array, NDArray[np.bool_]]:
    """Rates and weights to sum over, the other arm's parameters, and the choice."""
    over = is_control[:, None]
    ours, theirs = pair.control_nodes, pair.treatment_nodes
    return (
        np.where(over, ours.rates, theirs.rates),
        np.where(over, ours.weights, theirs.weights),
        np.where(is_control, pair.treatment.a, pair.control.a)[:, None],
        np.where(is_control, pair.treatment.b, pair.control.b)[:, None],
        over,
    )


def _chance_of_difference(pair: _Pair, value: Array) -> Array:
    """P(treatment - control <= value).

    The summed arm is the one whose shifted rates leave (0, 1) on the side where the
    other arm has next to no density, so that the clipping makes no kink. Where both
    have some, the one is left out of the sum whose end is the smoother.
    """
    ours, theirs = _ends(pair.control, value <= 0), _ends(pair.treatment, value > 0)
    is_smooth = np.where(ours == theirs, pair.is_control_narrow, theirs > ours)
    is_free = (value > 0) ^ pair.is_high
    is_control = np.where(_is_in_corner(pair, value), is_smooth, is_free)
    rates, weights, a, b, over = _choose(pair, is_control)
    edge = np.clip(rates + np.where(over, 1.0, -1.0) * value[:, None], 0, 1)
    below = betainc(a, b, edge)
    chance = np.where(over, below, 1 - below)
    return np.asarray(np.sum(weights * chance, axis=1))


def _is_low(arm: Beta) -> NDArray[np.bool_]:
    """Is the rate nearer to 0 than to 1?"""
    return np.asarray(arm.a < arm.b)


def _is_in_corner(pair: _Pair, value: Array) -> NDArray[np.bool_]:
    """Does the shift lead from one arm's end of (0, 1) to that of the other?"""
    is_up = value > 0
    low = _is_low(pair.control), _is_low(pair.treatment)
    return np.asarray((low[0] == is_up) & (low[1] != is_up))


def _ends(arm: Beta, at_one: NDArray[np.bool_]) -> Array:
    """Power with which the distribution function leaves 0, or reaches 1."""
    return np.where(at_one, arm.b, arm.a)


def _chance_of_ratio(pair: _Pair, log_ratio: Array) -> Array:
    """P(treatment / control <= e^log_ratio); the scaled rates never leave (0, 1)."""
    rates, weights, a, b, over = _choose(pair, log_ratio <= 0)
    edge = rates * np.exp(-np.abs(log_ratio))[:, None]
    below = betainc(a, b, edge)
    chance = np.where(over, below, 1 - below)
    return np.asarray(np.sum(weights * chance, axis=1))


def _weigh_choices(pair: _Pair) -> tuple[Array, Array, Array]:
    """P(treatment > control), E max(0, control - treatment) and the reverse."""
    rates, weights, a, b, over = _choose(pair, pair.is_control_narrow)
    mean = a / (a + b)
    above, below = betaincc(a, b, rates), betainc(a, b, rates)
    over_rate = mean * betaincc(a + 1, b, rates) - rates * above
    under_rate = rates * below - mean * betainc(a + 1, b, rates)
    chance, other_over, other_under = (
        np.sum(weights * values, axis=1)
        for values in (
            np.where(over, above, below),
            np.maximum(over_rate, 0.0),
            np.maximum(under_rate, 0.0),
        )
    )
    is_control = over[:, 0]
    return (
        np.minimum(chance, 1.0),  # weights add up to 1 but for rounding
        np.where(is_control, other_under, other_over),
        np.where(is_control, other_over, other_under),
    )


def _solve(
    chance_of: Callable[[_Pair, Array], Array],
    pair: _Pair,
    chance: float,
    guess: tuple[Array, Array],
    limit: float,
) -> Array:
    """Quantiles, by the Illinois form of the rule of false position.

    Args:
        chance_of: distribution function, rising.
        pair: both arms.
        chance: 0 to 1.
        guess: mean and sd of a normal approximation.
        limit: largest size a quantile can have.
    """
    centre, sd = guess
    start = centre + ndtri(chance) * sd
    low, f_low = _bracket(chance_of, pair, chance, (start, -sd / 4), limit)
    high, f_high = _bracket(chance_of, pair, chance, (start, sd / 4), limit)
    middle, side = start.copy(), np.zeros_like(low)
    open_ = np.arange(start.size)
    for _ in range(STEPS):
        a, b, f_a, f_b = low[open_], high[open_], f_low[open_], f_high[open_]
        with np.errstate(all="ignore"):
            x = (a * f_b - b * f_a) / (f_b - f_a)
        x = np.where(np.isfinite(x) & (x > a) & (x < b), x, (a + b) / 2)
        gap = chance_of(_take(pair, open_), x) - chance
        is_low, before = gap < 0, side[open_]
        low[open_], high[open_] = np.where(is_low, x, a), np.where(is_low, b, x)
        f_low[open_] = np.where(is_low, gap, np.where(before > 0, f_a / 2, f_a))
        f_high[open_] = np.where(is_low, np.where(before < 0, f_b / 2, f_b), gap)
        side[open_], middle[open_] = np.where(is_low, -1.0, 1.0), x
        is_done = (np.abs(gap) < 1e-13) | (high[open_] - low[open_] < 1e-15)
        open_ = open_[~is_done]
        if not open_.size:
            break
    return np.asarray(middle)


def _bracket(
    chance_of: Callable[[_Pair, Array], Array],
    pair: _Pair,
    chance: float,
    start: tuple[Array, Array],
    limit: float,
) -> tuple[Array, Array]:
    """A value on one side of the quantile and its gap, by growing steps."""
    value, step = np.clip(start[0], -limit, limit), start[1]
    gap = chance_of(pair, value) - chance
    for _ in range(STEPS):
        # A start cut off at the limit may still go back from it.
        at_end = value * np.sign(step) >= limit
        is_beyond = np.where(step > 0, gap >= 0, gap <= 0) | at_end
        open_ = np.flatnonzero(~is_beyond)
        if not open_.size:
            break
        value[open_] = np.clip(value[open_] + step[open_], -limit, limit)
        gap[open_] = chance_of(_take(pair, open_), value[open_]) - chance
        step = 2 * step
    return value, gap


def _take(pair: _Pair, rows: NDArray[np.intp]) -> _Pair:
    control, treatment = (
        Beta(arm.a[rows], arm.b[rows]) for arm in (pair.control, pair.treatment)
    )
    nodes = [
        _Nodes(part.rates[rows], part.weights[rows])
        for part in (pair.control_nodes, pair.treatment_nodes)
    ]
    narrow = pair.is_control_narrow[rows]
    return _Pair(control, treatment, nodes[0], nodes[1], pair.is_high[rows], narrow)
