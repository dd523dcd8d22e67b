"""The week and the hours: turns even chance into instants with a weekday pattern.

Instants are whole milliseconds since the midnight that opens the pre-period.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

from exp_platform.config import Scenario
from exp_platform.synth.arrays import Floats, Ints

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
WEEKDAY_WEIGHTS = (1.10, 1.08, 1.06, 1.04, 0.98, 0.82, 0.92)  # Monday first, mean 1
_HOUR_WEIGHTS = (
    *(0.35, 0.20, 0.15, 0.12, 0.15, 0.25, 0.50, 0.80),
    *(1.00, 1.10, 1.15, 1.20, 1.30, 1.25, 1.15, 1.10),
    *(1.15, 1.30, 1.55, 1.80, 1.95, 1.80, 1.30, 0.75),
)


@dataclass(frozen=True)
class Rhythm:
    """The calendar of one experiment, pre-period included.

    Attributes:
        origin: midnight (UTC) at which the pre-period begins.
        pre_days, days: whole days before and after the start.
    """

    origin: datetime
    pre_days: int
    days: int

    @property
    def n_days(self) -> int:
        """Days in all."""
        return self.pre_days + self.days

    @property
    def start_ms(self) -> int:
        """Start of the experiment."""
        return self.pre_days * DAY_MS

    @property
    def end_ms(self) -> int:
        """End of the experiment; nothing happens at or after it."""
        return self.n_days * DAY_MS

    @cached_property
    def day_weights(self) -> Floats:
        """Relative traffic of each day, shape (n_days,), 1 on an average day."""
        weekdays = (self.origin.weekday() + np.arange(self.n_days)) % 7
        return np.asarray(WEEKDAY_WEIGHTS)[weekdays]

    @cached_property
    def _traffic(self) -> Floats:
        """Traffic up to each full hour, shape (24 n_days + 1,), in average days."""
        hours = np.asarray(_HOUR_WEIGHTS) / np.sum(_HOUR_WEIGHTS)
        hourly = np.outer(self.day_weights, hours).ravel()
        return np.concatenate(([0.0], np.cumsum(hourly)))

    @property
    def total_traffic(self) -> float:
        """Traffic of the whole calendar, in average days."""
        return float(self._traffic[-1])

    def draw_between(self, since_ms: Ints | int, rng: np.random.Generator) -> Ints:
        """Draw one instant per entry of `since_ms`, from there to the end."""
        hours = np.arange(self._traffic.size) * HOUR_MS
        since = np.asarray(since_ms)
        done = np.interp(since, hours, self._traffic)
        target = done + rng.random(since.size) * (self.total_traffic - done)
        at_ms = np.interp(target, self._traffic, hours).astype(np.int64)
        return np.asarray(np.clip(at_ms, since, self.end_ms - 1))

    def instant(self, at_ms: int) -> datetime:
        """The UTC instant of a number of milliseconds."""
        return self.origin + timedelta(milliseconds=at_ms)


def read_rhythm(scenario: Scenario) -> Rhythm:
    """Lay out the calendar of a scenario."""
    midnight = datetime.combine(scenario.start_date, datetime.min.time(), UTC)
    pre_days = scenario.pre_period_days
    return Rhythm(midnight - timedelta(days=pre_days), pre_days, scenario.days)
