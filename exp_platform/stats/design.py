"""What an experiment is planned to be: its arms, its error rates, its metrics' noise."""

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Literal

from exp_platform.errors import UsageError
from exp_platform.records import (
    Direction,
    MarginScale,
    MetricTotals,
    MetricType,
    QuantileTotals,
)
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.draft import Refusal, judge_spread, spread_of
from exp_platform.stats.proportion import is_share
from exp_platform.stats.ratio import has_denominator, ratio_arm
from exp_platform.stats.sequential_cost import SequentialCost
from exp_platform.stats.settings import EstimateSettings

PowerTest = Literal["t", "normal", "pooled_z"]


@dataclass(frozen=True, slots=True)
class Noise:
    """How one unit's value of a metric varies, in both arms alike.

    Attributes:
        mean: in control, in units of the metric.
        variance: of one unit's value, linearised for a ratio or a quantile.
        test: of the difference that will be made; `pooled_z` takes the variance from
            the proportions instead.
        variance_ratio: what CUPED leaves of the variance, 1 without it.
    """

    mean: float
    variance: float
    test: PowerTest = "t"
    variance_ratio: float = 1.0

    def __post_init__(self) -> None:
        _check("mean", self.mean, -math.inf, math.inf)
        _check("variance", self.variance, 0, math.inf)
        _check("variance_ratio", self.variance_ratio, 0, math.inf)
        if self.test == "pooled_z":
            _check("rate", self.mean, 0, 1)


@dataclass(frozen=True, slots=True)
class Target:
    """What a metric has to show.

    Attributes:
        difference: true treatment - control that is to be found, in units of the
            metric; for a guardrail the true change, as a rule 0.
        margin: of a guardrail, a positive number; None = superiority.
        direction: which way is good, for a margin.
    """

    difference: float = 0.0
    margin: float | None = None
    margin_scale: MarginScale = MarginScale.RELATIVE
    direction: Direction = Direction.INCREASE

    def __post_init__(self) -> None:
        _check("difference", self.difference, -math.inf, math.inf)
        if self.margin is not None:
            _check("margin", self.margin, 0, math.inf)


