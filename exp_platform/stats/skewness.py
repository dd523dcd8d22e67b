"""How far does skewness bend the two tails of a Welch test?"""

import math
from dataclasses import dataclass

from scipy.special import ndtri

from exp_platform.records import MetricTotals

WARNING_SKEWNESS = 0.06
"""|g| above which the tails are visibly unequal: .025 becomes about .030 and .020."""

TAIL = 0.025


@dataclass(frozen=True, slots=True)
class SkewnessAssessment:
    """Skewness of a difference of means and what it does to a 5 % test.

    Attributes:
        g: skewness of the difference, in units of its standard error.
        lower_tail, upper_tail: expected share of false alarms below and above, each
            .025 without skewness.
        is_warned: |g| above .06.
        units_needed: 355 x skewness^2 per arm (Kohavi and others 2014); information
            only, it warns nearly always.
    """

    g: float
    lower_tail: float
    upper_tail: float
    is_warned: bool
    units_needed: float


def assess_skewness(
    control: MetricTotals, treatment: MetricTotals
) -> SkewnessAssessment | None:
    """Are the tails of the Welch test of this metric what they claim to be?

    Unequal arms keep the skewness that equal arms cancel; capping alone does not cure
    it.

    Args:
        control: moments of the control arm, the third one included.
        treatment: moments of the treatment arm.

    Returns:
        None where moments are missing or nothing varies.

    References:
        Boos and Hughes-Oliver (2000); Kohavi and others (2014).
    """
    arms = (control, treatment)
    if any(a.variance is None or a.third_moment is None or a.n < 2 for a in arms):
        return None
    variance = sum((a.variance or 0.0) / a.n for a in arms)
    if not variance > 0:
        return None
    n = sum(a.n for a in arms)
    third = sum(a.n * (a.third_moment or 0.0) for a in arms) / n
    pooled = sum((a.n - 1) * (a.variance or 0.0) for a in arms) / (n - 2)
    g = third * (1 / treatment.n**2 - 1 / control.n**2) / variance**1.5
    bend = _bend(g)
    return SkewnessAssessment(
        g=g,
        lower_tail=min(max(TAIL + bend, 0.0), 1.0),
        upper_tail=min(max(TAIL - bend, 0.0), 1.0),
        is_warned=bool(abs(g) > WARNING_SKEWNESS),
        units_needed=355 * (third / pooled**1.5) ** 2,
    )


def _bend(g: float) -> float:
    """First Edgeworth term of a studentised mean at its 2.5 % point."""
    z = float(ndtri(1 - TAIL))
    density = math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return (2 * z**2 + 1) * g * density / 6
