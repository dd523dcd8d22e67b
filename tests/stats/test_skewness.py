from dataclasses import replace

import numpy as np
import pytest

from exp_platform.stats.skewness import assess_skewness
from exp_platform.stats.welch import Arm, compare_arms


def _skewed(total, n, seed=1):
    return total(np.random.default_rng(seed).exponential(1, n))


def test_equal_arms_cancel_skewness(total):
    arm = _skewed(total, 500)
    found = assess_skewness(arm, arm)
    assert found.g == 0
    assert found.lower_tail == found.upper_tail == 0.025
    assert not found.is_warned


def test_small_treatment_arm_is_skewed_with_its_metric(total):
    found = assess_skewness(_skewed(total, 9000), _skewed(total, 300))
    # Skewness 2 of the exponential over sqrt(300), little of it cancelled.
    assert found.g == pytest.approx(2 / np.sqrt(300), rel=0.2)
    assert found.is_warned
    assert found.lower_tail > 0.025 > found.upper_tail
    assert found.lower_tail + found.upper_tail == pytest.approx(0.05)


def test_swapped_arms_swap_the_tails(total):
    large, small = _skewed(total, 9000), _skewed(total, 300)
    there, back = assess_skewness(large, small), assess_skewness(small, large)
    assert there.g == pytest.approx(-back.g)
    assert there.lower_tail == pytest.approx(back.upper_tail)


def test_tail_formula_is_the_one_of_the_rule_book(total):
    found = assess_skewness(_skewed(total, 900), _skewed(total, 300))
    # Phi(-1.96) +- 8.68 g phi(1.96) / 6, with the constants as rounded there.
    assert found.lower_tail == pytest.approx(
        0.025 + 8.68 * found.g * 0.05845 / 6, abs=1e-5
    )


def test_units_needed_is_355_times_skewness_squared(total):
    arm = _skewed(total, 5000)
    skewness = arm.third_moment / arm.variance**1.5
    assert assess_skewness(arm, arm).units_needed == pytest.approx(355 * skewness**2)


@pytest.mark.parametrize(
    "gap", [{"third_moment": None}, {"variance": None}, {"n": 1}, {"variance": 0.0}]
)
def test_missing_moments_have_no_answer(gap, total):
    arm = replace(_skewed(total, 50), **gap)
    assert assess_skewness(arm, arm) is None


@pytest.mark.calibration
def test_expected_tails_are_the_simulated_ones():
    # Exponential values, 9,000 against 1,000 units; means drawn as gamma variables need
    # no unit values, the variances are drawn with them from 500 sums of squares.
    random = np.random.default_rng(5)
    runs, sizes = 1500, (900, 100)
    moments = []
    for n in sizes:
        values = random.exponential(1, (runs, n))
        moments.append((values.mean(axis=1), values.var(axis=1, ddof=1)))
    arms = [
        Arm(np.full(runs, float(n)), mean, variance)
        for n, (mean, variance) in zip(sizes, moments, strict=True)
    ]
    inference = compare_arms(arms[0], arms[1], 0.05).inference
    lower = np.mean((inference.p_value < 0.05) & (inference.statistic < 0))
    upper = np.mean((inference.p_value < 0.05) & (inference.statistic > 0))
    g = 2 * (1 / 100**2 - 1 / 900**2) / (1 / 100 + 1 / 900) ** 1.5
    bend = 8.683 * g * 0.058445 / 6
    # First-order expansion: the next term is of the order of g squared.
    slack = 3 * np.sqrt(0.04 / runs) + g**2 / 10
    assert abs(lower - (0.025 + bend)) < slack
    assert abs(upper - (0.025 - bend)) < slack
