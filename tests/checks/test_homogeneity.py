import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from exp_platform.checks.homogeneity import compare_shares


def test_compare_shares_of_large_arms_is_the_chi_square_test():
    p_value = compare_shares(
        {"a": 5000, "b": 4900, "c": 400}, {"a": 60, "b": 90, "c": 9}
    )
    answer = stats.chi2_contingency([[60, 90, 9], [4940, 4810, 391]], correction=False)
    # The same sum in another order.
    assert p_value == pytest.approx(answer.pvalue, rel=1e-10)


@pytest.mark.parametrize(
    ("units", "marked"),
    [((500, 520), (0, 6)), ((500, 520), (1, 2)), ((90, 10), (3, 3)), ((8, 9), (8, 0))],
)
def test_compare_shares_of_small_counts_is_fishers_test(units, marked):
    p_value = compare_shares(
        dict(zip("ab", units, strict=True)), dict(zip("ab", marked, strict=True))
    )
    rest = [n - k for n, k in zip(units, marked, strict=True)]
    answer = stats.fisher_exact([list(marked), rest])
    # gammaln against the hypergeometric distribution of scipy.
    assert p_value == pytest.approx(answer.pvalue, rel=1e-9)


def test_compare_shares_of_several_small_arms_pays_for_each_comparison():
    units = {"a": 100, "b": 100, "c": 100}
    one = stats.fisher_exact([[6, 0], [94, 200]]).pvalue
    assert compare_shares(units, {"a": 6}) == pytest.approx(3 * one, rel=1e-9)


@pytest.mark.parametrize(
    ("units", "marked"),
    [({"a": 5}, {"a": 1}), ({"a": 5, "b": 0}, {}), ({"a": 5, "b": 5}, {"a": 6})],
)
def test_compare_shares_without_two_arms_or_with_too_many_marks_is_none(units, marked):
    assert compare_shares(units, marked) is None


def test_compare_shares_without_marks_is_one():
    assert compare_shares({"a": 5, "b": 5}, {}) == 1.0


@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.integers(0, 400)), min_size=2, max_size=4
    )
)
def test_compare_shares_is_a_probability(arms):
    units = {str(i): max(pair) for i, pair in enumerate(arms)}
    marked = {str(i): min(pair) for i, pair in enumerate(arms)}
    p_value = compare_shares(units, marked)
    assert p_value is None or (math.isfinite(p_value) and 0 <= p_value <= 1)
