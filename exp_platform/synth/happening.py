"""What a tracker would have sent: the delivered rows as events, and some of its own.

Exposures and outcomes become events one by one, copies and late ones included, so that
both can be found again in the events. Checkouts and views of strangers come on top.
"""

from dataclasses import dataclass, fields

import numpy as np

from exp_platform.synth.arrays import Flags, Floats, Ints
from exp_platform.synth.behaviour import Scene
from exp_platform.synth.effect import find_purchase_share
from exp_platform.synth.randomness import Streams
from exp_platform.synth.rows import METRICS, ExposureRows, OutcomeRows
from exp_platform.synth.visit import draw_delays

EVENTS = (
    "experiment_viewed",
    "daily_activity",
    "purchase",
    "support_contact",
    "checkout_started",
    "page_viewed",
)
VIEWED, ACTIVITY, PURCHASE, CONTACT, CHECKOUT, PAGE = range(len(EVENTS))
# A purchase stands for the outcomes conversion and revenue.
_EVENT_OF = {"sessions": ACTIVITY, "revenue": PURCHASE, "support_contacts": CONTACT}
_CHECKOUTS_PER_PURCHASE = 2.5
_STRANGER_SHARE = 0.03  # of visits


@dataclass(frozen=True, slots=True)
class EventRows:
    """One entry per event sent.

    Attributes:
        user: position of the user. kind: position in EVENTS.
        value: the property of that name, NaN for none.
        is_treatment: arm met, of an exposure.
        at_ms, received_ms: instant of the event and of its collection.
    """

    user: Ints
    kind: Ints
    value: Floats
    is_treatment: Flags
    at_ms: Ints
    received_ms: Ints

    def take(self, positions: np.ndarray) -> "EventRows":
        """The events at these positions, or those flagged."""
        return EventRows(*(getattr(self, f.name)[positions] for f in fields(self)))


def list_events(
    scene: Scene, exposed: ExposureRows, outcomes: OutcomeRows, streams: Streams
) -> EventRows:
    """All events of an experiment, in the order of collection.

    Args:
        scene: the world the rows come from.
        exposed: exposures as delivered.
        outcomes: outcomes as delivered.
        streams: chance.
    """
    parts = (
        _of_exposures(exposed, streams),
        _of_outcomes(outcomes),
        _of_visits(scene, CHECKOUT, _starts_checkout(scene)),
        _of_visits(scene, PAGE, _is_seen_as_stranger(scene, streams)),
    )
    rows = EventRows(
        *(
            np.concatenate([getattr(p, f.name) for p in parts])
            for f in fields(EventRows)
        )
    )
    return rows.take(np.argsort(rows.received_ms, kind="stable"))


def _of_exposures(exposed: ExposureRows, streams: Streams) -> EventRows:
    delay_ms = draw_delays(exposed.user.size, streams.open("exposure delays"))
    return _write(
        VIEWED,
        exposed.user,
        exposed.at_ms,
        exposed.at_ms + delay_ms,
        is_treatment=exposed.is_treatment,
    )


def _of_outcomes(outcomes: OutcomeRows) -> EventRows:
    kind_of = np.array([_EVENT_OF.get(name, -1) for name in METRICS])
    kind = kind_of[outcomes.metric]
    told = outcomes.take(kind >= 0)
    kind = kind[kind >= 0]
    value = np.where(kind == CONTACT, np.nan, told.value)
    return _write(kind, told.user, told.at_ms, told.received_ms, value=value)


def _of_visits(scene: Scene, kind: int, flags: Flags) -> EventRows:
    if scene.scenario.failure_modes.missing_pre_period:
        flags = flags & (scene.visits.at_ms >= scene.rhythm.start_ms)
    visits = scene.visits.keep(flags)
    received_ms = visits.at_ms + scene.marks.delay_ms[flags]
    return _write(kind, visits.user, visits.at_ms, received_ms)


def _starts_checkout(scene: Scene) -> Flags:
    """Every purchase and some visits more: the same chance with a higher threshold."""
    share = _CHECKOUTS_PER_PURCHASE * find_purchase_share(scene.hazards.actual)
    return np.asarray(scene.marks.purchase < share)


def _is_seen_as_stranger(scene: Scene, streams: Streams) -> Flags:
    chance = streams.open("strangers").random(scene.visits.user.size)
    return np.asarray(chance < _STRANGER_SHARE)


def _write(
    kind: Ints | int,
    user: Ints,
    at_ms: Ints,
    received_ms: Ints,
    *,
    value: Floats | None = None,
    is_treatment: Flags | None = None,
) -> EventRows:
    n = user.size
    return EventRows(
        user=user,
        kind=np.broadcast_to(np.asarray(kind), n),
        value=np.full(n, np.nan) if value is None else value,
        is_treatment=np.zeros(n, dtype=bool) if is_treatment is None else is_treatment,
        at_ms=at_ms,
        received_ms=received_ms,
    )
