import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from exp_platform.causal.event_path import EventPath, gather_days, path_of
from exp_platform.causal.relative_magnitudes import (
    _list_candidates,
    _refine,
    bound_relative_magnitudes,
    excludes_zero,
)
from exp_platform.causal.sensitivity import (
    assess_sensitivity,
    find_breakdown_m,
    find_breakdown_mbar,
)
from exp_platform.causal.smoothness import bound_smoothness, folded_quantile
from exp_platform.records import EstimateStatus


@pytest.fixture
def benzarti_carloni(request):
    folder = request.path.parents[1] / "golden" / "sensitivity"
    return json.loads((folder / "input.json").read_text())


def _path(source, weights):
    return EventPath(
        np.array(source["coefficients"]),
        np.array(source["covariance"]),
        source["n_pre"],
        np.array(weights),
    )


@pytest.mark.parametrize("target", ["first", "average"])
@pytest.mark.parametrize("method", ["c_lf", "conditional"])
def test_relative_magnitudes_agree_with_moderndid(
    target, method, golden, benzarti_carloni
):
    answer = golden("sensitivity")
    path = _path(benzarti_carloni, answer[target]["weights"])
    # Their ends are points of a grid of 1,000 over 40 standard errors.
    step = 40 * path.standard_error / (answer["grid"] - 1)
    # Their first stage is simulated with 1,000 draws. The purely conditional test is
    # the same one without a first stage, which hardly moves the ends.
    for mbar, lower, upper in answer[target][method]:
        found = bound_relative_magnitudes(path, mbar)
        assert found.lower == pytest.approx(lower, abs=2.5 * step)
        assert found.upper == pytest.approx(upper, abs=2.5 * step)


def test_relative_magnitudes_agree_with_the_r_package(benzarti_carloni):
    path = _path(benzarti_carloni, [1.0, 0.0, 0.0, 0.0])
    mbar, lower, upper = benzarti_carloni["published"][
        "conditional_rm_first_200_points"
    ]
    # A grid of 200 points, and no least-favourable first stage.
    step = 40 * path.standard_error / 199
    found = bound_relative_magnitudes(path, mbar)
    assert found.lower == pytest.approx(lower, abs=1.5 * step)
    assert found.upper == pytest.approx(upper, abs=1.5 * step)


@pytest.mark.parametrize("target", ["first", "average"])
def test_smoothness_agrees_with_diff_diff(target, golden, benzarti_carloni):
    answer = golden("sensitivity")[target]
    path = _path(benzarti_carloni, answer["weights"])
    for bend, lower, upper in answer["smoothness"]:
        found = bound_smoothness(path, bend)
        # diff-diff minimises the length numerically; ours is the exact optimum.
        assert found.lower == pytest.approx(lower, abs=3e-5)
        assert found.upper == pytest.approx(upper, abs=3e-5)
        assert found.upper - found.lower <= upper - lower + 1e-7


def test_smoothness_agrees_with_the_r_package(benzarti_carloni):
    path = _path(benzarti_carloni, [1.0, 0.0, 0.0, 0.0])
    for bend, lower, upper in benzarti_carloni["published"]["smoothness_first"]:
        found = bound_smoothness(path, bend)
        # R simulates the quantile of the folded normal.
        assert found.lower == pytest.approx(lower, abs=1e-4)
        assert found.upper == pytest.approx(upper, abs=1e-4)


def test_folded_quantile_is_the_normal_one_without_bias():
    assert folded_quantile(0.0, 0.05) == pytest.approx(1.959963984540054, rel=1e-12)
    for mean in (0.01, 0.3, 1.0, 2.5, 6.0):
        point = folded_quantile(mean, 0.05)
        assert ndtr(mean - point) + ndtr(-mean - point) == pytest.approx(
            0.05, rel=1e-12
        )
    # Far from 0 only one tail is left.
    assert folded_quantile(9.9, 0.05) == pytest.approx(9.9 + 1.6448536269514722)
    assert folded_quantile(30.0, 0.05) == pytest.approx(30 + 1.6448536269514722)


def test_breakdown_is_where_the_interval_meets_zero(benzarti_carloni):
    path = _path(benzarti_carloni, [1.0, 0.0, 0.0, 0.0])
    mbar = find_breakdown_mbar(path)
    assert 1.5 < mbar < 2.0
    assert bound_relative_magnitudes(path, mbar).lower == pytest.approx(0, abs=1e-4)
    assert excludes_zero(path, mbar - 1e-3)
    assert not excludes_zero(path, mbar + 1e-3)
    bend = find_breakdown_m(path)
    assert bound_smoothness(path, bend).lower == pytest.approx(0, abs=1e-3)


def test_refine_without_an_end_keeps_the_middle(benzarti_carloni):
    path = _path(benzarti_carloni, [1.0, 0.0, 0.0, 0.0])
    candidates = tuple(_list_candidates(path, 1.0, 0.05, 0))
    inside = path.estimate + np.array([-1e-3, 1e-3])
    assert _refine(candidates, inside, 0, 0.05) == pytest.approx(path.estimate)


def test_breakdown_beyond_any_bound_is_the_largest_bound():
    # No drift before the event, and hardly any noise.
    path = EventPath(np.array([0.0, 1.0]), 1e-12 * np.eye(2), 1, np.ones(1))
    assert find_breakdown_mbar(path) == 100


