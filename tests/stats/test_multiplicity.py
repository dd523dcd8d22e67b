import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.stats.multiplicity import adjust_bh, adjust_estimates, adjust_holm
from exp_platform.stats.welch import estimate_welch

P_VALUES = st.lists(
    st.one_of(st.none(), st.just(float("nan")), st.floats(0, 1)), max_size=20
)


def test_adjust_holm_and_bh_agree_with_statsmodels(golden):
    for case in golden("multiplicity")["cases"]:
        # The same products; only their order may differ.
        holm = adjust_holm(case["p_values"])
        np.testing.assert_allclose(holm, case["holm"], rtol=1e-14)
        np.testing.assert_allclose(adjust_bh(case["p_values"]), case["bh"], rtol=1e-14)


def test_missing_p_values_stay_missing_and_do_not_count():
    found = adjust_holm([0.01, None, 0.02, float("nan")])
    np.testing.assert_allclose(found, [0.02, np.nan, 0.02, np.nan])


def test_planned_tests_count_even_without_a_p_value():
    assert adjust_holm([0.01, None], family_size=4)[0] == pytest.approx(0.04)
    assert adjust_bh([0.01, None], family_size=4)[0] == pytest.approx(0.04)


@pytest.mark.parametrize("adjust", [adjust_holm, adjust_bh])
def test_empty_family_is_empty(adjust):
    assert adjust([]).size == 0
    assert np.isnan(adjust([None])).all()


@given(p_values=P_VALUES)
def test_adjusted_p_values_are_larger_monotone_and_at_most_one(p_values):
    p = np.array(p_values, dtype=float)
    holm, bh = adjust_holm(p_values), adjust_bh(p_values)
    known = ~np.isnan(p)
    assert (np.isnan(holm) == ~known).all()
    assert (np.isnan(bh) == ~known).all()
    assert (holm[known] <= 1).all()
    assert (p[known] <= bh[known] * (1 + 1e-15)).all()
    assert (bh[known] <= holm[known] * (1 + 1e-12)).all()
    order = np.argsort(p[known], kind="stable")
    for adjusted in (holm, bh):
        assert (np.diff(adjusted[known][order]) >= 0).all()


@given(p_values=P_VALUES, seed=st.integers(0, 99))
def test_order_of_the_family_does_not_matter(p_values, seed):
    turn = np.random.default_rng(seed).permutation(len(p_values))
    turned = adjust_holm([p_values[index] for index in turn])
    np.testing.assert_array_equal(turned, adjust_holm(p_values)[turn])


def test_adjust_estimates_counts_rows_without_p_value(total, settings):
    base = np.tile([1.0, 2.0, 3.0], 40)
    good = estimate_welch(total(base), total(base + 0.2), settings)
    bad = estimate_welch(total(np.ones(9)), total(np.ones(9)), settings)
    adjusted = adjust_estimates([good, bad])
    assert adjusted[0].p_value_adjusted == pytest.approx(2 * good.p_value)
    assert adjusted[1].p_value_adjusted is None
    wider = adjust_estimates([good], family_size=3)
    assert wider[0].p_value_adjusted == pytest.approx(3 * good.p_value)
