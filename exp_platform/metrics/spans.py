"""When a row counts: a span of time around the unit's first exposure."""

from collections.abc import Iterable
from dataclasses import dataclass

from exp_platform.records import Covariate, MetricDefinition

DAY_US = 86_400_000_000


def day_of(instant: str) -> str:
    """SQL of the UTC day, in days since 1970, of an instant in microseconds."""
    return f"cast(floor({instant} / {DAY_US}.0) as bigint)"


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open, in days since the first exposure.

    Attributes:
        lower, upper: days; None = until the data's watermark.
        is_day_grained: calendar days in UTC; the exposure's day is day 0.
    """

    lower: float
    upper: float | None
    is_day_grained: bool = False

    @property
    def lower_us(self) -> int:
        """The first microsecond inside."""
        return round(self.lower * DAY_US)

    @property
    def upper_us(self) -> int | None:
        """The first microsecond behind it."""
        return None if self.upper is None else round(self.upper * DAY_US)

    def condition(self, instant: str = "outcome_us") -> str:
        """SQL that holds for a row inside: `offset_us >= 0 and ...`.

        Args:
            instant: column with the row's own instant.
        """
        offset = "offset_us"
        if self.is_day_grained:
            # from the start of the exposure's day
            offset = f"(offset_us + ({instant} - offset_us) % {DAY_US})"
        inside = f"{offset} >= {_days_sql(self.lower)}"
        if self.upper is not None:
            inside += f" and {offset} < {_days_sql(self.upper)}"
        return inside

    @property
    def words(self) -> str:
        """The span for people: from 1 to 8 days after the first exposure."""
        if self.is_day_grained:
            return _calendar_words(self)
        if self.upper is None:
            return f"from {_from_words(self.lower)} to the data's watermark"
        if self.upper == 0:
            return f"the {_days(-self.lower)} before the first exposure"
        return f"from {_from_words(self.lower)} until {_days(self.upper)} after it"


def window_of(definition: MetricDefinition) -> Span:
    """When a row makes the metric's value."""
    lower, length = definition.delay_days, definition.window_days
    upper = None if length is None else lower + length
    return Span(lower, upper, definition.is_day_grained)


def lookback_of(definition: MetricDefinition, covariate: Covariate) -> Span:
    """When a row makes a covariate: before the exposure, or before its day."""
    return Span(-covariate.lookback_days, 0.0, definition.is_day_grained)


def reach_of(spans: Iterable[Span]) -> tuple[int, int | None]:
    """Microseconds from an exposure between which all rows of some spans lie.

    Args:
        spans: at least one; that of a day-grained one begins at midnight, up to a day
            before the exposure.

    Returns:
        The first offset inside and the first behind; None = there is no end.
    """
    found = list(spans)
    first = min(s.lower_us - (DAY_US if s.is_day_grained else 0) for s in found)
    ends = [s.upper_us for s in found if s.upper_us is not None]
    return first, max(ends) if len(ends) == len(found) else None


def _days_sql(days: float) -> str:
    """Microseconds, written so that whole days can be read."""
    if days == 0:
        return "0"
    whole = days.is_integer() if isinstance(days, float) else True
    return f"{int(days)} * {DAY_US}" if whole else str(round(days * DAY_US))


def _days(days: float) -> str:
    return f"{days:.15g} day" if days == 1 else f"{days:.15g} days"


def _from_words(days: float) -> str:
    if days == 0:
        return "the first exposure"
    return f"{_days(days)} after the first exposure"


def _calendar_words(span: Span) -> str:
    first = span.lower
    if span.upper is None:
        return f"from calendar day {first:.15g} (the exposure's is 0) to the watermark"
    if span.upper == 0:
        return f"the {_days(-first)} before the day of the first exposure"
    return f"calendar days {first:.15g} to {span.upper - 1:.15g} (the exposure's is 0)"
