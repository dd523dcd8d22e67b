"""What happens at visits: purchases, orders, support contacts, sessions by day."""

from dataclasses import dataclass

import numpy as np

from exp_platform.config import Scenario
from exp_platform.synth.arrays import Flags, Floats, Ints
from exp_platform.synth.effect import Hazards, find_purchase_share
from exp_platform.synth.exposure import Exposures
from exp_platform.synth.population import Population
from exp_platform.synth.randomness import Streams
from exp_platform.synth.rhythm import DAY_MS, Rhythm
from exp_platform.synth.rows import OutcomeRows, join_rows, write_rows
from exp_platform.synth.visit import Marks, Visits, draw_delays

_CONTACTS_PER_USER = 0.1  # of an exposed user of the control arm, after exposure


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is known before anything is bought.

    Attributes:
        visits, marks: of all users. exposures: when users met the experiment.
        hazards: of a purchase at each visit.
    """

    scenario: Scenario
    rhythm: Rhythm
    population: Population
    visits: Visits
    marks: Marks
    exposures: Exposures
    hazards: Hazards

    @property
    def is_acted_on(self) -> Flags:
        """Visits of treated users from their exposure on, shape (n_visits,)."""
        in_treatment = self.population.is_treated[self.visits.user]
        return in_treatment & self.exposures.is_after(self.visits)


def play_scene(scene: Scene, streams: Streams) -> OutcomeRows:
    """Let everything happen: outcome rows by day, in the order of collection."""
    buys = scene.marks.purchase < find_purchase_share(scene.hazards.actual)
    complains = scene.marks.contact < _contact_share(scene)
    rows = join_rows(
        (
            _count_sessions(scene, buys | complains, streams),
            _write_purchases(scene, buys, "conversion"),
            _write_purchases(scene, buys, "revenue"),
            _write_marked("support_contacts", scene, complains),
        )
    )
    day = (rows.at_ms // DAY_MS).astype(np.int16)
    return rows.take(np.argsort(day, kind="stable"))


def price_order(scenario: Scenario, scale: Floats) -> Floats:
    """Value of orders in whole cents, at least one."""
    return np.maximum(np.round(scenario.revenue_mean * scale, 2), 0.01)


def _write_purchases(scene: Scene, buys: Flags, metric: str) -> OutcomeRows:
    if metric == "conversion":
        return _write_marked(metric, scene, buys)
    scale = scene.population.order_scale[scene.visits.user[buys]]
    value = price_order(scene.scenario, scale * scene.marks.value[buys])
    return _write_marked(metric, scene, buys, value)


def _write_marked(
    metric: str, scene: Scene, flags: Flags, value: Floats | None = None
) -> OutcomeRows:
    visits = scene.visits.keep(flags)
    delay_ms = scene.marks.delay_ms[flags]
    return write_rows(metric, visits.user, visits.at_ms, delay_ms, value)


def _contact_share(scene: Scene) -> Floats:
    """Probability of a support contact at each visit."""
    weight = scene.population.neediness[scene.visits.user]
    after = scene.exposures.is_after(scene.visits)
    n_exposed = np.count_nonzero(scene.exposures.is_exposed)
    total = float(weight[after].sum())
    share = weight * (_CONTACTS_PER_USER * n_exposed / total if total > 0 else 0.0)
    harm = scene.scenario.failure_modes.guardrail_degradation
    return np.where(scene.is_acted_on, share * (1 + harm), share)


def _count_sessions(scene: Scene, has_row: Flags, streams: Streams) -> OutcomeRows:
    """One row per user and active day, at the last visit of the day."""
    visits, delay_ms = _change_visits(scene, has_row, streams)
    last = np.diff(visits.user * scene.rhythm.n_days + visits.day, append=-1) != 0
    ends = np.flatnonzero(last)
    count = np.diff(ends, prepend=-1).astype(np.float64)
    return write_rows(
        "sessions", visits.user[ends], visits.at_ms[ends], delay_ms[ends], count
    )


def _change_visits(
    scene: Scene, has_row: Flags, streams: Streams
) -> tuple[Visits, Ints]:
    """Add or remove visits by the effect on sessions; purchases stay as they are."""
    visits, delay_ms = scene.visits, scene.marks.delay_ms
    effect = scene.scenario.effect_sessions
    rng = streams.open("effect on sessions")
    if effect < 0:
        stays = ~_draw_lost(scene, has_row, rng)
        return visits.keep(stays), delay_ms[stays]
    if effect > 0:
        return _add_visits(scene, rng)
    return visits, delay_ms


def _draw_lost(scene: Scene, has_row: Flags, rng: np.random.Generator) -> Flags:
    acted_on, visits = scene.is_acted_on, scene.visits
    is_exposure = visits.at_ms == scene.exposures.at_ms[visits.user]
    can_go = acted_on & ~has_row & ~is_exposure
    wanted = -scene.scenario.effect_sessions * np.count_nonzero(acted_on)
    share = wanted / max(int(np.count_nonzero(can_go)), 1)
    return np.asarray(can_go & (rng.random(can_go.size) < share))


def _add_visits(scene: Scene, rng: np.random.Generator) -> tuple[Visits, Ints]:
    visits, rhythm = scene.visits, scene.rhythm
    n_more = rng.poisson(scene.scenario.effect_sessions * scene.is_acted_on)
    user = np.repeat(visits.user, n_more)
    at_ms = rhythm.draw_between(scene.exposures.at_ms[user], rng)
    all_users = np.concatenate((visits.user, user))
    all_at_ms = np.concatenate((visits.at_ms, at_ms))
    delay_ms = np.concatenate((scene.marks.delay_ms, draw_delays(user.size, rng)))
    order = np.argsort(all_users * rhythm.end_ms + all_at_ms, kind="stable")
    return Visits(all_users[order], all_at_ms[order]), delay_ms[order]
