"""How effects, bounds and margins read in a decision."""

from exp_platform.checks import numbers
from exp_platform.checks.wording import format_p
from exp_platform.decision.look_words import find_crossing
from exp_platform.records import Estimate, MarginScale
from exp_platform.stats.guardrail import GuardrailAssessment

_DIGITS = range(3, 9)


def describe_effect(estimate: Estimate, *, tests: int | None = None) -> str:
    """A metric's effect with its interval and, for a goal, the adjusted p.

    In relative terms where the estimate has them, with their own interval; the p is
    always that of the difference.

    Args:
        estimate: a row with numbers.
        tests: size of the goals' family; None = leave the p-value out.
    """
    name, difference = estimate.metric_name, estimate.difference
    if difference is None:
        return name
    change, interval = _format_effect(estimate, difference)
    parts = []
    if interval != numbers.NO_NUMBER:
        level = numbers.format_measure(100 * (1 - estimate.alpha))
        kind = "repeated interval" if _is_repeated(estimate) else "interval"
        parts.append(f"{level} % {kind} {interval}")
    p_value = estimate.p_value_adjusted
    if tests is not None and p_value is not None:
        adjusted = "adjusted " if tests > 1 else ""
        parts.append(f"{adjusted}{format_p(p_value, estimate.alpha)}")
        parts.extend(filter(None, [say_crossing(estimate)]))
    return f"{name} {change}" + (f" ({', '.join(parts)})" if parts else "")


def say_crossing(estimate: Estimate, *, is_harm: bool = False) -> str:
    """The earlier look that proved it: the interval beside it is of this one.

    Args:
        estimate: a row of a look.
        is_harm: of the test for harm, not of the effect.
    """
    crossing = find_crossing(estimate, is_harm=is_harm)
    if crossing is None:
        return ""
    return f"{'first found' if is_harm else 'bound first crossed'} at look {crossing}"


def _format_effect(estimate: Estimate, difference: float) -> tuple[str, str]:
    """The change and its interval with the same number of decimals."""
    lift = estimate.relative_lift
    if lift is not None and estimate.relative_ci_lower is not None:
        lifts = (lift, estimate.relative_ci_lower, estimate.relative_ci_upper)
        return numbers.format_lift(*lifts), numbers.format_lift_interval(*lifts)
    found = (difference, estimate.ci_lower, estimate.ci_upper)
    interval = numbers.format_difference_interval(None, *found)
    return numbers.format_difference(None, *found), interval


def _is_repeated(estimate: Estimate) -> bool:
    """The interval holds at all looks together."""
    return estimate.details.get("sequential", {}).get("critical_value") is not None


def describe_guardrail(guardrail: GuardrailAssessment) -> str:
    """A guardrail's worst case beside its margin.

    Args:
        guardrail: an assessment with a margin.
    """
    digits = _count_digits(guardrail)
    margin = format_margin(guardrail, digits)
    if guardrail.bound is None:
        return f"{guardrail.metric_name} (margin {margin})"
    bound = format_change(guardrail.bound, guardrail.margin_scale, digits)
    return f"{guardrail.metric_name} at worst {bound} (one-sided; margin {margin})"


def describe_move(guardrail: GuardrailAssessment) -> str:
    """From where to where a guardrail's worst case has to come.

    Args:
        guardrail: an assessment with a margin.
    """
    bound, digits = "no bound", _count_digits(guardrail)
    if guardrail.bound is not None:
        bound = format_change(guardrail.bound, guardrail.margin_scale, digits)
    margin = format_margin(guardrail, digits)
    return f"{guardrail.metric_name} from {bound} to inside {margin}"


def _count_digits(guardrail: GuardrailAssessment) -> int:
    """Digits that tell a worst case from its margin; three where nothing does."""
    sizes = [guardrail.bound, guardrail.margin]
    for digits in _DIGITS:
        texts = {numbers.format_number(abs(x or 0.0), digits=digits) for x in sizes}
        if None in sizes or len(texts) > 1:
            return digits
    return _DIGITS[0]


def format_margin(guardrail: GuardrailAssessment, digits: int = 3) -> str:
    """A margin as the plan states it, without a sign.

    Args:
        guardrail: an assessment.
        digits: significant ones.
    """
    if guardrail.margin is None:
        return "none"
    if guardrail.margin_scale is MarginScale.RELATIVE:
        return f"{numbers.format_measure(100 * guardrail.margin, digits=digits)} %"
    return numbers.format_measure(guardrail.margin, digits=digits)


def format_change(change: float, scale: MarginScale, digits: int = 3) -> str:
    """A signed change: a share as a percentage, anything else as it is.

    >>> format_change(0.0123, MarginScale.RELATIVE)
    '+1.23 %'
    >>> format_change(12.3456, MarginScale.ABSOLUTE)
    '+12.3'
    """
    if scale is MarginScale.RELATIVE:
        return numbers.format_number(100 * change, signed=True, digits=digits) + " %"
    return numbers.format_number(change, signed=True, digits=digits)
