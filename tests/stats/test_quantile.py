import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.stats.quantile import estimate_quantile, rank_of, summarise_quantile

NAMES = ("exp_1", "spend", "control")
DATA = Path(__file__).parents[1] / "golden" / "quantile" / "data.json"


def _draw(seed, n=800, scale=1.0):
    return scale * np.random.default_rng(seed).lognormal(0, 1, n)


def _events(random, n=300, spread=0.7):
    sizes = random.poisson(4, n)
    units = np.repeat(np.arange(n), sizes)
    level = random.normal(0, spread, n)[units]
    return np.exp(level + random.normal(0, 0.8, units.size)), units


def test_rank_of_a_share_that_rounding_lifts_is_the_whole_number():
    assert rank_of(0.9, 2000) == 1800
    assert rank_of(0.5, 3) == 2
    assert rank_of(0.07, 100) == 7


@pytest.mark.parametrize("case", ["single", "clustered"])
def test_share_error_and_ends_agree_with_r_survey(case, golden):
    answer = golden("quantile")
    data = json.loads(DATA.read_text())
    values = np.array(data["single" if case == "single" else "values"])
    for one in answer[case]:
        units = np.arange(values.size) if case == "single" else np.array(data["units"])
        found = summarise_quantile(NAMES, values, one["quantile"], units=units)
        assert found.value == one["value"]
        # The same sums in another order.
        assert found.share_error == pytest.approx(one["share_error"], rel=1e-10)
        assert [found.lower, found.value, found.upper] == one["ends"]


def test_one_value_per_unit_has_nearly_the_binomial_error():
    values = _draw(1, 1000)
    plain = summarise_quantile(NAMES, values, 0.9)
    clustered = summarise_quantile(NAMES, values, 0.9, units=np.arange(1000))
    # n - 1 against n, and the share at the order statistic against the quantile.
    assert clustered.share_error == pytest.approx(plain.share_error, rel=1e-3)


def test_units_without_values_count():
    random = np.random.default_rng(2)
    values, units = _events(random)
    more = summarise_quantile(NAMES, values, 0.5, units=units, n_units=400)
    assert more.n == 400
    assert more.n_values == values.size


def test_estimate_quantile_has_the_errors_of_both_arms(settings):
    arms = [summarise_quantile(NAMES, _draw(s), 0.5) for s in (1, 2)]
    found = estimate_quantile(*arms, settings)
    errors = [(arm.upper - arm.lower) / (2 * arm.z) for arm in arms]
    assert found.standard_error == pytest.approx(np.hypot(*errors))
    assert found.difference == arms[1].value - arms[0].value
    assert found.details["quantile"] == 0.5
    assert found.method == "quantile_woodruff"


def test_estimate_quantile_refuses_what_has_no_error(settings):
    good = summarise_quantile(NAMES, _draw(1), 0.5)
    beyond = summarise_quantile(NAMES, _draw(1, 30), 0.99)
    tied = summarise_quantile(NAMES, np.zeros(500), 0.5)
    empty = summarise_quantile(NAMES, np.array([]), 0.5)
    assert estimate_quantile(good, beyond, settings).reason == "TOO_FEW_UNITS"
    assert estimate_quantile(good, tied, settings).reason == "TIED_QUANTILE"
    assert estimate_quantile(good, empty, settings).reason == "TOO_FEW_UNITS"
    broken = replace(good, value=float("nan"))
    assert estimate_quantile(good, broken, settings).reason == "INVALID_MOMENTS"


@given(seed=st.integers(0, 500), scale=st.floats(0.01, 100), share=st.floats(0.1, 0.9))
def test_quantiles_follow_the_unit_of_the_metric(seed, scale, share, settings):
    arms, scaled = (
        [summarise_quantile(NAMES, _draw(s, 200, k), share) for s in (seed, seed + 1)]
        for k in (1.0, scale)
    )
    plain, other = (estimate_quantile(*a, settings) for a in (arms, scaled))
    assert other.p_value == pytest.approx(plain.p_value, rel=1e-9)
    assert other.difference == pytest.approx(scale * plain.difference, rel=1e-9)


@given(seed=st.integers(0, 500))
def test_swapped_arms_flip_the_sign(seed, settings):
    arms = [summarise_quantile(NAMES, _draw(s, 200), 0.5) for s in (seed, seed + 1)]
    there, back = (estimate_quantile(*a, settings) for a in (arms, arms[::-1]))
    assert there.difference == -back.difference
    assert there.p_value == back.p_value


@pytest.mark.calibration
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_woodruff_interval_covers(share, named_random):
    from scipy.special import ndtri

    runs, truth, hits = 1500, float(np.exp(ndtri(share))), 0
    for _ in range(runs):
        found = summarise_quantile(NAMES, named_random.lognormal(0, 1, 2000), share)
        hits += found.lower <= truth <= found.upper
    assert abs(hits / runs - 0.95) < 0.017


@pytest.mark.calibration
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_clustered_difference_holds_its_level(share, named_random, settings):
    runs, hits, naive = 1500, 0, 0
    for _ in range(runs):
        draws = [_events(named_random) for _ in range(2)]
        arms = [
            summarise_quantile(NAMES, v, share, units=u, n_units=300) for v, u in draws
        ]
        hits += estimate_quantile(*arms, settings).p_value < 0.05
        iid = [summarise_quantile(NAMES, v, share) for v, _ in draws]
        naive += estimate_quantile(*iid, settings).p_value < 0.05
    # 4 binomial errors and .005 for order statistics as interval ends.
    assert abs(hits / runs - 0.05) < 4 * np.sqrt(0.05 * 0.95 / runs) + 0.005
    assert naive > 1.5 * hits
