import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from exp_platform.stats.score import (
    Counts,
    bound_difference,
    bound_ratio,
    score_difference,
    score_ratio,
)


def _counts(x1, n1, x0, n0):
    return Counts(*(np.array([float(v)]) for v in (x0, n0, x1, n1)))


def test_bound_difference_agrees_with_a_numerical_maximum(golden):
    answer = golden("proportion")
    for case in [*answer["cases"], *answer["extreme"]]:
        counts = _counts(*case["counts"])
        found = [bound_difference(counts, 0.025, is_upper=u)[0] for u in (False, True)]
        # A minimum is located to about the root of the precision of doubles.
        assert found == pytest.approx(case["score_difference"], abs=1e-6)


def test_bound_ratio_agrees_with_statsmodels(golden):
    for case in golden("proportion")["cases"]:
        counts = _counts(*case["counts"])
        found = [bound_ratio(counts, 0.025, is_upper=u)[0] for u in (False, True)]
        # statsmodels stops its root search at 1e-12 .. 1e-9 of z.
        assert found == pytest.approx(case["score_ratio"], rel=1e-7)


@pytest.mark.parametrize("difference", [-0.2, 0.05, 0.4])
def test_score_difference_uses_the_likelihood_maximum(difference):
    x1, n1, x0, n0 = 30, 80, 20, 60
    low, high = max(0.0, -difference), min(1.0, 1 - difference)

    def loss(p):
        q = p + difference
        return -(
            x0 * np.log(p)
            + (n0 - x0) * np.log(1 - p)
            + x1 * np.log(q)
            + (n1 - x1) * np.log(1 - q)
        )

    p = minimize_scalar(loss, bounds=(low, high), method="bounded").x
    q = p + difference
    n = n0 + n1
    error = np.sqrt((q * (1 - q) / n1 + p * (1 - p) / n0) * n / (n - 1))
    z = score_difference(_counts(x1, n1, x0, n0), np.array([difference]))[0]
    # The numerical maximum is found to about 1e-6.
    assert z == pytest.approx((x1 / n1 - x0 / n0 - difference) / error, rel=1e-5)


def test_scores_of_equality_are_the_pooled_test():
    counts = _counts(56, 70, 48, 80)
    pooled = 104 / 150
    error = np.sqrt(pooled * (1 - pooled) * (1 / 70 + 1 / 80) * 150 / 149)
    z = (56 / 70 - 48 / 80) / error
    assert score_difference(counts, np.zeros(1))[0] == pytest.approx(z, rel=1e-12)
    assert score_ratio(counts, np.ones(1))[0] == pytest.approx(z, rel=1e-12)


@given(
    n1=st.integers(2, 5000),
    n0=st.integers(2, 5000),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_bounds_enclose_the_observed_difference(n1, n0, shares):
    counts = _counts(round(shares[0] * n1), n1, round(shares[1] * n0), n0)
    observed = counts.treatment_rate - counts.control_rate
    lower = bound_difference(counts, 0.025, is_upper=False)
    upper = bound_difference(counts, 0.025, is_upper=True)
    assert -1 <= lower <= observed <= upper <= 1


@given(n=st.integers(10, 5000), x1=st.integers(0, 50), x0=st.integers(1, 50))
def test_swapped_arms_invert_the_ratio_bounds(n, x1, x0):
    assume(0 < x1 < n and x0 < n)
    there = bound_ratio(_counts(x1, n, x0, n), 0.025, is_upper=True)[0]
    back = bound_ratio(_counts(x0, n, x1, n), 0.025, is_upper=False)[0]
    # Bisection of a share near 1 loses digits of the ratio.
    assert there == pytest.approx(1 / back, rel=1e-6)
