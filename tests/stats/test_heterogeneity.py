from dataclasses import replace

import numpy as np
import pytest
from scipy.special import chdtrc

from exp_platform.stats.heterogeneity import assess_segments, compare_effects
from exp_platform.stats.welch import estimate_welch


def _rows(effects, total, settings, attribute="os", *, n=200, seed=1, base=5.0):
    random = np.random.default_rng(seed)
    rows = []
    for level, effect in enumerate(effects):
        arms = [
            replace(
                total(base + shift + random.normal(0, 1, n), variant),
                segment=f"{attribute}={level}",
            )
            for variant, shift in (("control", 0.0), ("treatment", effect))
        ]
        rows.append(estimate_welch(*arms, settings))
    return rows


def test_compare_effects_agrees_with_statsmodels(golden):
    answer = golden("segments")["homogeneity"]
    found = compare_effects(np.array(answer["effects"]), np.array(answer["errors"]))
    names = ("common", "q", "p_value", "tau_squared")
    assert found == pytest.approx([answer[name] for name in names], rel=1e-10)


def test_equal_effects_do_not_and_unequal_ones_do_differ(total, settings):
    (same,) = assess_segments(_rows([0.3] * 4, total, settings))
    (other,) = assess_segments(_rows([-0.5, 0.3, 0.3, 0.3], total, settings))
    assert same.p_value > 0.05 > other.p_value
    assert (same.df, other.df) == (3, 3)
    assert other.i_squared > 0.5
    assert other.tau_squared > 0
    assert other.p_value == pytest.approx(float(chdtrc(3, other.q)))


def test_families_are_corrected_apart(total, settings):
    rows = _rows([0.4, 0.0], total, settings, "os")
    rows += _rows([0.1, 0.1, 0.1], total, settings, "country", seed=2)
    found = assess_segments(rows)
    assert [one.attribute for one in found] == ["os", "country"]
    p = sorted(one.p_value for one in found)
    adjusted = sorted(one.p_value_adjusted for one in found)
    assert adjusted == pytest.approx([min(1, 2 * p[0]), max(2 * p[0], p[1])])
    segments = [row for one in found for row in one.segments]
    assert len(segments) == 5
    assert all(row.p_value_adjusted >= row.p_value for row in segments)


def test_whole_population_and_rows_without_numbers_are_left_out(total, settings):
    rows = _rows([0.4, 0.0], total, settings)
    whole = replace(rows[0], segment="all")
    from exp_platform.records import EstimateStatus

    lacking = replace(rows[1], status=EstimateStatus.INSUFFICIENT_DATA)
    (found,) = assess_segments([whole, rows[0], lacking])
    assert found.reason == "ONE_SEGMENT"
    assert (found.q, found.p_value, found.p_value_adjusted) == (None, None, None)
    assert assess_segments([whole]) == ()


def test_equal_lifts_on_different_bases_differ_only_absolutely(total, settings):
    rows = _rows([0.5], total, settings, n=4000, base=5.0)
    rows += [
        replace(row, segment="os=1")
        for row in _rows([2.0], total, settings, n=4000, base=20.0, seed=3)
    ]
    (absolute,) = assess_segments(rows)
    (relative,) = assess_segments(rows, scale="relative")
    assert absolute.p_value < 1e-6
    assert relative.p_value > 0.01
    assert relative.common == pytest.approx(0.1, abs=0.01)


def test_rows_without_a_baseline_have_no_relative_test(total, settings):
    rows = [replace(row, details={}) for row in _rows([0.5, 0.1], total, settings)]
    (found,) = assess_segments(rows, scale="relative")
    assert found.reason == "ONE_SEGMENT"


@pytest.mark.calibration
def test_interaction_test_holds_its_level(named_random):
    runs, k = 20_000, 5
    errors = np.array([0.1, 0.2, 0.15, 0.3, 0.1])
    p = [
        compare_effects(named_random.normal(0.3, errors), errors)[2]
        for _ in range(runs // 5)
    ]
    rate = np.mean(np.array(p) < 0.05)
    assert abs(rate - 0.05) < 4 * np.sqrt(0.05 * 0.95 / (runs // k))
