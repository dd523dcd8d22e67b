"""Where a value stands on a chart's axis, and which round values to print there."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

_ROUND_STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis from `low` to `high`; positions run from 0 to 1."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Position of a value, held inside the axis, to four decimals."""
        share = (value - self.low) / (self.high - self.low)
        return round(min(max(share, 0.0), 1.0), 4)

    def holds(self, value: float) -> bool:
        """The value lies on the axis, not beyond its ends."""
        return self.low <= value <= self.high


def fit_scale(values: Iterable[float], *, padding: float = 0.06) -> Scale:
    """An axis that holds zero and every value, with room at both ends."""
    listed = [0.0, *values]
    low, high = min(listed), max(listed)
    room = (high - low) * padding or 1.0
    return Scale(low - room, high + room)


def choose_ticks(scale: Scale, *, about: int = 6) -> tuple[float, ...]:
    """Round values on the axis, zero among them, at most about as many as asked."""
    span = scale.high - scale.low
    magnitude = 10.0 ** math.floor(math.log10(span / about))
    step = next(
        one * magnitude for one in _ROUND_STEPS if span / (one * magnitude) <= about
    )
    first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
    return tuple(number * step for number in range(first, last + 1))
