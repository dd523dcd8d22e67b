"""Power, sample size, smallest effect and run time of an experiment to be."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import nctdtr, ndtr, ndtri, stdtrit

from exp_platform.records import Direction, MarginScale
from exp_platform.stats.design import Design, Noise, Target
from exp_platform.stats.welch import welch_df

MOST_UNITS = 1e12
"""Beyond so many units a target counts as out of reach."""

FEWEST_UNITS = 2
"""Units of an arm below which no method compares it."""

HALVINGS = 200


@dataclass(frozen=True, slots=True)
class MetricDesign:
    """One goal or guardrail of an experiment to be."""

    metric_name: str
    noise: Noise
    target: Target

    @property
    def is_guardrail(self) -> bool:
        """It has a margin to stay inside."""
        return self.target.margin is not None


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Units that one metric, or a whole experiment, needs.

    Attributes:
        n_exact: units of all arms before rounding up; None = out of reach.
        n_control, n_treatment: units of control and of each treatment arm.
        days: whole days to collect them and let them mature; None = traffic unknown.
        alpha: of the metric's test: two-sided for a goal, one-sided for a guardrail.
        power: of the metric's test at that size.
        reason: coded cause of no number, else "".
    """

    metric_name: str
    alpha: float
    power: float | None
    n_exact: float | None
    n_control: int | None
    n_treatment: int | None
    n_total: int | None
    days: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExperimentSize:
    """Units an experiment needs so that it ships what deserves it.

    Attributes:
        metrics: each metric's own need.
        total: the experiment's; its power is the least P(SHIP | targets), whatever
            the metrics' dependence, for one treatment arm.
        powers: of each metric at that size, in the order of `metrics`.
    """

    metrics: tuple[SampleSize, ...]
    total: SampleSize
    powers: tuple[float, ...]


def find_power(noise: Noise, target: Target, design: Design, n_total: float) -> float:
    """How likely is the target found with so many units?

    Args:
        noise: of the metric.
        target: true difference, or margin of a guardrail.
        design: arms and error rates.
        n_total: units of all arms.

    Estimand:
        Probability that the two-sided test of one goal at Holm's first step rejects
        (either tail), or that a guardrail's one-sided test does.

    Assumptions:
        Both arms vary alike; means are normal (t: noncentral t with Welch's degrees of
        freedom). Looks act like a smaller sample: units / (inflation x their cost).

    References:
        Cohen (1988); Fleiss, Levin and Paik (2003), pooled variance of proportions.
    """
    cost = design.cost_of(is_guardrail=target.margin is not None)
    n = n_total / (design.inflation * cost.inflation)
    n_control, n_treatment = (share * n for share in design.shares)
    if min(n_control, n_treatment) <= 1 or _lacks_baseline(noise, target):
        return 0.0
    arms = _arms(noise, target, n_control, n_treatment)
    if target.margin is not None:
        return _margin_power(arms, noise, target, design.guardrail_alpha)
    if noise.test == "pooled_z":
        return _pooled_power(noise, target, design.goal_alpha, arms)
    quantile = float(stdtrit(arms.df, 1 - design.goal_alpha / 2))
    shift = abs(target.difference) / math.sqrt(arms.control + arms.treatment)
    return (
        1
        - _share_below(quantile, arms.df, shift)
        + _share_below(-quantile, arms.df, shift)
    )


def find_units(metric: MetricDesign, design: Design) -> SampleSize:
    """How many units find the target with the wanted power?

    A goal gets power 1 - beta at Holm's first alpha, a guardrail 1 - beta / guardrails
    one-sided.

    Args:
        metric: noise and target.
        design: arms and error rates.

    Outcomes:
        A size, or none with NO_EFFECT, IMPOSSIBLE_RATE, CONTROL_MEAN_NOT_POSITIVE or
        OUT_OF_REACH.

    References:
        Schultzberg, Ankargren and Frånberg (2024), power of a decision rule.
    """
    reason = _find_impossible(metric)
    wanted = design.guardrail_power if metric.is_guardrail else design.power

    def excess(n: float) -> float:
        """Power above the wanted one, in units."""
        return find_power(metric.noise, metric.target, design, n) - wanted

    least = FEWEST_UNITS / min(design.shares)
    n = None if reason else _find_root(excess, least, MOST_UNITS)
    return _describe_size(metric, design, n, reason)


