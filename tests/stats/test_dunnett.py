from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from exp_platform.errors import ContractError
from exp_platform.stats.dunnett import (
    adjust_dunnett,
    critical_dunnett,
    exceed_largest,
)
from exp_platform.stats.welch import estimate_welch


def test_exceed_largest_agrees_with_mvtnorm(golden):
    for case in golden("dunnett")["cases"]:
        n = np.array(case["n"], dtype=float)
        loadings = np.sqrt(n[1:] / (n[1:] + n[0]))
        found = exceed_largest(
            np.array([case["critical"]]),
            loadings,
            df=float(case["df"]),
            sides=case["sides"],
        )
        # Miwa's algorithm with 4,096 steps is good to about 1e-10.
        assert found[0] == pytest.approx(case["p_value"], rel=1e-9)


def test_critical_dunnett_agrees_with_dunnetts_table():
    # Dunnett (1964), two-sided .05: 3 arms of equal size, 20 and infinite df.
    loadings = np.sqrt([0.5, 0.5, 0.5])
    assert critical_dunnett(loadings, 0.05, df=20) == pytest.approx(2.54, abs=0.005)
    assert critical_dunnett(loadings, 0.05) == pytest.approx(2.35, abs=0.005)


def test_one_arm_is_the_plain_test():
    loading = np.sqrt([0.3])
    assert critical_dunnett(loading, 0.05) == pytest.approx(ndtri(0.975), rel=1e-12)
    one_sided = critical_dunnett(loading, 0.05, sides=1)
    assert one_sided == pytest.approx(ndtri(0.95), rel=1e-12)


def test_small_probabilities_keep_their_digits():
    found = exceed_largest(np.array([9.0]), np.sqrt([0.5, 0.5]))
    # So far out the arms hardly ever exceed together.
    assert found[0] == pytest.approx(4 * ndtr(-9.0), rel=1e-4)


@given(
    shares=st.lists(st.floats(0.02, 0.98), min_size=1, max_size=6),
    critical=st.floats(0.5, 5),
)
def test_dunnett_lies_between_one_arm_and_unrelated_arms(shares, critical):
    loadings = np.sqrt(shares)
    found = exceed_largest(np.array([critical]), loadings)[0]
    one = 2 * ndtr(-critical)
    assert one * (1 - 1e-9) <= found
    assert found <= -np.expm1(len(shares) * np.log1p(-one)) * (1 + 1e-9)


@given(shares=st.lists(st.floats(0.05, 0.95), min_size=2, max_size=5))
def test_order_of_the_arms_does_not_matter(shares):
    loadings = np.sqrt(shares)
    values = np.array([1.5, 2.5])
    np.testing.assert_allclose(
        exceed_largest(values, loadings),
        exceed_largest(values, loadings[::-1]),
        rtol=1e-12,
    )


@pytest.fixture(scope="module")
def rows(total, settings):
    random = np.random.default_rng(12)
    control = total(random.normal(10, 2, 500))
    sizes, effects = (500, 200, 900), (0.1, 0.4, 0.25)
    return [
        estimate_welch(
            control, total(random.normal(10 + e, 2, n), f"arm_{n}"), settings
        )
        for n, e in zip(sizes, effects, strict=True)
    ]


def test_adjust_dunnett_is_kinder_than_bonferroni(rows):
    for row, adjusted in zip(rows, adjust_dunnett(rows), strict=True):
        assert row.p_value < adjusted.p_value_adjusted
        assert adjusted.p_value_adjusted < min(1.0, 3 * row.p_value)
        assert adjusted.ci_lower < row.ci_lower
        is_outside = adjusted.ci_lower > 0 or adjusted.ci_upper < 0
        assert is_outside == (adjusted.p_value_adjusted < 0.05)


def test_arm_without_a_number_still_counts(rows, total, settings):
    few = estimate_welch(total(np.ones(500)), total(np.ones(500), "arm_x"), settings)
    found = adjust_dunnett([*rows, few])
    assert found[-1] == few
    for before, after in zip(adjust_dunnett(rows), found, strict=False):
        assert after.p_value_adjusted > before.p_value_adjusted
    assert adjust_dunnett([few]) == (few,)


def test_rows_of_other_metrics_are_a_broken_contract(rows):
    other = replace(rows[1], metric_name="visits")
    for family in ([rows[0], other], [rows[0], rows[0]], []):
        with pytest.raises(ContractError, match="not several arms"):
            adjust_dunnett(family)
