"""Error rates of panel methods without an effect; tolerances are binomial."""

import numpy as np
import pytest

from exp_platform.causal.contrasts import contrast_days
from exp_platform.causal.did import estimate_did, panel_of
from exp_platform.causal.pretrends import assess_pretrends
from exp_platform.causal.trend import assess_trend
from exp_platform.records import EstimateRole, PretrendOutcome

pytestmark = pytest.mark.calibration


def _ar1(random, shape, rho=0.8):
    """Stationary autoregressive noise along the last axis, variance 1."""
    noise = random.normal(0, 1, shape)
    noise[..., 1:] *= np.sqrt(1 - rho**2)
    for day in range(1, shape[-1]):
        noise[..., day] += rho * noise[..., day - 1]
    return noise


def _rate(runs, is_rejected):
    return np.mean([is_rejected(run) for run in range(runs)])


def _slack(expected, runs):
    return 3 * np.sqrt(expected * (1 - expected) / runs)


@pytest.mark.parametrize("n_clusters", [50, 40])
def test_did_with_correlated_clusters_holds_its_level(n_clusters, gram, settings):
    # Bertrand, Duflo and Mullainathan: AR(1) .8, 20 days; errors taken for independent
    # would reject in 40 %.
    random = np.random.default_rng(1)
    runs, days = 1500, range(-10, 10)
    values = _ar1(random, (runs, n_clusters, 20))

    def is_rejected(run):
        arms = np.split(values[run], 2)
        totals = [panel_of(gram(arm, days)) for arm in arms]
        return estimate_did(*totals, settings).p_value < 0.05

    assert abs(_rate(runs, is_rejected) - 0.05) < _slack(0.05, runs)


@pytest.mark.parametrize("n", [100, 20])
def test_pretrend_tests_hold_their_level(n, gram):
    # Five leads; chi-square with 20 units per arm rejects in 10 %.
    random = np.random.default_rng(2)
    runs, days = 2000, list(range(-6, 0))
    values = _ar1(random, (runs, 2, n, 6), rho=0.5)
    found = []
    for run in range(runs):
        arms = [gram(arm, days) for arm in values[run]]
        found.append(assess_trend(contrast_days(*arms, days[:-1], reference_day=-1)))
    for name in ("p_joint", "p_slope"):
        rate = np.mean([getattr(test, name) < 0.05 for test in found])
        assert abs(rate - 0.05) < _slack(0.05, runs)


def test_pretrend_tests_hold_with_unequal_arms_and_variances(gram):
    random = np.random.default_rng(3)
    runs, days = 1500, list(range(-5, 0))
    small = 3 * _ar1(random, (runs, 25, 5), rho=0.5)
    large = _ar1(random, (runs, 100, 5), rho=0.5)
    p_values = []
    for run in range(runs):
        arms = [gram(large[run], days), gram(small[run], days)]
        test = assess_trend(contrast_days(*arms, days[:-1], reference_day=-1))
        p_values.append((test.p_joint, test.p_slope))
    rates = np.mean(np.array(p_values) < 0.05, axis=0)
    # CR1 has one factor for both arms: 1.016 instead of 25/24 in the small one.
    assert np.all(np.abs(rates - 0.05) < _slack(0.05, runs) + 0.005)


def test_slow_drift_seldom_passes_as_parallel(gram):
    # Drift of .02 sd a day over 7 days before and 7 after, 500 units per arm, an
    # effect of .1 sd planned: the bias of .14 sd would be taken for the effect.
    random = np.random.default_rng(4)
    runs, days = 400, list(range(-7, 7))
    drift = 0.02 * np.array(days)
    outcomes = []
    for _ in range(runs):
        control = random.normal(0, 1, (500, 14))
        treatment = random.normal(0, 1, (500, 14)) + drift
        outcomes.append(
            assess_pretrends(
                gram(control, days),
                gram(treatment, days),
                planned_effect=0.1,
                estimate=None,
                role=EstimateRole.PRIMARY,
            ).outcome
        )
    held = np.mean([outcome is PretrendOutcome.HOLDS for outcome in outcomes])
    assert held <= 0.20
