from dataclasses import replace

import numpy as np
import pytest

from exp_platform.records import Direction, MetricType
from exp_platform.stats.harm import harm_p_value
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.welch import estimate_welch


def _estimate(total, settings, shift):
    base = np.tile([1.0, 2.0, 3.0], 40)
    return estimate_welch(total(base), total(base + shift), settings)


def test_harm_is_half_the_two_sided_p_in_the_harmful_direction(total, settings):
    worse = _estimate(total, settings, -0.2)
    harm = harm_p_value(worse, Direction.INCREASE)
    assert harm == pytest.approx(worse.p_value / 2, rel=1e-12)
    assert harm_p_value(worse, Direction.DECREASE) == pytest.approx(1 - harm, rel=1e-12)


def test_no_difference_is_a_coin_toss(total, settings):
    assert harm_p_value(_estimate(total, settings, 0.0), Direction.INCREASE) == 0.5


def test_method_without_df_is_normal(total, settings, define):
    assert define(MetricType.PROPORTION)
    arm, worse = total(np.arange(200) < 90), total(np.arange(200) < 60)
    estimate = estimate_proportions(arm, worse, settings)
    harm = harm_p_value(estimate, Direction.INCREASE)
    assert harm == pytest.approx(estimate.p_value / 2, rel=1e-12)


def test_no_statistic_has_no_harm_p_value(total, settings):
    constant = estimate_welch(total(np.ones(9)), total(np.ones(9)), settings)
    assert harm_p_value(constant, Direction.INCREASE) is None
    bare = replace(_estimate(total, settings, 1.0), statistic=None)
    assert harm_p_value(bare, Direction.INCREASE) is None


@pytest.mark.parametrize("inference", ["wild_cluster_bootstrap", "randomisation"])
def test_a_resampled_row_has_half_of_its_symmetric_p(inference, total, settings):
    worse = _estimate(total, settings, -0.2)
    row = replace(worse, p_value=0.4, details={"inference": inference})
    assert harm_p_value(row, Direction.INCREASE) == 0.2
    assert harm_p_value(row, Direction.DECREASE) == 0.8
    assert harm_p_value(worse, Direction.INCREASE) != 0.2
