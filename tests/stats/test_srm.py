import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from exp_platform.errors import ContractError
from exp_platform.stats.srm import (
    assess_split,
    chi_square_split,
    log_e_split,
    track_split,
)


def test_assess_split_agrees_with_scipy(golden):
    for case in golden("srm")["large"]:
        split = assess_split(case["observed"], case["weights"])
        assert split.p_method == "chi_square"
        assert split.chi_square == pytest.approx(case["chi_square"], rel=1e-12)
        assert split.p_value == pytest.approx(case["p_value"], rel=1e-10)


def test_small_splits_are_exact(golden):
    for case in golden("srm")["small"]:
        split = assess_split(case["observed"], case["weights"])
        assert split.p_method == "exact_multinomial"
        assert split.p_value == pytest.approx(case["exact"], rel=1e-9)


def test_e_value_agrees_with_scipy(golden):
    for case in [*golden("srm")["large"], *golden("srm")["small"]]:
        found = log_e_split([case["observed"]], case["weights"])[0]
        # Differences of log-gammas near 1e6 keep about nine digits after the point.
        assert found == pytest.approx(case["log_e"], abs=1e-8)


def test_exact_test_too_large_to_enumerate_is_simulated_and_repeatable():
    observed, weights = [4, 3, 30_000, 30_010], [1, 1, 10_000, 10_000]
    first, second = assess_split(observed, weights), assess_split(observed, weights)
    assert first.p_method == "simulated_multinomial"
    assert first == second
    # Both rare arms expect 3: nothing unusual here.
    assert first.p_value > 0.2


@pytest.mark.parametrize(
    ("observed", "weights"),
    [([0, 0], [1, 1]), ([7], [1.0])],
)
def test_split_without_question_has_no_p_value(observed, weights):
    split = assess_split(observed, weights)
    assert split.p_value is None
    assert split.max_deviation is None


@pytest.mark.parametrize(
    ("observed", "weights"),
    [([1, 2], [1]), ([-1, 2], [1, 1]), ([1, 2], [0, 1]), ([1, 2], [1, float("nan")])],
)
def test_broken_splits_are_contract_errors(observed, weights):
    with pytest.raises(ContractError, match="do not fit together"):
        assess_split(observed, weights)
    with pytest.raises(ContractError, match="do not fit together"):
        track_split([observed], weights)


def test_track_split_reports_the_largest_e_value_so_far():
    looks = [[100, 100], [900, 600], [1600, 1600]]
    track = track_split(looks, [1, 1])
    assert track.e_value_max == max(track.e_values) == track.e_values[1]
    assert track.p_value == pytest.approx(1 / track.e_value_max)


def test_track_split_without_looks_knows_nothing():
    assert track_split([], [1, 1]).p_value == 1.0


def test_hopeless_split_does_not_overflow():
    track = track_split([[1_000_000, 10]], [1, 1])
    assert np.isfinite(track.e_value_max)
    assert track.p_value < 1e-299


@given(
    observed=st.lists(st.integers(0, 100_000), min_size=2, max_size=5),
    scale=st.floats(0.01, 100),
)
def test_scale_of_the_weights_does_not_matter(observed, scale):
    weights = np.arange(1, len(observed) + 1)
    if sum(observed) == 0:
        return
    plain = chi_square_split([observed], weights)[0]
    scaled = chi_square_split([observed], weights * scale)[0]
    np.testing.assert_allclose(plain, scaled, rtol=1e-9, atol=1e-9)


@given(n=st.integers(1, 12))
def test_exact_p_values_of_all_splits_are_probabilities(n):
    p_values = [assess_split([k, n - k], [1, 3]).p_value for k in range(n + 1)]
    assert all(0 < p <= 1 for p in p_values)
    assert max(p_values) == pytest.approx(1)


@given(n=st.integers(1, 40), share=st.floats(0.05, 0.95))
def test_e_value_is_fair_under_the_plan(n, share):
    # The expectation over the planned split is exactly 1: a fair bet.
    counts = np.array([[k, n - k] for k in range(n + 1)])
    weights = [share, 1 - share]
    chances = binom.pmf(np.arange(n + 1), n, share)
    expected = float(chances @ np.exp(log_e_split(counts, weights)))
    assert expected == pytest.approx(1, rel=1e-8)


@pytest.mark.calibration
def test_e_value_alarms_rarely_over_daily_looks():
    random = np.random.default_rng(1)
    runs, days = 4000, 28
    daily = random.binomial(2000, 0.5, (runs, days)).cumsum(axis=1)
    total = 2000 * np.arange(1, days + 1)
    counts = np.stack([daily, total - daily], axis=-1).reshape(-1, 2)
    largest = log_e_split(counts, [1, 1]).reshape(runs, days).max(axis=1)
    alarm = np.mean(largest >= np.log(100))
    # Ville: at most .01 at a bound of 100, whatever the looks; 3 binomial errors.
    assert alarm <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / runs)


@pytest.mark.calibration
def test_e_value_finds_a_real_mismatch():
    random = np.random.default_rng(2)
    n = random.binomial(100_000, 0.51, 1000)
    found = log_e_split(np.stack([n, 100_000 - n], axis=1), [1, 1]) >= np.log(1000)
    assert found.mean() > 0.95
