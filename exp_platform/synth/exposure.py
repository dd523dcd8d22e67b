"""Exposures: who meets the experiment, when, and who is new to the product."""

from dataclasses import dataclass

import numpy as np

from exp_platform.config import Scenario
from exp_platform.synth.arrays import Flags, Ints
from exp_platform.synth.randomness import Streams
from exp_platform.synth.rhythm import DAY_MS, Rhythm
from exp_platform.synth.visit import Visits, order_visits

LOOKBACK_DAYS = 14
NEVER = np.iinfo(np.int64).max
LONG_AGO = -1
_ASSIGNED_BEFORE_MS = 300


@dataclass(frozen=True, slots=True)
class Exposures:
    """One value per user, shape (n_users,).

    Attributes:
        at_ms: first exposure, NEVER for a user that is not exposed.
        first_seen_ms: first contact with the product, LONG_AGO when it lies before
            the look-back.
    """

    at_ms: Ints
    first_seen_ms: Ints

    @property
    def is_exposed(self) -> Flags:
        """The user met the experiment."""
        flags: Flags = self.at_ms != NEVER
        return flags

    def is_after(self, visits: Visits) -> Flags:
        """Which visits are the exposure itself or come after it."""
        flags: Flags = visits.at_ms >= self.at_ms[visits.user]
        return flags


def expose_users(
    scenario: Scenario, visits: Visits, rhythm: Rhythm, streams: Streams
) -> tuple[Visits, Exposures]:
    """Expose the planned share of users; visits of new users before they came go.

    A randomised experiment exposes at the first visit after the start, a roll-out
    everybody at the instant of the policy.
    """
    if scenario.assignment == "policy":
        at_ms = _expose_at_policy(scenario, rhythm, streams)
    else:
        visits, at_ms = _expose_at_visit(scenario, visits, rhythm, streams)
    first_seen_ms = _draw_first_seen(scenario, at_ms, streams)
    visits = visits.keep(visits.at_ms >= first_seen_ms[visits.user])
    return visits, Exposures(at_ms, first_seen_ms)


def list_assigned(
    exposures: Exposures, visits: Visits, rhythm: Rhythm
) -> tuple[Ints, Ints]:
    """Who was assigned to an arm, exposed or not, and when.

    A visitor is assigned at the first visit after the start, a little before anything
    is shown; in a roll-out everybody who is exposed is assigned just before.

    Returns:
        Positions of the users, and instants.
    """
    n_users = exposures.at_ms.size
    came = _find_first_visit(visits, n_users, rhythm.start_ms)
    at_ms = np.where(exposures.is_exposed, exposures.at_ms, came)
    user = np.flatnonzero(at_ms != NEVER)
    order = user[np.lexsort((user, at_ms[user]))]
    return order, np.maximum(at_ms[order] - _ASSIGNED_BEFORE_MS, rhythm.start_ms)


def _expose_at_policy(scenario: Scenario, rhythm: Rhythm, streams: Streams) -> Ints:
    order = streams.open("reach").random(scenario.n_users)
    at_ms = np.full(scenario.n_users, NEVER)
    policy_day = scenario.policy_day or 0
    at_ms[_first(scenario, order)] = rhythm.start_ms + policy_day * DAY_MS
    return at_ms


def _expose_at_visit(
    scenario: Scenario, visits: Visits, rhythm: Rhythm, streams: Streams
) -> tuple[Visits, Ints]:
    """Expose visitors first; when there are too few, others get a visit."""
    rng = streams.open("reach")
    first_visit = _find_first_visit(visits, scenario.n_users, rhythm.start_ms)
    exposed = _first(scenario, rng.random(scenario.n_users) + (first_visit == NEVER))
    guests = exposed[first_visit[exposed] == NEVER]
    if guests.size:
        came = rhythm.draw_between(np.full(guests.size, rhythm.start_ms), rng)
        visits = order_visits(
            np.concatenate((visits.user, guests)),
            np.concatenate((visits.at_ms, came)),
            rhythm,
        )
        first_visit[guests] = came
    at_ms = np.full(scenario.n_users, NEVER)
    at_ms[exposed] = first_visit[exposed]
    return visits, at_ms


def _first(scenario: Scenario, order: np.ndarray) -> Ints:
    n_exposed = round(scenario.exposure_rate * scenario.n_users)
    return np.sort(np.argsort(order, kind="stable")[:n_exposed])


def _find_first_visit(visits: Visits, n_users: int, since_ms: int) -> Ints:
    inside = visits.keep(visits.at_ms >= since_ms)
    opens = np.diff(inside.user, prepend=-1) > 0
    first_visit = np.full(n_users, NEVER)
    first_visit[inside.user[opens]] = inside.at_ms[opens]
    return first_visit


def _draw_first_seen(scenario: Scenario, at_ms: Ints, streams: Streams) -> Ints:
    """Draw the arrival of new users between the look-back and their exposure."""
    rng = streams.open("new users")
    n = scenario.n_users
    is_new = (rng.random(n) < scenario.new_user_share) & (at_ms != NEVER)
    lookback_ms = np.minimum(LOOKBACK_DAYS * DAY_MS, at_ms)
    arrived = at_ms - (rng.random(n) * lookback_ms).astype(np.int64)
    return np.where(is_new, arrived, LONG_AGO)
