from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import ContractError
from exp_platform.records import EstimateStatus
from exp_platform.stats.tail import (
    assess_tail,
    count_top,
    estimate_capped,
    find_threshold,
    summarise_tail,
)
from exp_platform.stats.welch import estimate_welch

NAMES = ("exp_1", "spend", "control")


def _assess(draws, total, top_share=0.001):
    threshold = find_threshold(np.concatenate(draws), top_share=top_share)
    tails = tuple(summarise_tail(NAMES, d, threshold) for d in draws)
    return threshold, assess_tail(*(total(d) for d in draws), tails)


def test_threshold_leaves_the_share_above():
    values = np.arange(1, 2001, dtype=float)
    assert find_threshold(values) == 1998
    assert np.sum(values > find_threshold(values)) == 2


@pytest.mark.parametrize("top_share", [0.001, 0.05, 1e-9])
def test_capped_comparison_is_welch_on_capped_values(top_share, total, settings):
    random = np.random.default_rng(1)
    draws = [random.lognormal(0, 2, n) for n in (1500, 2500)]
    threshold, found = _assess(draws, total, top_share)
    welch = estimate_welch(*(total(np.minimum(d, threshold)) for d in draws), settings)
    plain = estimate_welch(*(total(d) for d in draws), settings)
    # Moments less the tail's against the capped values themselves.
    assert found.capped_difference == pytest.approx(welch.difference, rel=1e-9)
    assert found.capped_p_value == pytest.approx(welch.p_value, rel=1e-8)
    assert found.error_ratio == pytest.approx(
        welch.standard_error / plain.standard_error, rel=1e-9
    )
    assert found.carried == pytest.approx(plain.difference - welch.difference)
    assert found.shift == pytest.approx(found.carried / plain.standard_error)


def test_one_huge_unit_carries_the_difference(total):
    draws = [np.ones(1000) + np.arange(1000) % 2, np.ones(1000) + np.arange(1000) % 2]
    draws[1] = np.append(draws[1][:-1], 500.0)
    _, found = _assess(draws, total)
    assert found.n_above == (0, 1)
    assert found.carried_share == pytest.approx(1, abs=0.02)


def test_nothing_to_say_is_none(total):
    flat = np.ones(50)
    assert _assess([flat, flat], total)[1] is None
    arm = total(np.arange(50.0))
    tails = tuple(summarise_tail(NAMES, np.arange(50.0), 48.0) for _ in range(2))
    assert assess_tail(arm, replace(arm, mean=None), tails) is None
    equal = assess_tail(arm, arm, tails)
    assert equal.carried_share is None
    with pytest.raises(ContractError, match="thresholds"):
        assess_tail(arm, arm, (tails[0], replace(tails[1], threshold=1.0)))


@given(seed=st.integers(0, 500), scale=st.floats(0.01, 100))
def test_share_carried_does_not_depend_on_the_unit(seed, scale, total):
    random = np.random.default_rng(seed)
    draws = [random.lognormal(0, 2, 400) for _ in range(2)]
    _, plain = _assess(draws, total, 0.01)
    _, scaled = _assess([scale * d for d in draws], total, 0.01)
    assert scaled.shift == pytest.approx(plain.shift, rel=1e-6)


@pytest.mark.parametrize(
    ("n", "count"), [(0, 0), (1, 0), (999, 0), (1000, 1), (1999, 1), (25_500, 25)]
)
def test_top_share_holds_whole_units(n, count):
    assert count_top(n) == count


def _row(draws, total, settings, top_share=0.001):
    threshold = find_threshold(np.concatenate(draws), top_share=top_share)
    tails = tuple(summarise_tail(NAMES, d, threshold) for d in draws)
    arms = (total(draws[0]), total(draws[1], "treatment"))
    return estimate_capped(*arms, tails, settings, top_share=top_share)


def test_capped_row_is_welch_on_capped_values(total, settings):
    random = np.random.default_rng(5)
    draws = [random.lognormal(0, 2, n) for n in (1500, 2500)]
    row = _row(draws, total, settings)
    threshold = row.details["threshold"]
    welch = estimate_welch(*(total(np.minimum(d, threshold)) for d in draws), settings)
    for name in ("difference", "standard_error", "ci_lower", "p_value", "df"):
        # Moments less the tail's against the capped values themselves.
        assert getattr(row, name) == pytest.approx(getattr(welch, name), rel=1e-8)
    assert row.method == "tail_capped"
    assert sum(row.details["n_above"]) == 4
    plain = row.details["plain_difference"]
    assert row.details["carried"] == pytest.approx(plain - row.difference)


def test_capped_row_is_refused_without_a_tail_or_spread(total, settings):
    random = np.random.default_rng(5)
    few = _row([random.normal(0, 1, 300)] * 2, total, settings)
    assert (few.status, few.reason) == (
        EstimateStatus.INSUFFICIENT_DATA,
        "TOO_FEW_UNITS",
    )
    flat = _row([np.ones(600)] * 2, total, settings)
    assert (flat.reason, flat.p_value) == ("ZERO_VARIANCE", None)
    lump = np.append(np.ones(1999), 50.0)
    capped = _row([np.ones(2000), lump], total, settings)
    assert (capped.reason, capped.difference) == ("ZERO_VARIANCE", 0.0)
    assert capped.details["carried_share"] == 1.0


@pytest.mark.parametrize("size", [1e6, 1e9, 1e12])
def test_capped_row_of_moments_is_right_or_refused(size, total, settings):
    random = np.random.default_rng(2)
    draws = [random.normal(5, 1, 1000), random.normal(5.1, 1, 1000)]
    draws[0][0] = size
    threshold = find_threshold(np.concatenate(draws))
    below = [total(np.minimum(values, threshold)) for values in draws]
    expected = estimate_welch(*below, settings)
    row = _row(draws, total, settings)
    if size > 1e6:
        assert (row.reason, row.standard_error) == ("PRECISION_LOST", None)
    else:
        assert row.standard_error == pytest.approx(expected.standard_error, rel=1e-6)


def test_capped_row_of_units_all_on_the_cap_does_not_vary(total, settings):
    random = np.random.default_rng(2)
    draws = [np.append(0.1, 0.1 + random.random(399)) for _ in range(2)]
    row = _row(draws, total, settings, top_share=0.999)
    assert (row.reason, row.p_value) == ("ZERO_VARIANCE", None)