def find_mde(
    noise: Noise,
    design: Design,
    n_total: float,
    *,
    direction: Direction = Direction.INCREASE,
) -> float | None:
    """Which is the smallest difference found with the wanted power?

    Args:
        noise: of the metric.
        design: arms and error rates.
        n_total: units of all arms.
        direction: of the difference; matters for proportions.

    Returns:
        The difference with its sign, in units of the metric; None where even the
        largest one is not found.
    """
    sign = 1 if direction is Direction.INCREASE else -1
    largest = math.sqrt(noise.variance) * 1e6
    if noise.test == "pooled_z":
        largest = (1 - noise.mean if sign > 0 else noise.mean) * (1 - 1e-12)

    def excess(size: float) -> float:
        """Power above the wanted one, in the effect's size."""
        return find_power(noise, Target(sign * size), design, n_total) - design.power

    size = _find_root(excess, largest * 1e-15, largest)
    return None if size is None else sign * size


def find_margin(
    noise: Noise, target: Target, design: Design, n_total: float
) -> float | None:
    """Which is the smallest margin that a guardrail keeps with the wanted power?

    Args:
        noise: of the metric.
        target: of a guardrail; its margin's size is not read, its scale is.
        design: arms and error rates.
        n_total: units of all arms.

    Returns:
        The margin on the target's scale; None where none below 1 (relative) does.
    """
    is_relative = target.margin_scale is MarginScale.RELATIVE
    largest = 1.0 if is_relative else math.sqrt(noise.variance) * 1e6

    def excess(margin: float) -> float:
        """Power above the wanted one, in the margin."""
        wanted = replace(target, margin=margin)
        return find_power(noise, wanted, design, n_total) - design.guardrail_power

    return _find_root(excess, largest * 1e-15, largest)


def find_days(design: Design, n_total: float) -> int | None:
    """How many whole days collect so many units and let them mature?"""
    if design.units_per_day is None:
        return None
    collecting = max(math.ceil(n_total / design.units_per_day), design.least_days)
    return collecting + math.ceil(design.window_days)


def size_experiment(
    metrics: Sequence[MetricDesign], design: Design
) -> ExperimentSize | None:
    """How many units ship an arm that deserves it with the wanted power?

    Every metric has its own size. The experiment takes the largest and grows until
    P(SHIP | targets) >= power in the worst dependence: the best goal's power less every
    guardrail's chance to fail. [Power .8 for each of 3 goals and 3 guardrails alone
    would ship .32.]

    Args:
        metrics: goals and guardrails with their targets; their numbers replace those of
            the design.
        design: arms and error rates.

    Returns:
        None without a goal.
    """
    n_guardrails = sum(metric.is_guardrail for metric in metrics)
    n_goals = len(metrics) - n_guardrails
    if n_goals == 0:
        return None
    plan = replace(design, n_goals=n_goals, n_guardrails=n_guardrails)
    sizes = tuple(find_units(metric, plan) for metric in metrics)

    def excess(n: float) -> float:
        """Probability of shipping above the wanted one."""
        return _ship_probability(_powers(metrics, plan, n), metrics) - plan.power

    needs = [size.n_exact for size in sizes]
    reason = next((size.reason for size in sizes if size.reason), "")
    n = None
    if not reason:
        largest = max(need for need in needs if need is not None)
        n = _find_root(excess, largest, MOST_UNITS)
        reason = "" if n else "OUT_OF_REACH"
    total = _sized("", plan, n, plan.goal_alpha, reason)
    powers = _powers(metrics, plan, total.n_total) if total.n_total else ()
    ship = _ship_probability(powers, metrics) if powers else None
    return ExperimentSize(sizes, replace(total, power=ship), powers)


def find_ship_power(metrics: Sequence[MetricDesign], design: Design, n: float) -> float:
    """How likely do so many units ship an arm that deserves it?

    Args:
        metrics: goals, at least one, and guardrails with their targets; their numbers
            replace those of the design.
        design: arms and error rates.
        n: units of all arms.

    Returns:
        P(SHIP | targets) in the worst dependence between the metrics.
    """
    n_guardrails = sum(metric.is_guardrail for metric in metrics)
    n_goals = len(metrics) - n_guardrails
    plan = replace(design, n_goals=n_goals, n_guardrails=n_guardrails)
    return _ship_probability(_powers(metrics, plan, n), metrics)


def _powers(
    metrics: Sequence[MetricDesign], design: Design, n: float
) -> tuple[float, ...]:
    return tuple(find_power(m.noise, m.target, design, n) for m in metrics)


def _ship_probability(
    powers: Sequence[float], metrics: Sequence[MetricDesign]
) -> float:
    """Least probability that a goal is found and every guardrail holds."""
    pairs = list(zip(powers, metrics, strict=True))
    goal = max(power for power, metric in pairs if not metric.is_guardrail)
    failing = sum(1 - power for power, metric in pairs if metric.is_guardrail)
    return max(goal - failing, 0.0)


@dataclass(frozen=True, slots=True)
class _Arms:
    """Sampling variances of both means and the degrees of freedom of their test."""

    control: float
    treatment: float
    df: float
    n_control: float
    n_treatment: float


