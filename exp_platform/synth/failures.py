"""What goes wrong between the world and the files, one function per failure mode.

Each leaves every other row as it was.
"""

from dataclasses import replace

import numpy as np

from exp_platform.config import FailureModes
from exp_platform.synth.arrays import Flags, Floats, Ints
from exp_platform.synth.exposure import Exposures
from exp_platform.synth.population import Population
from exp_platform.synth.randomness import Streams
from exp_platform.synth.rhythm import DAY_MS, HOUR_MS, Rhythm
from exp_platform.synth.rows import (
    METRICS,
    ExposureRows,
    OutcomeRows,
    join_rows,
    write_rows,
)
from exp_platform.synth.visit import draw_delays

_BURSTS_PER_BOT = 3
_HITS_PER_BURST = (240, 480)  # half of the fewest is still over 100 on one day
_LATEST_DAYS = 7.0


def list_exposures(population: Population, exposures: Exposures) -> ExposureRows:
    """One row per exposed user: what should be delivered."""
    user = np.flatnonzero(exposures.is_exposed)
    return ExposureRows(user, population.is_treated[user], exposures.at_ms[user])


def deliver_exposures(
    rows: ExposureRows,
    modes: FailureModes,
    population: Population,
    rhythm: Rhythm,
    streams: Streams,
) -> ExposureRows:
    """Let the modes act on exposures and bring them into order of time."""
    if modes.sample_ratio_mismatch > 0:
        rows = _lose_exposures(rows, modes, population.activity, streams)
    if modes.crossover_share > 0:
        rows = _cross_over(rows, modes, rhythm, streams)
    rows = rows.take(np.lexsort((rows.user, rows.at_ms)))
    again = _draw_again(rows.user.size, modes, streams.open("duplicate exposures"))
    return rows.append(rows.take(again))


def deliver_outcomes(
    rows: OutcomeRows,
    modes: FailureModes,
    exposed: ExposureRows,
    rhythm: Rhythm,
    streams: Streams,
) -> OutcomeRows:
    """Let the modes act on outcome rows in order of collection."""
    if modes.outlier_value is not None:
        rows = _add_outlier(rows, modes.outlier_value, exposed, rhythm, streams)
    if modes.bot_share > 0:
        rows = _add_bots(rows, modes.bot_share, exposed, rhythm, streams)
    if modes.missing_pre_period:
        rows = rows.take(rows.at_ms >= rhythm.start_ms)
    if modes.missing_day is not None:
        rows = rows.take(~_falls_on(rows, modes.missing_day, rhythm))
    if modes.spike_day is not None:
        rows = _log_thrice(rows, modes.spike_day, rhythm)
    if modes.late_share > 0:
        rows = _delay_rows(rows, modes.late_share, streams)
    again = _draw_again(rows.user.size, modes, streams.open("duplicate outcomes"))
    return join_rows((rows, rows.take(again)))


def _lose_exposures(
    rows: ExposureRows, modes: FailureModes, activity: Floats, streams: Streams
) -> ExposureRows:
    """Lose treatment exposures, mostly of users that come seldom."""
    lost_share = modes.sample_ratio_mismatch
    rank = np.empty(rows.user.size)
    rank[np.argsort(activity[rows.user])] = np.arange(rows.user.size) / rows.user.size
    # mean of (1 - rank)^k over ranks is 1 / (k + 1) = lost_share
    p_lost = (1 - rank) ** ((1 - lost_share) / lost_share)
    chance = streams.open("lost exposures").random(activity.size)[rows.user]
    return rows.take(~(rows.is_treatment & (chance < p_lost)))


def _cross_over(
    rows: ExposureRows, modes: FailureModes, rhythm: Rhythm, streams: Streams
) -> ExposureRows:
    """Let a share of units meet the other arm some time after their own."""
    rng = streams.open("crossover")
    chosen = rows.take(_choose(rows.user.size, modes.crossover_share, rng))
    left_ms = rhythm.end_ms - 1 - chosen.at_ms
    later = chosen.at_ms + (rng.random(chosen.user.size) * left_ms).astype(np.int64)
    met = ExposureRows(chosen.user, ~chosen.is_treatment, later)
    return rows.append(met)