@dataclass(frozen=True, slots=True)
class Design:
    """Arms and error rates of an experiment.

    Attributes:
        alpha: two-sided error rate of all goals together.
        power: wanted probability to find the target, 1 - beta.
        n_goals, n_guardrails, n_treatments: how many there are.
        control_share: control's share of all units; None = equal arms. The treatments
            divide the rest equally.
        inflation: units over those of one test at the end, for a reason of the
            planner's own.
        goal_cost, guardrail_cost: of looking before the end, on top of it.
        guardrail_alpha: one-sided error rate of each guardrail; never split.
        units_per_day: exposed units a day in all arms; None = no run time.
        window_days: days until the last unit's value is complete.
        least_days: whole days an experiment runs at least.
    """

    alpha: float = 0.05
    power: float = 0.8
    n_goals: int = 1
    n_guardrails: int = 0
    n_treatments: int = 1
    control_share: float | None = None
    inflation: float = 1.0
    guardrail_alpha: float = 0.025
    units_per_day: float | None = None
    window_days: float = 0.0
    least_days: int = 7
    goal_cost: SequentialCost = field(default_factory=SequentialCost)
    guardrail_cost: SequentialCost = field(default_factory=SequentialCost)

    def __post_init__(self) -> None:
        for name in ("alpha", "guardrail_alpha"):
            _check(name, getattr(self, name), 0, 1)
        # a test rejects that often without any effect: nothing would need to be found
        _check("power", self.power, max(self.alpha, self.guardrail_alpha), 1)
        for name in ("n_goals", "n_treatments", "inflation"):
            _check(name, getattr(self, name), 1, math.inf, is_closed=True)
        for name in ("n_guardrails", "window_days", "least_days"):
            _check(name, getattr(self, name), 0, math.inf, is_closed=True)
        for name in ("n_goals", "n_treatments", "n_guardrails"):
            _check_whole(name, getattr(self, name))
        if self.control_share is not None:
            _check("control_share", self.control_share, 0, 1)
        if self.units_per_day is not None:
            _check("units_per_day", self.units_per_day, 0, math.inf)

    @property
    def goal_alpha(self) -> float:
        """Two-sided error rate of one goal in one arm at Holm's first step."""
        return self.alpha / (self.n_goals * self.n_treatments)

    def cost_of(self, *, is_guardrail: bool) -> SequentialCost:
        """What looking costs this kind of metric."""
        return self.guardrail_cost if is_guardrail else self.goal_cost

    @property
    def guardrail_power(self) -> float:
        """Wanted power of each guardrail: beta is shared among them."""
        return 1 - (1 - self.power) / max(self.n_guardrails, 1)

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of all units in control and in each treatment arm."""
        equal = 1 / (1 + self.n_treatments)
        control = equal if self.control_share is None else self.control_share
        return control, (1 - control) / self.n_treatments


def noise_of_rate(rate: float, *, variance_ratio: float = 1.0) -> Noise:
    """Noise of a proportion; with a covariate it is tested as a mean.

    Args:
        rate: share of units with the event in control, 0 to 1.
        variance_ratio: what CUPED leaves of the variance, 1 without it.
    """
    _check("rate", rate, 0, 1)
    test: PowerTest = "pooled_z" if variance_ratio == 1 else "t"
    return Noise(rate, rate * (1 - rate), test, variance_ratio)


def noise_of_totals(totals: MetricTotals, settings: EstimateSettings) -> Noise | None:
    """Noise of a metric as past data show it; None where they do not.

    With a covariate in the definition the variance ratio is that of CUPED in this arm.
    There is none where the comparison itself would be refused: a spread lost in the
    rounding of large values, a mean denominator near 0, a proportion of other values
    than 0 and 1.

    Args:
        totals: moments of one arm, as a rule control.
        settings: metric definition and least units.
    """
    kind = settings.definition.type
    if totals.mean is None or totals.variance is None or not _can_compare(totals, kind):
        return None
    ratio = _variance_ratio(totals, settings)
    if kind is MetricType.RATIO:
        arm = ratio_arm(totals)
        mean, variance = float(arm.mean[0]), float(arm.variance[0])
        return _noise_or_none(mean, variance, "normal", ratio)
    if kind.is_share:
        return noise_of_rate(totals.mean, variance_ratio=ratio)
    return _noise_or_none(totals.mean, totals.variance, "t", ratio)


def _can_compare(totals: MetricTotals, kind: MetricType) -> bool:
    """Would two arms like this one have a comparison?"""
    mean, variance, extent = spread_of(totals)
    if mean is None or variance is None or totals.n < 2:
        return False
    lost = judge_spread(math.sqrt(max(variance, 0.0)), mean, extent=extent)
    if kind is MetricType.RATIO:
        # A constant numerator makes a ratio that varies all the same.
        return lost is not Refusal.PRECISION_LOST and has_denominator(totals)
    return lost is None and (not kind.is_share or (0 < mean < 1 and is_share(totals)))


def noise_of_quantile(totals: QuantileTotals) -> Noise | None:
    """Noise of a quantile: the variance per unit that its standard error implies."""
    if totals.value is None or totals.lower is None or totals.upper is None:
        return None
    error = (totals.upper - totals.lower) / (2 * totals.z)
    return _noise_or_none(totals.value, totals.n * error**2, "normal", 1.0)


def _noise_or_none(
    mean: float, variance: float, test: PowerTest, variance_ratio: float
) -> Noise | None:
    if not (math.isfinite(mean) and math.isfinite(variance) and variance > 0):
        return None
    return Noise(mean, variance, test, variance_ratio)


def _variance_ratio(totals: MetricTotals, settings: EstimateSettings) -> float:
    """CUPED's variance over Welch's when both arms are like this one."""
    if settings.definition.covariate is None:
        return 1.0
    row = estimate_cuped(totals, totals, settings)
    return float(row.details["variance_ratio"] or 1.0) if row.is_ok else 1.0


def _check(
    name: str, value: float, low: float, high: float, *, is_closed: bool = False
) -> None:
    """Refuse a number outside its range; open, or closed at the lower end."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    is_least = is_closed and is_number and value == low
    if not (is_least or (is_number and low < value < high)):
        bracket = "[" if is_closed else "("
        raise UsageError(
            f"{name} is out of range",
            where="experiment design",
            found=repr(value),
            allowed=f"{bracket}{low:g}, {high:g})",
        )


def _check_whole(name: str, value: float) -> None:
    if value != int(value):
        raise UsageError(
            f"{name} is no whole number",
            where="experiment design",
            found=repr(value),
            allowed="1, 2, 3, ...",
        )
