"""Error rates and power under peeking; seeds from the tests' names."""

import hashlib

import numpy as np
import pytest

from exp_platform.stats.bayes import update_normal
from exp_platform.stats.beta_rates import Beta, compare_rates
from exp_platform.stats.confidence_sequence import critical_sequence, tune_mixture
from exp_platform.stats.dunnett import critical_dunnett
from exp_platform.stats.equivalence import compare_margin
from exp_platform.stats.group_sequential import (
    HARM_SPENDING,
    find_crossing,
    sequential_power,
)
from exp_platform.stats.looks import (
    Look,
    SequentialPlan,
    critical_values,
    schedule_looks,
)
from exp_platform.stats.mixture import always_valid_p
from exp_platform.stats.multiplicity import adjust_holm
from exp_platform.stats.sequential_p import track_sequential_p
from exp_platform.stats.spending import Spending
from exp_platform.stats.stagewise import estimate_stopped

pytestmark = pytest.mark.calibration

DAYS = np.arange(1, 29) / 28
FIXED_80 = 2.8015852
RUNS = 20_000


@pytest.fixture
def random(request):
    digest = hashlib.sha256(request.node.name.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _paths(random, shares, drift=0.0, runs=RUNS):
    """z at each look; drift is its mean at share 1."""
    steps = np.diff(shares, prepend=0.0)
    walk = random.normal(0, 1, (runs, len(shares))) * np.sqrt(steps) + drift * steps
    return np.cumsum(walk, axis=1) / np.sqrt(shares)


def _schedule(shares, elapsed, per_arm=100_000):
    looks = [
        Look(int(per_arm * s), int(per_arm * s), t)
        for s, t in zip(shares, elapsed, strict=True)
    ]
    return schedule_looks(looks, SequentialPlan())


def _assert_rate(is_hit, expected):
    rate = np.mean(is_hit)
    slack = 3 * np.sqrt(expected * (1 - expected) / np.size(is_hit))
    assert abs(rate - expected) < slack, f"{rate} where {expected} is due"


def _assert_at_most(is_hit, limit):
    rate = np.mean(is_hit)
    slack = 3 * np.sqrt(limit * (1 - limit) / np.size(is_hit))
    assert rate < limit + slack, f"{rate} where at most {limit} is due"


def test_fixed_test_at_28_peeks_shows_the_disease(random):
    z = _paths(random, DAYS)
    assert 0.26 < np.mean((np.abs(z) > 1.96).any(axis=1)) < 0.30


@pytest.mark.parametrize("kind", ["obrien_fleming", "pocock", "power"])
def test_group_sequential_tails_hold_under_28_peeks(random, kind):
    z = _paths(random, DAYS)
    critical = critical_values(_schedule(DAYS, DAYS), Spending(kind), np.array([0.05]))[
        0
    ]
    first = np.argmax(np.abs(z) >= critical, axis=1)
    at_stop = z[np.arange(RUNS), first]
    is_stopped = np.abs(at_stop) >= critical[first]
    for tail in (at_stop < 0, at_stop > 0):
        _assert_rate(is_stopped & tail, 0.025)
    p_values = track_sequential_p(z, _schedule(DAYS, DAYS), Spending(kind))
    np.testing.assert_array_equal(p_values[:, -1] <= 0.05, is_stopped)


def test_sequential_p_at_the_end_is_uniform(random):
    z = _paths(random, DAYS)
    p = np.sort(track_sequential_p(z, _schedule(DAYS, DAYS), Spending())[:, -1])
    expected = np.arange(1, p.size + 1) / p.size
    # Above .9 it is given as 1. Kolmogorov-Smirnov: 1.63 / sqrt(n) is the 1 % point.
    assert np.max(np.abs(p - expected)[p < 0.9]) < 1.63 / np.sqrt(p.size)


def test_level_holds_when_information_and_schedule_disagree(random):
    # Most units come early, the schedule is even.
    shares = DAYS**0.4
    p = track_sequential_p(_paths(random, shares), _schedule(shares, DAYS), Spending())
    _assert_rate(p[:, -1] <= 0.05, 0.05)


def test_group_sequential_keeps_the_power_of_the_fixed_test(random):
    p = track_sequential_p(
        _paths(random, DAYS, FIXED_80), _schedule(DAYS, DAYS), Spending()
    )
    power = np.mean(p[:, -1] <= 0.05)
    assert power >= 0.95 * 0.8
    exact = sequential_power(DAYS.tolist(), [FIXED_80], 0.05)[0, -1]
    _assert_rate(p[:, -1] <= 0.05, exact)


def test_ending_at_seventy_percent_of_the_units(random):
    shares = 0.7 * DAYS
    planned = Spending()
    by_units = shares.copy()
    forced = np.append(by_units[:-1], 1.0)
    for drift, bounds in ((0.0, (0.04, 0.055)), (FIXED_80, (0.63, 0.67))):
        z = _paths(random, shares, drift)
        p = track_sequential_p(z, _schedule(shares, forced), planned)[:, -1]
        # METHODS section 3: .65 forced, .66 fixed, .46 unforced.
        assert bounds[0] < np.mean(p <= 0.05) < bounds[1]
    unforced = track_sequential_p(z, _schedule(shares, by_units), planned)[:, -1]
    assert 0.44 < np.mean(unforced <= 0.05) < 0.49


def test_running_over_the_planned_units_changes_nothing(random):
    plan = SequentialPlan(planned_units=(70_000, 70_000))
    looks = [Look(int(1e5 * s), int(1e5 * s), s) for s in DAYS]
    schedule = schedule_looks(looks, plan)
    p = track_sequential_p(_paths(random, DAYS), schedule, Spending())
    _assert_rate(p[:, -1] <= 0.05, 0.05)
    assert (p[:, -1] == p[:, 19]).all()


def test_stopped_estimate_is_median_unbiased_and_covers(random):
    shares = np.array([0.25, 0.5, 0.75, 1.0])
    schedule = _schedule(shares, shares)
    critical = critical_values(schedule, Spending("pocock"), np.array([0.1]))[0]
    truth, runs = 2.0, 600
    z = _paths(random, shares, truth, runs)
    found = []
    for path in z:
        look = (find_crossing(path, critical) or 4) - 1
        stop = (look, path[look])
        estimate = estimate_stopped(schedule, Spending("pocock"), stop, alpha=0.1)
        # Errors at the stop in units of the last look's.
        scale = np.sqrt(shares[look])
        found.append([estimate.lower, estimate.median, estimate.upper] / scale)
    lower, median, upper = np.array(found).T
    _assert_rate(median < truth, 0.5)
    _assert_rate(lower > truth, 0.05)
    _assert_rate(upper < truth, 0.05)


def test_harm_by_pocock_spending_holds_its_level(random):
    p = track_sequential_p(
        _paths(random, DAYS), _schedule(DAYS, DAYS), HARM_SPENDING, sides=1
    )
    _assert_rate(p[:, -1] <= 0.05, 0.05)


def test_guardrail_at_its_margin_ships_as_rarely_as_promised(random):
    p = track_sequential_p(
        _paths(random, DAYS), _schedule(DAYS, DAYS), Spending(), sides=1
    )
    _assert_rate(p[:, -1] <= 0.025, 0.025)


def test_holm_on_sequential_p_with_one_true_effect(random):
    # Three metrics, the first with an effect, looked at every day.
    runs = 6000
    schedule = _schedule(DAYS, DAYS)
    drifts = (3.5, 0.0, 0.0)
    p_values = np.stack(
        [
            track_sequential_p(_paths(random, DAYS, drift, runs), schedule, Spending())[
                :, -1
            ]
            for drift in drifts
        ],
        axis=1,
    )
    adjusted = np.array([adjust_holm(row) for row in p_values])
    _assert_at_most((adjusted[:, 1:] <= 0.05).any(axis=1), 0.05)
    assert np.mean(adjusted[:, 0] <= 0.05) > 0.75


@pytest.mark.parametrize("planned", [5000, 20_000, 100_000])
def test_confidence_sequence_under_28_peeks(random, planned):
    n = DAYS * 100_000
    rho2 = tune_mixture(planned, 0.05)
    z = _paths(random, DAYS)
    is_out = (np.abs(z) > critical_sequence(n, rho2, 0.05)).any(axis=1)
    _assert_at_most(is_out, 0.02)
    p_values = always_valid_p(z, n * rho2)[:, -1]
    np.testing.assert_array_equal(p_values < 0.05, is_out)


@pytest.mark.parametrize("sides", [1, 2])
def test_confidence_sequence_after_every_unit(random, sides):
    n = np.arange(100, 10_001)
    rho2 = tune_mixture(5000, 0.05, sides=sides)
    critical = critical_sequence(n, rho2, 0.05, sides=sides)
    naive = hits = 0
    for _ in range(20):
        walk = np.cumsum(random.normal(0, 1, (100, 10_000)), axis=1)[:, 99:]
        z = walk / np.sqrt(n)
        z = np.abs(z) if sides == 2 else z
        hits += (z > critical).any(axis=1).sum()
        naive += (z > 1.96).any(axis=1).sum()
    assert hits / 2000 < 0.05
    assert naive / 2000 > 0.25


def test_confidence_sequence_keeps_half_the_power_at_its_planned_n(random):
    n = DAYS * 100_000
    critical = critical_sequence(n, tune_mixture(100_000, 0.05), 0.05)
    z = _paths(random, DAYS, FIXED_80)
    power = np.mean((np.abs(z) > critical).any(axis=1))
    assert power >= 0.45


def test_msprt_under_28_peeks(random):
    z = _paths(random, DAYS)
    # tau^2 = 1e-4 in units of variance 1, 100,000 units in two arms.
    ratio = 1e-4 * DAYS * 100_000 / 4
    _assert_at_most(always_valid_p(z, ratio)[:, -1] <= 0.05, 0.05)


def test_dunnett_holds_its_level_with_unequal_arms(random):
    sizes = np.array([4000, 1000, 500, 2000])
    means = random.normal(0, 1, (200_000, 4)) / np.sqrt(sizes)
    errors = np.sqrt(1 / sizes[1:] + 1 / sizes[0])
    z = (means[:, 1:] - means[:, :1]) / errors
    critical = critical_dunnett(np.sqrt(1 / sizes[0]) / errors, 0.05)
    _assert_rate((np.abs(z) > critical).any(axis=1), 0.05)


@pytest.mark.parametrize("margin", [-0.2, 0.2])
def test_equivalence_at_its_margin_holds_its_level(random, margin):
    error = 0.05
    difference = random.normal(margin, error, 200_000)
    variance = np.full(difference.size, error**2)
    lower = compare_margin(difference, variance, -0.2)
    upper = compare_margin(difference, variance, 0.2)
    _assert_rate((lower > 1.6448536) & (upper < -1.6448536), 0.05)


def test_beliefs_are_calibrated_when_the_prior_is_right(random):
    effects = random.normal(0, 0.3, 400_000)
    errors = random.uniform(0.05, 0.4, effects.size)
    zero, prior = np.zeros(effects.size), np.full(effects.size, 0.3)
    found = update_normal(random.normal(effects, errors), errors, zero, prior, 0.1)
    is_bin = (found.probability_above > 0.90) & (found.probability_above < 0.95)
    promised = found.probability_above[is_bin].mean()
    assert np.mean(effects[is_bin] > 0) == pytest.approx(promised, abs=0.01)
    _assert_rate((effects < found.lower) | (effects > found.upper), 0.1)


def test_beta_limits_cover_when_the_prior_is_right(random):
    runs, n = 800, 400
    rates = random.beta(2, 30, (2, runs))
    events = random.binomial(n, rates)
    arms = [Beta(2.0 + x, 30.0 + n - x) for x in events]
    found = compare_rates(arms[0], arms[1], 0.1)
    truth = rates[1] - rates[0]
    _assert_rate((truth < found.lower) | (truth > found.upper), 0.1)