def _draw_again(n: int, modes: FailureModes, rng: np.random.Generator) -> Ints:
    return rng.permutation(_choose(n, modes.duplicate_share, rng))


def _choose(n: int, share: float, rng: np.random.Generator) -> Ints:
    """Choose a share of n positions, at least one when the share is not 0."""
    size = min(max(round(share * n), 1), n) if share > 0 else 0
    return np.sort(rng.choice(n, size, replace=False))


def _add_outlier(
    rows: OutcomeRows,
    value: float,
    exposed: ExposureRows,
    rhythm: Rhythm,
    streams: Streams,
) -> OutcomeRows:
    """Add one order right after the exposure of one treatment unit."""
    in_time = exposed.at_ms + 1 < rhythm.end_ms
    treated = exposed.take(exposed.is_treatment & in_time)
    if treated.user.size == 0:
        return rows
    rng = streams.open("outlier")
    one = treated.take(rng.integers(0, treated.user.size, 1))
    at_ms, delay_ms = one.at_ms + 1, draw_delays(1, rng)
    order = (
        write_rows("conversion", one.user, at_ms, delay_ms),
        write_rows("revenue", one.user, at_ms, delay_ms, np.full(1, value)),
    )
    return _by_day(join_rows((rows, *order)))


def _add_bots(
    rows: OutcomeRows,
    share: float,
    exposed: ExposureRows,
    rhythm: Rhythm,
    streams: Streams,
) -> OutcomeRows:
    """Add bursts of hits, each logged as a session, to a share of units."""
    rng = streams.open("bots")
    users, first = np.unique(exposed.user, return_index=True)
    bots = _choose(users.size, share, rng)
    bursts = np.repeat(bots, _BURSTS_PER_BOT)
    since = exposed.at_ms[first[bursts]]
    room = np.maximum(rhythm.end_ms - HOUR_MS - since, 0)
    opens = since + (rng.random(bursts.size) * room).astype(np.int64)
    n_hits = rng.integers(*_HITS_PER_BURST, bursts.size)
    hour = np.minimum(HOUR_MS, rhythm.end_ms - opens)
    burst = np.repeat(np.arange(bursts.size), n_hits)
    at_ms = opens[burst] + (rng.random(burst.size) * hour[burst]).astype(np.int64)
    key = np.unique(users[bursts][burst] * rhythm.end_ms + at_ms)
    user, at_ms = key // rhythm.end_ms, key % rhythm.end_ms
    hits = write_rows("sessions", user, at_ms, draw_delays(user.size, rng))
    return _by_day(join_rows((rows, hits)))


def _falls_on(rows: OutcomeRows, day: int, rhythm: Rhythm) -> Flags:
    """Which rows lie on a day of the experiment, its first being 1?"""
    opens = rhythm.start_ms + (day - 1) * DAY_MS
    return np.asarray((rows.at_ms >= opens) & (rows.at_ms < opens + DAY_MS))


def _log_thrice(rows: OutcomeRows, day: int, rhythm: Rhythm) -> OutcomeRows:
    """Log each session of a day twice more, a few milliseconds later.

    They are no copies: a row that agrees in every column would be removed.
    """
    is_session = rows.metric == METRICS.index("sessions")
    again = rows.take(is_session & _falls_on(rows, day, rhythm))
    more = [replace(again, at_ms=again.at_ms + later) for later in (1, 2)]
    return _by_day(join_rows((rows, *more)))


def _by_day(rows: OutcomeRows) -> OutcomeRows:
    return rows.take(np.argsort(rows.at_ms // DAY_MS, kind="stable"))


def _delay_rows(rows: OutcomeRows, share: float, streams: Streams) -> OutcomeRows:
    """Collect a share of rows days late: they stand at the end, out of order."""
    rng = streams.open("late rows")
    late = rng.permutation(_choose(rows.user.size, share, rng))
    more = ((1 + (_LATEST_DAYS - 1) * rng.random(late.size)) * DAY_MS).astype(np.int64)
    moved = rows.take(late)
    delayed = OutcomeRows(
        moved.user, moved.metric, moved.value, moved.at_ms, moved.received_ms + more
    )
    on_time = np.ones(rows.user.size, dtype=bool)
    on_time[late] = False
    return join_rows((rows.take(on_time), delayed))
