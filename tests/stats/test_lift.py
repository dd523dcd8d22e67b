from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.stats.lift import restate_lift
from exp_platform.stats.welch import estimate_welch


def _row(total, settings, control, treatment):
    return estimate_welch(total(control), total(treatment), settings)


def test_log_delta_agrees_with_tea_tasting(golden, total, settings):
    answer = golden("lift")
    row = _row(total, settings, answer["control"], answer["treatment"])
    found = restate_lift(row, "log_delta")
    for name in ("relative_lift", "relative_ci_lower", "relative_ci_upper"):
        assert getattr(found, name) == pytest.approx(answer[name], rel=1e-10)
    assert found.relative_method == "log_delta"
    assert found.p_value == row.p_value


def test_cookie_cats_has_the_published_three_intervals(cookie_cats, total, settings):
    from exp_platform.stats.proportion import estimate_proportions

    arms = cookie_cats["retention_7"]
    row = estimate_proportions(
        total(arms["control"]), total(arms["treatment"]), settings
    )
    expected = {
        "delta": (-0.06924, -0.01699),
        "log_delta": (-0.06889, -0.01663),
        "fieller": (-0.06890, -0.01664),
    }
    for method, ends in expected.items():
        found = restate_lift(row, method)
        # Published with five digits.
        assert (found.relative_ci_lower, found.relative_ci_upper) == pytest.approx(
            ends, abs=6e-6
        )


@pytest.mark.parametrize("method", ["delta", "fieller", "auto"])
def test_restated_row_is_the_method_of_infer_relative(method, total, settings):
    random = np.random.default_rng(1)
    row = _row(total, settings, random.gamma(2, 2, 300), random.gamma(2, 2.2, 200))
    found = restate_lift(row, method)
    assert found.relative_method == ("delta" if method == "auto" else method)
    if method != "fieller":
        assert found.relative_ci_lower == pytest.approx(row.relative_ci_lower)


def test_row_without_a_baseline_stays(total, settings):
    row = _row(total, settings, np.arange(50.0), np.arange(50.0) + 1)
    bare = replace(row, details={})
    assert restate_lift(bare, "log_delta") is bare
    refused = _row(total, settings, np.ones(5), np.ones(5))
    assert restate_lift(refused, "log_delta") is refused


def test_log_delta_of_a_negative_treatment_mean_is_null(total, settings):
    random = np.random.default_rng(2)
    row = _row(total, settings, random.normal(1, 1, 90), random.normal(-1, 1, 90))
    found = restate_lift(row, "log_delta")
    assert found.relative_lift is not None
    assert (found.relative_ci_lower, found.relative_p_value) == (None, None)


@given(seed=st.integers(0, 1000))
def test_log_interval_turns_round_with_the_arms(seed, total, settings):
    random = np.random.default_rng(seed)
    arms = [random.gamma(2, scale, 80) for scale in (2.0, 2.5)]
    there = restate_lift(_row(total, settings, *arms), "log_delta")
    back = restate_lift(_row(total, settings, *arms[::-1]), "log_delta")
    assert 1 + there.relative_ci_upper == pytest.approx(
        1 / (1 + back.relative_ci_lower), rel=1e-9
    )
    assert there.relative_p_value == pytest.approx(back.relative_p_value, rel=1e-9)
