"""How a number looks to people: the only place that turns values into text.

Estimates and their intervals share one number of decimals, so that digits line up; an
end of an interval that would round to 0 has one digit of its own, because 0 means that
no effect is possible. Numbers too small for decimals are written as 1.0e-9.
A value that does not exist, or is not finite, becomes `NO_NUMBER`, never 0.
"""

import math
from datetime import datetime
from typing import TypeGuard

from exp_platform.records import MetricDefinition

NO_NUMBER = "no number"
MINUS = "\N{MINUS SIGN}"
_SIGNIFICANT_DIGITS = 3
_MAX_DECIMALS = 8
_SMALL = 1e-4
_ROUNDING = 1e-12
_HUGE = 1e15
_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"


def format_count(count: int | None) -> str:
    """A number of things: 12,734."""
    return NO_NUMBER if count is None else f"{count:,}".replace("-", MINUS)


def format_number(
    value: float | None, *, signed: bool = False, digits: int = _SIGNIFICANT_DIGITS
) -> str:
    """A plain number with three significant digits: 1,234 or 0.0312."""
    if not is_number(value):
        return NO_NUMBER
    return _fixed(value, count_decimals(value, digits=digits), signed=signed)


def format_measure(value: float | None, *, digits: int = _SIGNIFICANT_DIGITS) -> str:
    """A number that stands alone, without trailing zeros: 0.01, 1 or 3.0e-8."""
    if not is_number(value):
        return NO_NUMBER
    if value and not _SMALL <= abs(value) < _HUGE:
        return _scientific(value)
    text = _fixed(value, count_decimals(value, digits=digits))
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_percent(value: float | None, *, signed: bool = False) -> str:
    """A share as a percentage: 0.1234 is 12.3 %."""
    if not is_number(value):
        return NO_NUMBER
    return _fixed(100 * value, count_decimals(100 * value), signed=signed) + " %"


def format_p(p_value: float | None) -> str:
    """A p-value alone: 0.34, 0.012 or < 0.001."""
    if not is_number(p_value):
        return NO_NUMBER
    if p_value < 0.001:
        return "< 0.001"
    if p_value > 0.99:
        return "> 0.99"
    return f"{p_value:.2f}" if p_value >= 0.1 else f"{p_value:.2g}"


def format_p_phrase(p_value: float | None) -> str:
    """A p-value inside a sentence: p = 0.012 or p < 0.001."""
    if not is_number(p_value):
        return "p: " + NO_NUMBER
    text = format_p(p_value)
    return "p " + text if text[0] in "<>" else "p = " + text


def format_date(instant: datetime) -> str:
    """A calendar day: 1 Mar 2026."""
    month = _MONTHS[3 * instant.month - 3 : 3 * instant.month]
    return f"{instant.day} {month} {instant.year}"


def format_instant(instant: datetime) -> str:
    """A day and time of day in UTC."""
    return f"{format_date(instant)}, {instant:%H:%M} UTC"


def format_lift(
    value: float | None, lower: float | None = None, upper: float | None = None
) -> str:
    """A relative lift, as precise as its interval is shown: +31.2 %."""
    if not is_number(value):
        return NO_NUMBER
    decimals = _share_decimals(100, value, lower, upper)
    return _fixed(100 * value, decimals, signed=True) + " %"


def format_lift_interval(
    value: float | None, lower: float | None, upper: float | None
) -> str:
    """The interval of a relative lift: 22.4 % to 40.6 %."""
    if not (is_number(lower) and is_number(upper)):
        return NO_NUMBER
    decimals = _share_decimals(100, value, lower, upper)
    low, high = _ends(100 * lower, 100 * upper, decimals)
    return f"{low} % to {high} %"


def format_mean(definition: MetricDefinition | None, value: float | None) -> str:
    """The mean of one arm, without the metric's unit: 10.2 % or 4.21."""
    if _is_share(definition):
        return format_percent(value)
    return format_number(value)


def format_difference(
    definition: MetricDefinition | None,
    value: float | None,
    lower: float | None = None,
    upper: float | None = None,
) -> str:
    """A difference, as precise as its interval is shown: +3.05 pp or -0.12."""
    if not is_number(value):
        return NO_NUMBER
    scale = _scale(definition)
    decimals = _share_decimals(scale, value, lower, upper)
    text = _fixed(scale * value, decimals, signed=True)
    return f"{text} pp" if _is_share(definition) else text


def format_difference_interval(
    definition: MetricDefinition | None,
    value: float | None,
    lower: float | None,
    upper: float | None,
) -> str:
    """The interval of a difference, without its unit: 2.25 to 3.85."""
    if not (is_number(lower) and is_number(upper)):
        return NO_NUMBER
    scale = _scale(definition)
    decimals = _share_decimals(scale, value, lower, upper)
    low, high = _ends(scale * lower, scale * upper, decimals)
    return f"{low} to {high}"


def format_size(definition: MetricDefinition | None, value: float | None) -> str:
    """How large a difference is, with its unit, whichever way: 0.25 pp or 2 EUR."""
    if not is_number(value):
        return NO_NUMBER
    text = format_measure(_scale(definition) * abs(value))
    return f"{text} {format_unit(definition)}".rstrip()


def format_tick(value: float) -> str:
    """A round value on an axis, without trailing zeros: 0.25 or 1,000."""
    return f"{round(value, 10) + 0.0:,.10g}".replace("-", MINUS)


def format_unit(definition: MetricDefinition | None) -> str:
    """The unit of a metric's differences, for an axis: pp, EUR or nothing."""
    if _is_share(definition):
        return "pp"
    return definition.unit_label if definition else ""


def is_number(value: float | None) -> TypeGuard[float]:
    """There is a finite number to show, also after turning it into percent."""
    return value is not None and math.isfinite(100 * value)


def count_decimals(*values: float, digits: int = _SIGNIFICANT_DIGITS) -> int:
    """Decimals that give the largest value three significant digits."""
    largest = max(abs(value) for value in values)
    if largest == 0:
        return 0
    return max(digits - 1 - math.floor(math.log10(largest)), 0)


def _share_decimals(scale: float, *values: float | None) -> int:
    return count_decimals(*(scale * value for value in values if is_number(value)))


def _ends(lower: float, upper: float, decimals: int) -> tuple[str, str]:
    """Both ends of an interval."""
    least = _ROUNDING * max(abs(lower), abs(upper))
    return _end(lower, decimals, least), _end(upper, decimals, least)


def _end(value: float, decimals: int, least: float) -> str:
    """One end; up to `least` it is what a sum left over, and 0."""
    if abs(value) <= least:
        return _fixed(0.0, decimals)
    if round(value, decimals) == 0:
        decimals = -math.floor(math.log10(abs(value)))
    return _fixed(value, decimals)


def _fixed(value: float, decimals: int, *, signed: bool = False) -> str:
    is_small = decimals > _MAX_DECIMALS
    if value and (abs(value) >= _HUGE or is_small):
        return _scientific(value, signed=signed)
    decimals = 0 if is_small else decimals
    rounded = round(value, decimals) + 0.0
    text = f"{rounded:{'+' if signed and rounded else ''},.{decimals}f}"
    return text.replace("-", MINUS)


def _scientific(value: float, *, signed: bool = False) -> str:
    mantissa, _, exponent = f"{value:{'+' if signed else ''}.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", MINUS)


def _is_share(definition: MetricDefinition | None) -> bool:
    return definition is not None and definition.type.is_share


def _scale(definition: MetricDefinition | None) -> int:
    return 100 if _is_share(definition) else 1
