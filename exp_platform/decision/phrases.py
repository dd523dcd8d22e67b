"""How effects, bounds and margins read in a decision."""

from exp_platform.checks.wording import format_number, format_p
from exp_platform.records import Estimate, MarginScale
from exp_platform.stats.guardrail import GuardrailAssessment


def describe_effect(estimate: Estimate, *, tests: int | None = None) -> str:
    """A metric's effect with its interval and, for a goal, the adjusted p.

    The interval is of the difference, because the p-value is of the difference too.

    Args:
        estimate: a row with numbers.
        tests: size of the goals' family; None = leave the p-value out.
    """
    name, difference = estimate.metric_name, estimate.difference
    if difference is None:
        return name
    parts = []
    head = format_change(difference, MarginScale.ABSOLUTE)
    if estimate.relative_lift is not None:
        parts.append(f"difference {head}")
        head = format_change(estimate.relative_lift, MarginScale.RELATIVE)
    if estimate.ci_lower is not None and estimate.ci_upper is not None:
        low, high = format_number(estimate.ci_lower), format_number(estimate.ci_upper)
        level = format_number(100 * (1 - estimate.alpha))
        parts.append(f"{level} % interval {low} to {high}")
    if tests is not None and estimate.p_value_adjusted is not None:
        holm = f" after Holm over {tests} tests" if tests > 1 else ""
        parts.append(f"{format_p(estimate.p_value_adjusted)}{holm}")
    return f"{name} {head}" + (f" ({', '.join(parts)})" if parts else "")


def describe_guardrail(guardrail: GuardrailAssessment) -> str:
    """A guardrail's worst case beside its margin.

    Args:
        guardrail: an assessment with a margin.
    """
    margin = format_margin(guardrail)
    if guardrail.bound is None:
        return f"{guardrail.metric_name} (margin {margin})"
    bound = format_change(guardrail.bound, guardrail.margin_scale)
    return f"{guardrail.metric_name} at worst {bound} (margin {margin})"


def format_margin(guardrail: GuardrailAssessment) -> str:
    """A margin as the plan states it, without a sign.

    Args:
        guardrail: an assessment.
    """
    if guardrail.margin is None:
        return "none"
    return format_change(guardrail.margin, guardrail.margin_scale).lstrip("+")


def format_change(change: float, scale: MarginScale) -> str:
    """A signed change: a share as a percentage, anything else as it is.

    >>> format_change(0.0123, MarginScale.RELATIVE)
    '+1.23 %'
    >>> format_change(-12.3456, MarginScale.ABSOLUTE)
    '-12.35'
    """
    if scale is MarginScale.RELATIVE:
        return f"{100 * change:+.3g} %" if change else "0 %"
    sign = "+" if change > 0 else ""
    return f"{sign}{format_number(change)}"
