from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.stats.outlier import assess_outliers
from exp_platform.stats.welch import estimate_welch

VALUES = st.lists(st.integers(-1000, 1000), min_size=4, max_size=30)


@given(control=VALUES, treatment=VALUES)
def test_moments_without_a_unit_are_those_of_the_others(
    control, treatment, total, settings
):
    arms = {"control": control, "new": treatment}
    totals = [total(values, name) for name, values in arms.items()]
    for found in assess_outliers(*totals):
        left = {
            name: np.delete(values, values.index(found.value))
            if name == found.variant
            else np.array(values)
            for name, values in arms.items()
        }
        expected = estimate_welch(
            *(total(values, name) for name, values in left.items()), settings
        )
        # Squares of 1,000 leave about nine digits of a small variance.
        assert found.difference == pytest.approx(expected.difference, abs=1e-9)
        if expected.is_ok:
            assert found.standard_error == pytest.approx(
                expected.standard_error, rel=1e-6
            )


def test_the_larger_shift_comes_first(total):
    quiet = total(np.arange(100.0), "quiet")
    loud = total([*np.arange(99.0), 5000.0], "loud")
    assert [o.variant for o in assess_outliers(quiet, loud)] == ["loud", "quiet"]
    assert assess_outliers(quiet, loud)[0].shift < 0


def test_most_extreme_unit_may_be_the_smallest(total):
    arm = total([*np.arange(99.0), -5000.0])
    assert assess_outliers(arm, arm)[0].value == -5000


def test_single_varying_unit_leaves_nothing_to_test(total):
    arm = total([1.0] * 9 + [5.0])
    flat = total([1.0] * 10, "flat")
    found = assess_outliers(arm, flat)
    assert found[0].variant == "control"
    assert found[0].p_value is None


@pytest.mark.parametrize("gap", [{"max_value": None}, {"n": 2}, {"variance": 0.0}])
def test_missing_moments_have_no_answer(gap, total):
    arm = replace(total(np.arange(9.0)), **gap)
    assert assess_outliers(arm, arm) == ()
