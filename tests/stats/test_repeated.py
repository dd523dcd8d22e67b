import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import ndtri

from exp_platform.stats.lift import restate_lift
from exp_platform.stats.relative import infer_relative
from exp_platform.stats.repeated import (
    LARGEST_Z,
    normal_statistic,
    refuse_look,
    relative_error,
    relative_statistic,
    widen_interval,
)
from exp_platform.stats.welch import arm_of, compare_arms, estimate_welch


@pytest.fixture(scope="module")
def arms(total):
    random = np.random.default_rng(31)
    return total(random.normal(5, 2, 40)), total(random.normal(6, 3, 25), "treatment")


@pytest.fixture(scope="module")
def estimate(arms, settings):
    return estimate_welch(*arms, settings)


@pytest.fixture(scope="module")
def near_zero(total, settings):
    random = np.random.default_rng(32)
    arms = (
        total(random.normal(0.3, 1, 100)),
        total(random.normal(0.5, 1, 100), "treatment"),
    )
    return estimate_welch(*arms, settings)


def test_one_look_gives_back_the_interval_of_the_estimator(estimate, near_zero):
    for row in (estimate, near_zero):
        found = widen_interval(row, -ndtri(0.025))
        for name in (
            "ci_lower",
            "ci_upper",
            "relative_ci_lower",
            "relative_ci_upper",
        ):
            # The same formulas; the quantile of t is found from another tail.
            expected = pytest.approx(getattr(row, name), rel=1e-9)
            assert getattr(found, name) == expected


def test_wider_interval_is_the_estimators_at_a_smaller_alpha(arms, estimate):
    comparison = compare_arms(arm_of(arms[0]), arm_of(arms[1]), 0.001)
    found = widen_interval(estimate, -ndtri(0.0005))
    assert found.ci_lower == pytest.approx(comparison.inference.ci_lower[0])
    relative = comparison.relative
    assert found.relative_ci_upper == pytest.approx(relative.ci_upper[0])
    delta = restate_lift(estimate, "delta")
    found = widen_interval(delta, -ndtri(0.0005))
    relative = infer_relative(comparison.inference, comparison.baseline, method="delta")
    assert found.relative_method == "delta"
    assert found.relative_ci_upper == pytest.approx(relative.ci_upper[0])


def test_unbounded_fieller_set_has_no_interval(near_zero):
    assert near_zero.relative_method == "fieller"
    found = widen_interval(near_zero, 5.0)
    assert found.relative_ci_lower is None
    assert found.relative_ci_upper is None
    assert found.ci_lower is not None
    assert found.details["relative_reason"] == "INTERVAL_UNBOUNDED"


def test_no_boundary_no_interval(estimate):
    for critical in (math.inf, math.nan):
        found = widen_interval(estimate, critical)
        assert found.ci_lower is None
        assert found.relative_ci_upper is None
    # The t quantile of 5 degrees of freedom overflows there.
    few = replace(estimate, df=5.0)
    assert widen_interval(few, 36.0).ci_lower is None


def test_normal_statistic_has_the_p_value_of_t(estimate):
    z = normal_statistic(estimate)
    assert 2 * (1 - 0.5 * math.erfc(-abs(z) / math.sqrt(2))) == pytest.approx(
        estimate.p_value, rel=1e-9
    )
    assert abs(z) < abs(estimate.statistic)
    assert normal_statistic(replace(estimate, statistic=None)) is None
    assert normal_statistic(replace(estimate, statistic=-1e9, df=1e9)) == -LARGEST_Z


def test_relative_statistic_has_the_sign_of_the_lift(estimate):
    z = relative_statistic(estimate)
    assert math.copysign(1, z) == math.copysign(1, estimate.relative_lift)
    assert relative_statistic(replace(estimate, relative_p_value=None)) is None
    assert z == normal_statistic(estimate)
    delta = restate_lift(estimate, "delta")
    assert 0 < relative_statistic(delta) < z
    assert relative_statistic(replace(delta, relative_p_value=0.0)) == LARGEST_Z


def test_row_without_a_baseline_has_no_relative_interval(estimate):
    bare = replace(estimate, details={})
    assert relative_error(bare) is None
    assert widen_interval(bare, 2.0).relative_ci_lower is None
    point = replace(estimate, relative_method="point")
    assert widen_interval(point, 2.0).relative_ci_lower is None


def test_refused_look_has_no_numbers(estimate):
    found = refuse_look(estimate, "msprt")
    assert not found.is_ok
    assert found.n_control == estimate.n_control
    numbers = (found.difference, found.ci_lower, found.p_value, found.relative_lift)
    assert numbers == (None,) * 4
