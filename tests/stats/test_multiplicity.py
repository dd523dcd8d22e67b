import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from exp_platform.stats.multiplicity import (
    CORRECTIONS,
    adjust_bh,
    adjust_estimates,
    adjust_hochberg,
    adjust_holm,
    bound_holm,
    interval_alphas,
)
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


@pytest.fixture(scope="module")
def corrections():
    folder = Path(__file__).parents[1] / "golden" / "multiplicity"
    return json.loads((folder / "corrections.json").read_text())


@pytest.mark.parametrize("method", list(CORRECTIONS))
def test_corrections_agree_with_r(corrections, method):
    for case in corrections["cases"]:
        p_values = np.atleast_1d(case["p_values"])
        # The same products; R sums the harmonic numbers in another order.
        np.testing.assert_allclose(
            CORRECTIONS[method](p_values), np.atleast_1d(case[method]), rtol=1e-13
        )


@pytest.mark.parametrize("method", list(CORRECTIONS))
def test_planned_tests_without_a_p_value_count_as_in_r(corrections, method):
    case = corrections["planned"]
    found = CORRECTIONS[method](case["p_values"], family_size=case["family_size"])
    np.testing.assert_allclose(found, case[method], rtol=1e-13)


@given(p_values=P_VALUES)
def test_corrections_are_ordered(p_values):
    known = ~np.isnan(np.array(p_values, dtype=float))
    found = {name: f(p_values)[known] for name, f in CORRECTIONS.items()}
    slack = 1 + 1e-12
    assert (found["bh"] <= found["hochberg"] * slack).all()
    assert (found["hochberg"] <= found["holm"] * slack).all()
    assert (found["holm"] <= found["bonferroni"] * slack).all()
    assert (found["bh"] <= found["by"] * slack).all()


def test_hochberg_is_kinder_than_holm():
    p_values = [0.04, 0.045, 0.049]
    assert (adjust_hochberg(p_values) <= 0.05).all()
    assert (adjust_holm(p_values) > 0.05).all()


def test_adjust_estimates_takes_any_correction(total, settings):
    base = np.tile([1.0, 2.0, 3.0], 40)
    good = estimate_welch(total(base), total(base + 0.2), settings)
    rows = adjust_estimates([good, good], method="bonferroni")
    assert rows[0].p_value_adjusted == pytest.approx(2 * good.p_value)


def test_interval_alphas_of_the_simultaneous_corrections_are_alpha_over_m():
    p_values = [0.001, None, 0.2]
    for method in ("bonferroni", "holm", "hochberg"):
        found = interval_alphas(p_values, 0.06, method, family_size=6)
        np.testing.assert_allclose(found, [0.01, np.nan, 0.01])


def test_interval_alphas_of_discoveries_belong_to_the_selected():
    p_values = [0.001, 0.009, 0.3, None]
    found = interval_alphas(p_values, 0.05, "bh")
    np.testing.assert_allclose(found, [0.05 * 2 / 3, 0.05 * 2 / 3, np.nan, np.nan])
    by = interval_alphas(p_values, 0.05, "by")
    np.testing.assert_allclose(by[0], found[0] / (1 + 1 / 2 + 1 / 3))
    assert np.isnan(interval_alphas([0.9], 0.05, "bh")).all()


@given(
    z=st.lists(st.floats(-4, 6), min_size=1, max_size=8),
    alpha=st.sampled_from([0.01, 0.025, 0.1]),
)
def test_holm_bounds_agree_with_holm_and_beat_bonferroni(z, alpha):
    difference, one, df = np.array(z), np.ones(len(z)), np.full(len(z), np.inf)
    found = bound_holm(difference, one, df, alpha)
    p_values = ndtr(-difference)
    is_rejected = adjust_holm(p_values) <= alpha
    assert ((found >= 0) == is_rejected).all()
    bonferroni = difference + ndtri(alpha / len(z))
    left = ~is_rejected
    assert (found[left] >= bonferroni[left] - 1e-12).all()


def test_holm_bounds_cover_together():
    random = np.random.default_rng(10)
    truth = np.array([0.0, 1.0, 3.0, 6.0])
    estimates = truth + random.normal(0, 1, (20_000, 4))
    one, df = np.ones(4), np.full(4, np.inf)
    covers = [(bound_holm(x, one, df, 0.05) <= truth).all() for x in estimates]
    assert np.mean(covers) > 0.95 - 3 * np.sqrt(0.05 * 0.95 / 20_000)
