"""Rows of the interaction test over an attribute's levels."""

import math
from dataclasses import replace

import numpy as np
import pytest

from exp_platform.records import EstimateRole, EstimateStatus
from exp_platform.stats.heterogeneity import (
    adjust_segments,
    assess_segments,
    estimate_spread,
)
from exp_platform.stats.welch import estimate_welch


@pytest.fixture
def levels(total, settings):
    random = np.random.default_rng(8)

    def make(effects, attribute="os", n=300):
        return [
            estimate_welch(
                *(
                    replace(
                        total(random.normal(5 + shift, 1, n), variant),
                        segment=f"{attribute}={level}",
                    )
                    for variant, shift in (("control", 0.0), ("treatment", effect))
                ),
                settings,
            )
            for level, effect in enumerate(effects)
        ]

    return make


def test_spread_row_holds_both_scales(levels):
    rows = levels([0.0, 0.5, 1.0])
    (row,) = estimate_spread(rows)
    (absolute,) = assess_segments(rows)
    (relative,) = assess_segments(rows, scale="relative")
    assert (row.method, row.segment, row.role) == (
        "segment_interaction",
        "os",
        EstimateRole.DIAGNOSTIC,
    )
    assert row.estimand == "EFFECT_SPREAD"
    assert row.difference == math.sqrt(absolute.tau_squared) > 0
    assert row.relative_lift == math.sqrt(relative.tau_squared)
    assert (row.p_value, row.relative_p_value) == (absolute.p_value, relative.p_value)
    assert (row.statistic, row.df) == (absolute.q, 2)
    assert (row.n_control, row.n_treatment) == (900, 900)
    assert row.details["common"] == absolute.common
    assert row.details["levels"] == ["os=0", "os=1", "os=2"]


def test_spread_of_all_attributes_is_one_holm_family(levels):
    rows = [*levels([0.0, 1.0], "os"), *levels([0.0, 1.0], "country")]
    found = estimate_spread(rows)
    p = sorted(row.p_value for row in found)
    adjusted = sorted(row.p_value_adjusted for row in found)
    assert adjusted == pytest.approx([2 * p[0], max(2 * p[0], p[1])])


def test_level_without_a_number_is_left_out_and_named(levels):
    first, second, third = levels([0.0, 0.5, 1.0])
    lacking = replace(
        third, status=EstimateStatus.INSUFFICIENT_DATA, reason="TOO_FEW_UNITS"
    )
    (row,) = estimate_spread([first, second, lacking])
    assert row.df == 1
    assert row.details["left_out"] == {"os=2": "TOO_FEW_UNITS"}


def test_attribute_with_one_level_left_gets_a_row_without_numbers(levels):
    first, second = levels([0.0, 0.5])
    lacking = replace(
        second, status=EstimateStatus.INSUFFICIENT_DATA, reason="TOO_FEW_UNITS"
    )
    for rows in ([first, lacking], [first], [lacking]):
        (row,) = estimate_spread(rows)
        assert (row.status, row.reason) == (
            EstimateStatus.INSUFFICIENT_DATA,
            "ONE_SEGMENT",
        )
        assert (row.difference, row.p_value, row.statistic) == (None, None, None)


def test_rows_of_all_units_are_no_level(levels):
    whole = replace(levels([0.5])[0], segment="all")
    assert estimate_spread([whole]) == ()


def test_adjust_segments_is_benjamini_hochberg_by_hand(levels):
    rows = [
        replace(row, p_value=p)
        for row, p in zip(levels([0.0] * 4), (0.01, 0.04, None, 0.03), strict=True)
    ]
    adjusted = [row.p_value_adjusted for row in adjust_segments(rows)]
    # .01 x 3, min(.03 x 3 / 2, .04); .04 x 3 / 3; the one without p does not count
    assert adjusted == [
        pytest.approx(0.03),
        pytest.approx(0.04),
        None,
        pytest.approx(0.04),
    ]
