from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import UsageError
from exp_platform.records import MetricType
from exp_platform.stats.regression import estimate_lin, summarise_adjustment
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.stratification import estimate_post_stratified
from exp_platform.stats.welch import estimate_welch


def _strata(values, segments, total, variant="control"):
    return [
        replace(total(values[segments == name], variant), segment=f"s={name}")
        for name in np.unique(segments)
    ]


def _draw(random, n, effect=0.0, levels=3):
    segments = random.integers(0, levels, n)
    return 4.0 * segments + effect + random.normal(0, 1, n), segments


def test_difference_and_error_agree_with_statsmodels(golden, total, settings):
    answer = golden("segments")["strata"]
    y, s, arm = (np.array(answer["data"][name]) for name in ("y", "s", "arm"))
    sides = [_strata(y[arm == a], s[arm == a], total, a) for a in ("c", "t")]
    found = estimate_post_stratified(*sides, settings)
    weights = found.details["weights"]
    effects = {c.segment: t.mean - c.mean for c, t in zip(*sides, strict=True)}
    drawn = sum(
        w * (effects[name] - found.difference) ** 2 for name, w in weights.items()
    ) / len(y)
    assert found.difference == pytest.approx(answer["difference"], rel=1e-10)
    # Theirs holds the strata's shares fixed; ours adds their own draw.
    error = np.sqrt(found.standard_error**2 - drawn)
    assert error == pytest.approx(answer["error_given_strata"], rel=1e-10)
    assert found.details["variance_ratio"] < 0.3


def test_one_stratum_is_welch(total, settings):
    random = np.random.default_rng(1)
    draws = [random.normal(0, 1, n) for n in (50, 80)]
    arms = [total(d) for d in draws]
    found = estimate_post_stratified(
        *([replace(arm, segment="s=1")] for arm in arms), settings
    )
    welch = estimate_welch(*arms, settings)
    for name in ("difference", "standard_error", "df", "p_value"):
        assert getattr(found, name) == pytest.approx(getattr(welch, name), rel=1e-12)
    assert found.details["variance_ratio"] == pytest.approx(1, rel=1e-12)


def test_strata_are_regression_on_their_indicators(total, settings):
    random = np.random.default_rng(2)
    draws = [_draw(random, n, effect) for n, effect in ((300, 0.0), (200, 0.3))]
    found = estimate_post_stratified(
        *(_strata(*draw, total) for draw in draws), settings
    )
    totals = [
        summarise_adjustment(
            ("exp_1", "spend", "control"),
            y,
            {"one": (s == 1).astype(float), "two": (s == 2).astype(float)},
        )
        for y, s in draws
    ]
    lin = estimate_lin(totals[0], totals[1:], settings)[0]
    assert lin.difference == pytest.approx(found.difference, rel=1e-9)
    # One residual variance per arm against one per stratum.
    assert lin.standard_error == pytest.approx(found.standard_error, rel=0.02)


def test_small_and_one_sided_strata_are_pooled(total, settings):
    random = np.random.default_rng(3)
    draws = [_draw(random, 300) for _ in range(2)]
    control, treatment = (_strata(*draw, total) for draw in draws)
    lonely = replace(control[0], n=1, variance=None, segment="s=9")
    tiny = replace(total(random.normal(0, 1, 6)), segment="s=8")
    found = estimate_post_stratified(
        [*control, lonely, tiny], [*treatment, replace(tiny, n=7)], settings
    )
    assert list(found.details["weights"]) == ["s=0", "s=1", "s=2", "(rest)"]
    assert sum(found.details["weights"].values()) == pytest.approx(1)
    assert found.n_control == 307


def test_what_has_no_answer_is_refused(total, settings, define):
    constant = [replace(total(np.ones(50)), segment="s=1")]
    found = estimate_post_stratified(constant, constant, settings)
    assert found.reason == "ZERO_VARIANCE"
    few = [replace(total(np.array([1.0, 2.0])), segment="s=1")]
    high = replace(settings, min_units_per_arm=100)
    assert estimate_post_stratified(few, few, high).reason == "TOO_FEW_UNITS"
    broken = [replace(constant[0], mean=float("nan"))]
    assert (
        estimate_post_stratified(constant, broken, settings).reason == "INVALID_MOMENTS"
    )
    with pytest.raises(UsageError, match="not an average"):
        estimate_post_stratified(
            constant, constant, EstimateSettings(define(MetricType.RATIO))
        )


@given(seed=st.integers(0, 1000))
def test_swapped_arms_flip_the_sign(seed, total, settings):
    random = np.random.default_rng(seed)
    sides = [_strata(*_draw(random, n), total) for n in (120, 90)]
    there, back = (
        estimate_post_stratified(*arms, settings) for arms in (sides, sides[::-1])
    )
    assert there.difference == pytest.approx(-back.difference, rel=1e-9)
    assert there.p_value == pytest.approx(back.p_value, rel=1e-9)


@pytest.mark.calibration
def test_post_stratification_holds_its_level(named_random, total, settings):
    runs, hits = 1500, 0
    for _ in range(runs):
        sides = []
        for size, slope in ((200, 1.0), (100, 2.0)):
            segments = named_random.integers(0, 3, size)
            # Effects -1, 0 and 1 by segment: none on average.
            y = slope * (segments - 1) + named_random.normal(0, 1, size)
            sides.append(_strata(y, segments, total))
        hits += estimate_post_stratified(*sides, settings).p_value < 0.05
    # 4 binomial errors and .005 for strata of 30 units.
    assert abs(hits / runs - 0.05) < 4 * np.sqrt(0.05 * 0.95 / runs) + 0.005


def test_strata_that_never_meet_are_too_few(total, settings):
    one, two = (replace(total(np.arange(2.0)), segment=f"s={k}") for k in (1, 2))
    blank = replace(one, n=1, variance=None)
    found = estimate_post_stratified([one], [blank], settings)
    assert found.reason == "TOO_FEW_UNITS"
    met = estimate_post_stratified([one], [two], settings)
    assert list(met.details["weights"]) == ["(rest)"]