def _arms(noise: Noise, target: Target, n_control: float, n_treatment: float) -> _Arms:
    variance = noise.variance * noise.variance_ratio
    control, treatment = variance / n_control, variance / n_treatment
    if noise.test == "pooled_z":
        rate = noise.mean + target.difference
        treatment = rate * (1 - rate) / n_treatment
    df = math.inf
    if noise.test == "t":
        control_v, treatment_v, n_c, n_t = np.array(
            [[control], [treatment], [n_control], [n_treatment]]
        )
        df = float(welch_df(control_v, treatment_v, n_c, n_t)[0])
    return _Arms(control, treatment, df, n_control, n_treatment)


def _pooled_power(noise: Noise, target: Target, alpha: float, arms: _Arms) -> float:
    """The test has the pooled variance, its statistic the separate ones."""
    n = arms.n_control + arms.n_treatment
    rate = noise.mean + target.difference * arms.n_treatment / n
    pooled = rate * (1 - rate) * (1 / arms.n_control + 1 / arms.n_treatment)
    threshold = float(ndtri(1 - alpha / 2)) * math.sqrt(pooled)
    spread = math.sqrt(arms.control + arms.treatment)
    size = abs(target.difference)
    lower = ndtr((-threshold - size) / spread)
    return float(ndtr((size - threshold) / spread) + lower)


def _margin_power(arms: _Arms, noise: Noise, target: Target, alpha: float) -> float:
    good = 1.0 if target.direction is Direction.INCREASE else -1.0
    allowed, weight = target.margin or 0.0, 1.0
    if target.margin_scale is MarginScale.RELATIVE:
        weight = 1 - good * allowed
        allowed *= noise.mean
    spread = math.sqrt(weight**2 * arms.control + arms.treatment)
    shift = (good * target.difference + allowed) / spread
    return 1 - _share_below(float(stdtrit(arms.df, 1 - alpha)), arms.df, shift)


def _share_below(x: float, df: float, shift: float) -> float:
    """Distribution function of noncentral t.

    scipy's has isolated holes (NaN) far out in the tails; Johnson and Kraemer's normal
    approximation fills them, where nothing but its order of magnitude is left.
    """
    share = float(nctdtr(df, shift, x))
    if not math.isnan(share):
        return share
    spread = math.sqrt(1 + x**2 / (2 * df))
    return float(ndtr((x * (1 - 1 / (4 * df)) - shift) / spread))


def _find_impossible(metric: MetricDesign) -> str:
    noise, target = metric.noise, metric.target
    if noise.test == "pooled_z" and not 0 < noise.mean + target.difference < 1:
        return "IMPOSSIBLE_RATE"
    if target.margin is None:
        return "NO_EFFECT" if target.difference == 0 else ""
    good = 1.0 if target.direction is Direction.INCREASE else -1.0
    is_relative = target.margin_scale is MarginScale.RELATIVE
    if _lacks_baseline(noise, target):
        return "CONTROL_MEAN_NOT_POSITIVE"
    scale = noise.mean if is_relative else 1.0
    return "" if good * target.difference + target.margin * scale > 0 else "NO_EFFECT"


def _lacks_baseline(noise: Noise, target: Target) -> bool:
    """A margin relative to a mean that is not positive: its guardrail is UNKNOWN."""
    is_relative = target.margin_scale is MarginScale.RELATIVE
    return target.margin is not None and is_relative and noise.mean <= 0


def _find_root(
    excess: Callable[[float], float], low: float, high: float
) -> float | None:
    """Where an increasing function turns positive, by halving on the log scale."""
    if excess(high) < 0:
        return None
    if excess(low) >= 0:
        return low
    for _ in range(HALVINGS):
        middle = math.sqrt(low * high)
        if not low < middle < high:
            break
        low, high = (low, middle) if excess(middle) >= 0 else (middle, high)
    return high


def _describe_size(
    metric: MetricDesign, design: Design, n: float | None, reason: str
) -> SampleSize:
    alpha = design.guardrail_alpha if metric.is_guardrail else design.goal_alpha
    why = reason or ("" if n else "OUT_OF_REACH")
    size = _sized(metric.metric_name, design, n, alpha, why)
    if size.n_total is None:
        return size
    power = find_power(metric.noise, metric.target, design, size.n_total)
    return replace(size, power=power)


def _sized(
    name: str, design: Design, n: float | None, alpha: float, reason: str
) -> SampleSize:
    if n is None:
        return SampleSize(name, alpha, None, None, None, None, None, None, reason)
    # A root a rounding above a whole number is that number.
    control, treatment = (math.ceil(share * n - 1e-6) for share in design.shares)
    total = control + treatment * design.n_treatments
    days = find_days(design, total)
    return SampleSize(name, alpha, None, n, control, treatment, total, days)
