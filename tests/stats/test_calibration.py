"""Error rates of the tests on data without an effect; tolerances are binomial."""

import numpy as np
import pytest

from exp_platform.stats.adjustment import Covariates, adjust_arms
from exp_platform.stats.relative import infer_relative
from exp_platform.stats.welch import Arm, compare_arms

pytestmark = pytest.mark.calibration


def _draw_arm(random, runs, n, scale=1.0, mean=0.0):
    """Exact draws of a normal sample's mean and variance."""
    means = mean + scale * random.normal(0, 1 / np.sqrt(n), runs)
    variances = scale**2 * random.chisquare(n - 1, runs) / (n - 1)
    return Arm(np.full(runs, float(n)), means, variances)


def _assert_rate(is_rejected, expected):
    runs = is_rejected.size
    slack = 3 * np.sqrt(expected * (1 - expected) / runs)
    assert abs(is_rejected.mean() - expected) < slack


@pytest.mark.parametrize(
    ("sizes", "scales"), [((100, 100), (1, 1)), ((900, 100), (1, 3)), ((20, 8), (1, 1))]
)
def test_welch_tails_hold(sizes, scales):
    random = np.random.default_rng(1)
    control, treatment = (
        _draw_arm(random, 100_000, n, scale)
        for n, scale in zip(sizes, scales, strict=True)
    )
    found = compare_arms(control, treatment, 0.05).inference
    rejected = found.p_value < 0.05
    # Welch's df are an approximation: within .001 of each tail at these sizes.
    for tail in (found.statistic < 0, found.statistic > 0):
        rate = np.mean(rejected & tail)
        assert abs(rate - 0.025) < 3 * np.sqrt(0.025 * 0.975 / 100_000) + 0.001


def test_welch_p_values_are_uniform():
    random = np.random.default_rng(2)
    arms = [_draw_arm(random, 20_000, 100) for _ in range(2)]
    p = np.sort(compare_arms(*arms, 0.05).inference.p_value)
    distance = np.max(np.abs(p - np.arange(1, p.size + 1) / p.size))
    # Kolmogorov-Smirnov: 1.63 / sqrt(n) is the 1 % point.
    assert distance < 1.63 / np.sqrt(p.size)


@pytest.mark.parametrize("method", ["delta", "fieller"])
def test_relative_interval_covers_at_a_control_variation_of_five_percent(method):
    random = np.random.default_rng(3)
    arms = [_draw_arm(random, 50_000, 400, 1.0, mean) for mean in (1.0, 1.1)]
    compared = compare_arms(*arms, 0.05)
    relative = infer_relative(
        compared.inference, compared.baseline, 0.05, method=method
    )
    covers = (relative.ci_lower < 0.1) & (relative.ci_upper > 0.1)
    # Normal quantiles at 400 units and the delta method's bend cost up to .002.
    assert abs(covers.mean() - 0.95) < 3 * np.sqrt(0.05 * 0.95 / 50_000) + 0.002


def test_fieller_covers_each_side_near_zero():
    random = np.random.default_rng(4)
    arms = [_draw_arm(random, 50_000, 2500, 1.0, 0.1) for _ in range(2)]
    compared = compare_arms(*arms, 0.05)
    relative = infer_relative(
        compared.inference, compared.baseline, 0.05, method="fieller"
    )
    # The control mean is 5 errors from 0: 1 set in 1,000 is unbounded and covers.
    for misses in (relative.ci_lower > 0, relative.ci_upper < 0):
        _assert_rate(misses, 0.025)


@pytest.mark.parametrize(
    ("sizes", "slopes"), [((500, 500), (0.6, 0.6)), ((450, 50), (0.3, 0.9))]
)
def test_cuped_holds_its_level_and_helps(sizes, slopes):
    random = np.random.default_rng(6)
    runs = 4000
    arms, covariates = [], []
    for n, slope in zip(sizes, slopes, strict=True):
        x = random.normal(0, 1, (runs, n))
        y = slope * x + random.normal(0, np.sqrt(1 - slope**2), (runs, n))
        shared = np.mean((x - x.mean(1, keepdims=True)) * y, axis=1) * n / (n - 1)
        arms.append(Arm(np.full(runs, float(n)), y.mean(1), y.var(1, ddof=1)))
        covariates.append(
            Covariates(
                x.mean(1)[:, None], x.var(1, ddof=1)[:, None, None], shared[:, None]
            )
        )
    adjusted = adjust_arms(*arms, tuple(covariates), alpha=0.05).comparison.inference
    plain = compare_arms(*arms, 0.05).inference
    _assert_rate(adjusted.p_value < 0.05, 0.05)
    variances = [np.var(found.difference) for found in (adjusted, plain)]
    assert variances[0] < 0.9 * variances[1]


def test_cuped_variance_ratio_is_one_less_correlation_squared():
    random = np.random.default_rng(7)
    n = 200_000
    arms, covariates = [], []
    for _ in range(2):
        x = random.normal(0, 1, n)
        y = 0.6 * x + random.normal(0, 0.8, n)
        cross = np.cov(x, y)
        arms.append(Arm(np.array([float(n)]), y.mean(keepdims=True), cross[1:, 1]))
        covariates.append(
            Covariates(x.mean(keepdims=True)[None], cross[None, :1, :1], cross[:1, 1:])
        )
    adjusted = adjust_arms(*arms, tuple(covariates), alpha=0.05).comparison.inference
    plain = compare_arms(*arms, 0.05).inference
    ratio = (adjusted.standard_error / plain.standard_error)[0] ** 2
    # The sampling error of a squared correlation at 2 x 200,000 units is about .0015.
    assert ratio == pytest.approx(0.64, abs=0.005)
