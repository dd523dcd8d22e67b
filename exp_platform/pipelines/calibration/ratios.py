"""Ratio metrics: clicks per session when users differ in both."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from exp_platform.pipelines.calibration.gate import (
    Array,
    Simulation,
    Values,
    disease,
    equal,
    least,
    uniform,
)
from exp_platform.pipelines.calibration.moments import draw_units
from exp_platform.pipelines.calibration.quantities import (
    both_misses,
    both_tails,
    misses,
    tails_of,
)
from exp_platform.pipelines.calibration.totals import (
    CLUSTERED,
    RATIO,
    columns,
    pair_up,
    totals_of,
)
from exp_platform.records import MetricTotals
from exp_platform.stats.ratio import estimate_ratio, linearise_ratio
from exp_platform.stats.welch import Arm, compare_arms, estimate_welch

USERS = 500
DATA = (
    "500 against 500 users with 1 to about 15 sessions each; users differ in how often "
    "they click per session, heavy ones click more"
)


def _draw_users(random: Generator, runs: int) -> tuple[Array, Array]:
    """Sessions and clicks of the users of one arm, shape (runs, USERS)."""
    eagerness = random.gamma(2.0, 0.5, (runs, USERS))
    sessions = 1 + random.poisson(3 * eagerness)
    rate = np.tanh(eagerness * random.uniform(0.0, 0.6, eagerness.shape))
    clicks = random.binomial(sessions, rate)
    return sessions.astype(float), clicks.astype(float)


def _moments(values: Array, other: Array) -> tuple[Arm, Array]:
    n = values.shape[1]
    centred = values - values.mean(axis=1, keepdims=True)
    covariance = np.sum(centred * other, axis=1) / (n - 1)
    arm = Arm(
        np.full(len(values), float(n)), values.mean(axis=1), values.var(axis=1, ddof=1)
    )
    return arm, covariance


def _draw_arm(random: Generator, runs: int) -> tuple[Arm, Arm, Array, Arm]:
    """Clicks, sessions, their covariance, and clicks as if sessions were units."""
    parts = []
    for size in draw_units(runs, USERS):
        sessions, clicks = _draw_users(random, size)
        above, shared = _moments(clicks, sessions)
        below, _ = _moments(sessions, clicks)
        parts.append((above, below, shared))
    above = _join([part[0] for part in parts])
    below = _join([part[1] for part in parts])
    shared = np.concatenate([part[2] for part in parts])
    rate, events = above.mean / below.mean, below.mean * USERS
    return above, below, shared, Arm(events, rate, rate * (1 - rate))


def _join(arms: list[Arm]) -> Arm:
    return Arm(
        np.concatenate([arm.n for arm in arms]),
        np.concatenate([arm.mean for arm in arms]),
        np.concatenate([arm.variance for arm in arms]),
    )


def _delta(random: Generator, runs: int) -> Values:
    arms = [_draw_arm(random, runs) for _ in range(2)]
    linear = [linearise_ratio(above, below, both) for above, below, both, _ in arms]
    found = compare_arms(linear[0], linear[1], 0.05, is_normal=True).inference
    naive = compare_arms(arms[0][3], arms[1][3], 0.05).inference
    return {
        **tails_of(found),
        "p-values": found.p_value,
        "false alarms, sessions as units": naive.p_value < 0.05,
    }


def _ratio_totals(random: Generator, runs: int) -> list[MetricTotals]:
    above, below, shared, _ = _draw_arm(random, runs)
    extras = zip(
        below.mean.tolist(), below.variance.tolist(), shared.tolist(), strict=True
    )
    return [
        replace(
            totals,
            denominator_mean=mean,
            denominator_variance=variance,
            denominator_covariance=covariance,
        )
        for totals, (mean, variance, covariance) in zip(
            totals_of(above), extras, strict=True
        )
    ]


def _rows(random: Generator, runs: int) -> Values:
    arms = [_ratio_totals(random, runs) for _ in range(2)]
    rows = [estimate_ratio(c, t, RATIO) for c, t in pair_up(arms[0], arms[1])]
    return misses(columns(rows, "ci_lower", "ci_upper"), 0.0)


def _refused(random: Generator, runs: int) -> Values:
    arms = [_draw_arm(random, runs)[3] for _ in range(2)]
    pairs = zip(totals_of(arms[0]), totals_of(arms[1]), strict=True)
    reasons = [estimate_welch(*pair, CLUSTERED).reason for pair in pairs]
    is_refused = [reason == "UNIT_FINER_THAN_ASSIGNMENT" for reason in reasons]
    return {"tests on sessions refused": np.array(is_refused)}


NORMAL = "normal quantiles at 500 users"

SIMULATIONS = (
    Simulation(
        "ratio_delta",
        "delta method",
        f"{DATA}, no effect",
        (linearise_ratio,),
        (
            *both_tails(slack=0.001, why=NORMAL),
            uniform("p-values"),
            disease(
                least("false alarms, sessions as units", 0.1),
                "a test on sessions is refused when users were assigned",
                "ratio_on_sessions",
            ),
        ),
        20_000,
        2_000,
        _delta,
    ),
    Simulation(
        "ratio_rows",
        "delta method, whole rows",
        f"{DATA}, no effect",
        (estimate_ratio,),
        both_misses(slack=0.001, why=NORMAL),
        10_000,
        1_000,
        _rows,
    ),
    Simulation(
        "ratio_on_sessions",
        "Welch's t on sessions when users were assigned",
        f"{DATA}, no effect",
        (estimate_welch,),
        (equal("tests on sessions refused", 1.0),),
        500,
        100,
        _refused,
    ),
)
