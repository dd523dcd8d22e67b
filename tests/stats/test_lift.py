from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr

from exp_platform.stats.lift import restate_lift
from exp_platform.stats.proportion import compare_proportions, estimate_proportions
from exp_platform.stats.relative import infer_relative
from exp_platform.stats.repeated import widen_interval
from exp_platform.stats.score import Counts
from exp_platform.stats.welch import arm_of, compare_arms, estimate_welch


def _row(total, settings, control, treatment):
    return estimate_welch(total(control), total(treatment), settings)


def test_log_delta_agrees_with_tea_tasting(golden, total):
    answer = golden("lift")
    arms = [arm_of(total(answer[name])) for name in ("control", "treatment")]
    compared = compare_arms(*arms, 0.05, is_normal=True)
    found = infer_relative(compared.inference, compared.baseline, method="log_delta")
    assert found.lift[0] == pytest.approx(answer["relative_lift"], rel=1e-10)
    assert (found.ci_lower[0], found.ci_upper[0]) == pytest.approx(
        answer["log_delta"], rel=1e-10
    )


@pytest.mark.parametrize(
    ("data", "alpha"),
    [("quiet", 0.05), ("quiet", 0.001), ("noisy", 0.2), ("noisy", 0.05)],
)
def test_fieller_ends_are_where_welch_of_the_scaled_control_just_rejects(
    data, alpha, golden, total, settings
):
    answer = golden("lift")
    answer = answer["noisy"] if data == "noisy" else answer
    row = _row(
        total, replace(settings, alpha=alpha), answer["control"], answer["treatment"]
    )
    assert row.relative_method == "fieller"
    # The root was looked for on scipy's statistic, which has some 14 digits.
    assert (row.relative_ci_lower, row.relative_ci_upper) == pytest.approx(
        answer["fieller"][str(alpha)], rel=1e-9
    )


def test_lifts_of_shares_agree_with_searched_ends_and_with_statsmodels(golden):
    for case in golden("lift")["rates"]:
        events = [np.array([float(x)]) for pair in case["counts"] for x in pair]
        counts = Counts(*events)
        lift = compare_proportions(counts, case["alpha"]).relative
        ends = (lift.ci_lower[0], lift.ci_upper[0])
        assert lift.method == "fieller_wilson"
        assert ends == pytest.approx(case["ends"], rel=1e-10)
        if case["score"]:
            lift = compare_proportions(
                counts, case["alpha"], interval="miettinen_nurminen"
            ).relative
            ends = (lift.ci_lower[0], lift.ci_upper[0])
            # statsmodels stops its search at 1e-5 of a standard error
            assert ends == pytest.approx(case["score"], rel=1e-4)


@pytest.mark.parametrize("method", ["delta", "log_delta", "fieller"])
def test_restated_row_of_a_look_keeps_the_level_of_the_look(method, total, settings):
    random = np.random.default_rng(3)
    arms = (random.gamma(2, 2, 300), random.gamma(2, 2.2, 200))
    wide = replace(widen_interval(_row(total, settings, *arms), 2.9), look=2)
    found = restate_lift(wide, method)
    # 2.9 normal standard errors, at the t of the row.
    smaller = replace(settings, alpha=float(2 * ndtr(-2.9)))
    alone = restate_lift(_row(total, smaller, *arms), method)
    assert found.relative_ci_lower == pytest.approx(alone.relative_ci_lower, rel=1e-9)
    assert found.relative_ci_upper == pytest.approx(alone.relative_ci_upper, rel=1e-9)
    p_value = wide.p_value if method == "fieller" else None
    assert found.relative_p_value == p_value


def test_restated_row_stays_open_on_the_side_of_the_row(total, settings):
    row = _row(total, settings, np.arange(50.0), np.arange(50.0) + 1)
    bound = replace(row, ci_upper=None, relative_ci_upper=None)
    found = restate_lift(bound, "fieller")
    assert found.relative_ci_lower == pytest.approx(row.relative_ci_lower, rel=1e-12)
    assert found.relative_ci_upper is None
    assert (
        restate_lift(replace(bound, ci_lower=None), "delta").relative_ci_lower is None
    )


def test_row_whose_lift_is_a_point_stays(total, settings):
    row = _row(total, settings, np.arange(50.0), np.arange(50.0) + 1)
    point = replace(row, relative_method="point_counterfactual")
    assert restate_lift(point, "fieller") is point


def test_cookie_cats_has_the_published_three_intervals(cookie_cats, total, settings):
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


@pytest.mark.parametrize("method", ["delta", "fieller", "log_delta"])
def test_restated_row_is_the_method_of_infer_relative(method, total, settings):
    random = np.random.default_rng(1)
    arms = total(random.gamma(2, 2, 300)), total(random.gamma(2, 2.2, 200))
    row = estimate_welch(*arms, settings)
    found = restate_lift(row, method)
    compared = compare_arms(*map(arm_of, arms), settings.alpha)
    direct = infer_relative(compared.inference, compared.baseline, method=method)
    assert found.relative_method == method
    assert found.relative_ci_lower == direct.ci_lower[0]
    assert found.relative_ci_upper == direct.ci_upper[0]
    assert found.relative_p_value == direct.p_value[0]
    if method == "fieller":
        assert found == row


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
    assert found.details["relative_reason"] == "NO_LOGARITHM"


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