def test_no_effect_breaks_down_at_once():
    path = EventPath(np.zeros(4), np.eye(4), 2, np.array([0.5, 0.5]))
    assert find_breakdown_mbar(path) == 0
    assert find_breakdown_m(path) is None


def test_parallel_and_without_bound_is_the_plain_interval(benzarti_carloni):
    path = _path(benzarti_carloni, [1.0, 0.0, 0.0, 0.0])
    lower, upper = benzarti_carloni["published"]["original"]
    found = bound_relative_magnitudes(path, 0.0)
    # With Mbar = 0 the two stages together are the z test exactly, but for the noise of
    # the first one's critical value.
    assert found.lower == pytest.approx(lower, abs=1e-3 * (upper - lower))
    assert found.upper == pytest.approx(upper, abs=1e-3 * (upper - lower))


@settings(max_examples=8)
@given(seed=st.integers(0, 500), scale=st.floats(0.01, 1000))
def test_intervals_scale_grow_with_the_bound_and_mirror(seed, scale):
    random = np.random.default_rng(seed)
    root = random.normal(0, 1, (5, 5))
    covariance = root @ root.T + np.eye(5)
    path = EventPath(random.normal(0, 2, 5), covariance, 3, np.array([0.3, 0.7]))
    twin = EventPath(-scale * path.coefficients, scale**2 * covariance, 3, path.weights)
    intervals = [bound_relative_magnitudes(path, mbar) for mbar in (0.5, 1.0, 2.0)]
    mirrored = bound_relative_magnitudes(twin, 1.0)
    width = intervals[1].upper - intervals[1].lower
    # The normal draws of the first stage are not mirrored with the path.
    assert -mirrored.lower / scale == pytest.approx(
        intervals[1].upper, abs=0.03 * width
    )
    for narrow, wide in pairwise(intervals):
        assert wide.lower <= narrow.lower + 1e-3 * width
        assert wide.upper >= narrow.upper - 1e-3 * width
    bends = [bound_smoothness(path, m) for m in (0.0, 0.5, 1.0)]
    lengths = [one.upper - one.lower for one in bends]
    assert lengths == sorted(lengths)
    mirrored = bound_smoothness(twin, 0.5 * scale)
    assert -mirrored.lower / scale == pytest.approx(bends[1].upper, rel=1e-6, abs=1e-6)


def _arms(gram, seed=1, *, days=range(-14, 14), effect=0.0, drift=0.0, n=200):
    random = np.random.default_rng(seed)
    days = np.array(days)
    control = random.normal(5, 1, (n, days.size))
    treatment = random.normal(5, 1, (n, days.size)) + effect * (days >= 0)
    return gram(control, days), gram(treatment + drift * days, days, variant="new")


def test_assess_sensitivity_of_a_clear_effect_is_robust(gram):
    found = assess_sensitivity(*_arms(gram, effect=1.0), bends=(0.0, 0.01))
    assert (found.status, found.period_days) == (EstimateStatus.OK, 7)
    assert (found.n_pre, found.n_post) == (1, 2)
    assert found.is_robust
    assert found.breakdown_mbar > 1
    assert [one.bound for one in found.smoothness] == [0.0, 0.01]


def test_assess_sensitivity_of_a_drift_alone_is_not(gram):
    found = assess_sensitivity(*_arms(gram, drift=0.05))
    assert not found.is_robust
    assert found.breakdown_mbar < 1


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        (range(-1, 5), "NO_PRE_PERIOD"),
        (range(5), "NO_PRE_PERIOD"),
        (range(-5, 0), "NO_POST_PERIOD"),
    ],
)
def test_assess_sensitivity_without_a_period_is_refused(days, reason, gram):
    found = assess_sensitivity(*_arms(gram, days=days))
    assert (found.status, found.reason) == (EstimateStatus.INSUFFICIENT_DATA, reason)
    assert found.breakdown_mbar is None
    assert not found.is_robust


def test_assess_sensitivity_refuses_what_it_cannot_judge(gram):
    few = _arms(gram, n=4)
    assert assess_sensitivity(*few).reason == "TOO_FEW_CLUSTERS"
    days = range(-3, 3)
    flat = gram(np.ones((50, 6)), days), gram(np.ones((50, 6)), days, variant="new")
    assert assess_sensitivity(*flat).reason == "ZERO_VARIANCE"
    broken = np.ones((50, 6))
    broken[0, 0] = np.inf
    with np.errstate(invalid="ignore"):
        arms = gram(broken, days), flat[1]
        assert assess_sensitivity(*arms).reason == "INVALID_MOMENTS"


def test_gather_days_averages_whole_periods(gram):
    values = np.random.default_rng(1).normal(5, 1, (40, 12))
    days = np.arange(-5, 7)
    weeks = gather_days(gram(values, days), 3)
    # Days -5 and -4 are no whole period; the last one counts with the days it has.
    assert weeks.days == (-1, 0, 1, 2)
    expected = gram(
        np.column_stack(
            [values[:, days // 3 == block].mean(axis=1) for block in weeks.days]
        ),
        weeks.days,
    )
    assert weeks.means == pytest.approx(expected.means)
    np.testing.assert_allclose(weeks.score_gram, expected.score_gram, rtol=1e-9)
    path = path_of(gram(values, days), gram(values + 1, days), period_days=3)
    np.testing.assert_allclose(path.weights, [3 / 7, 3 / 7, 1 / 7])
