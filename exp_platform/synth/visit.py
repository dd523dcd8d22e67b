"""Visits: the only thing users do; purchases and contacts are marks of a visit."""

from dataclasses import dataclass

import numpy as np

from exp_platform.config import Scenario
from exp_platform.synth.arrays import Flags, Floats, Ints
from exp_platform.synth.population import Population
from exp_platform.synth.randomness import Streams
from exp_platform.synth.rhythm import DAY_MS, Rhythm

_VISITS_PER_DAY = 0.35
_DELAY_MEAN_MS = 20_000.0


@dataclass(frozen=True, slots=True)
class Visits:
    """One entry per visit, ordered by user and instant, no two at one instant.

    Attributes:
        user: position of the user.
        at_ms: instant.
    """

    user: Ints
    at_ms: Ints

    @property
    def day(self) -> Ints:
        """Day of the calendar, 0 = first day of the pre-period."""
        return self.at_ms // DAY_MS

    def sum_by_user(self, values: Floats, n_users: int) -> Floats:
        """Sum values of visits, shape (n_visits,), over each user's visits."""
        sums = np.bincount(self.user, values, n_users)
        return np.asarray(sums, dtype=np.float64)

    def keep(self, flags: Flags) -> "Visits":
        """The visits flagged."""
        return Visits(self.user[flags], self.at_ms[flags])


@dataclass(frozen=True, slots=True)
class Marks:
    """Chance that belongs to a visit, drawn for every visit whatever happens there.

    Effects only move the thresholds that the marks are compared with, so a scenario
    with an effect equals the one without it wherever the effect does not act.

    Attributes:
        purchase, contact: uniform on [0, 1).
        value: scale of an order placed at the visit, mean 1.
        delay_ms: until an event of the visit is collected.
    """

    purchase: Floats
    contact: Floats
    value: Floats
    delay_ms: Ints


def order_visits(user: Ints, at_ms: Ints, rhythm: Rhythm) -> Visits:
    """Bring visits into order; of two at the same instant one stays."""
    key = user * rhythm.end_ms + at_ms
    key.sort()
    key = key[np.diff(key, prepend=-1) > 0]
    ordered = key // rhythm.end_ms
    return Visits(ordered, key - ordered * rhythm.end_ms)


def draw_visits(population: Population, rhythm: Rhythm, streams: Streams) -> Visits:
    """Draw all visits of all users from the pre-period to the end."""
    rng = streams.open("visits")
    expected = population.activity * (_VISITS_PER_DAY * rhythm.total_traffic)
    user = np.repeat(np.arange(population.n_users), rng.poisson(expected))
    since = np.zeros(user.size, dtype=np.int64)
    return order_visits(user, rhythm.draw_between(since, rng), rhythm)


def draw_marks(scenario: Scenario, n_visits: int, streams: Streams) -> Marks:
    """Draw the marks of visits."""
    variance = np.log1p((scenario.revenue_sd / scenario.revenue_mean) ** 2)
    noise = streams.open("order values").standard_normal(n_visits)
    return Marks(
        purchase=streams.open("purchases").random(n_visits),
        contact=streams.open("contacts").random(n_visits),
        value=np.exp(np.sqrt(variance) * noise - variance / 2),
        delay_ms=draw_delays(n_visits, streams.open("delays")),
    )


def draw_delays(n: int, rng: np.random.Generator) -> Ints:
    """Draw milliseconds from an event to its collection: seconds, rarely minutes."""
    return 200 + (_DELAY_MEAN_MS * rng.standard_exponential(n)).astype(np.int64)
