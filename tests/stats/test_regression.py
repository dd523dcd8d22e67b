import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.errors import ContractError
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.regression import (
    estimate_adjusted,
    estimate_lin,
    summarise_adjustment,
)
from exp_platform.stats.settings import EstimateSettings

# Least squares by QR against ours on moments; n is a few hundred.
ROUNDING = 1e-9
NUMBERS = ("difference", "standard_error", "df", "p_value", "ci_lower", "ci_upper")


def _arm(columns, variant, names=("x", "z"), n=None, *, ratio=False, may_miss=()):
    data = {name: np.array(values, float)[:n] for name, values in columns.items()}
    return summarise_adjustment(
        ("exp_1", "spend", variant),
        data["num"] if ratio else data["y"],
        {name: data[name] for name in names},
        denominator=data["den"] if ratio else None,
        may_miss=may_miss,
    )


def _draw(seed, n=300, slope=0.8, effect=0.0):
    random = np.random.default_rng(seed)
    x, z = random.gamma(2, 2, n), random.normal(0, 1, n)
    d = 1.0 + random.poisson(3, n)
    y = slope * x - z + effect + random.normal(0, 1, n)
    return {"y": y, "x": x, "z": z, "num": d * (1 + 0.2 * x) + y, "den": d}


def test_two_covariates_are_least_squares_for_equal_arms(golden, settings):
    answer = golden("regression")
    arms = [_arm(answer[name], name) for name in ("control", "treatment")]
    found = estimate_adjusted(*arms, settings)
    assert found.difference == pytest.approx(answer["ols"]["difference"], rel=ROUNDING)
    assert list(found.details["theta"].values()) == pytest.approx(
        answer["ols"]["theta"], rel=ROUNDING
    )


def _ratio_arms(answer):
    names = ("control", "treatment")
    return [_arm(answer[name], name, ("x",), ratio=True) for name in names]


def test_ratio_is_least_squares_on_linearised_units_for_equal_arms(golden, settings):
    answer = golden("regression")
    found = estimate_adjusted(*_ratio_arms(answer), settings)
    expected = answer["ratio_ols"]
    assert found.difference == pytest.approx(expected["difference"], rel=ROUNDING)
    assert found.details["theta"]["x"] == pytest.approx(expected["theta"], rel=ROUNDING)


def test_ratio_with_total_theta_is_near_tea_tasting(golden, settings):
    answer = golden("regression")
    found = estimate_adjusted(*_ratio_arms(answer), settings, theta="total")
    # Theirs linearises theta's covariances about the ratio of both arms together, ours
    # about each arm's own: another theta, by 1 %.
    for name in ("control_mean", "treatment_mean", "difference", "ci_lower"):
        expected = answer["ratio_total"][name]
        assert getattr(found, name) == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize(("case", "n"), [("lin", None), ("lin_unequal", 120)])
def test_lin_is_one_regression_per_arm_at_the_common_mean(case, n, golden, settings):
    answer = golden("regression")
    arms = [_arm(answer["control"], "c"), _arm(answer["treatment"], "t", n=n)]
    (found,) = estimate_lin(arms[0], arms[1:], settings)
    given_x = found.standard_error**2 - found.details["interaction_variance"]
    assert found.difference == pytest.approx(answer[case]["difference"], rel=ROUNDING)
    assert [found.control_mean, found.treatment_mean] == pytest.approx(
        answer[case]["means"], rel=ROUNDING
    )
    assert given_x == pytest.approx(answer[case]["variance_given_x"], rel=ROUNDING)


@pytest.mark.parametrize("ratio", [False, True])
def test_one_covariate_is_estimate_cuped(ratio, total, define, settings):
    from exp_platform.records import MetricType

    draws = [_draw(1), _draw(2, 150, effect=0.4)]
    value = "num" if ratio else "y"
    plain = []
    for draw in draws:
        one = total(
            draw[value],
            covariate=draw["x"],
            denominator=draw["den"] if ratio else None,
        )
        shared = float(np.cov(draw["x"], draw["den"])[0, 1])
        from dataclasses import replace

        plain.append(replace(one, covariate_denominator_covariance=shared))
    if ratio:
        settings = EstimateSettings(define(MetricType.RATIO), min_units_per_arm=2)
    expected = estimate_cuped(*plain, settings)
    found = estimate_adjusted(
        *(_arm(d, "control", ("x",), ratio=ratio) for d in draws), settings
    )
    for name in ("difference", "standard_error", "p_value", "relative_ci_upper"):
        assert getattr(found, name) == pytest.approx(
            getattr(expected, name), rel=ROUNDING
        )
    assert found.details["theta"]["x"] == pytest.approx(expected.details["theta"])
    assert found.details["variance_ratio"] < 1


def test_ratio_with_denominator_one_is_the_mean(settings):
    draws = [_draw(1), _draw(2)]
    for draw in draws:
        draw["num"], draw["den"] = draw["y"], np.ones(300)
    mean, ratio = (
        estimate_adjusted(*(_arm(d, "c", ratio=r) for d in draws), settings)
        for r in (False, True)
    )
    for name in ("difference", "standard_error", "control_mean"):
        assert getattr(ratio, name) == pytest.approx(getattr(mean, name), rel=ROUNDING)


@pytest.mark.parametrize(
    ("offset", "reason"),
    [(None, "NO_COVARIATE_DATA"), (1e15, "PRECISION_LOST")],
)
def test_covariates_that_do_not_vary_or_cannot_be_seen_are_told(
    offset, reason, settings
):
    draws = [_draw(1), _draw(2)]
    for draw in draws:
        x = np.full(300, 5.0) if offset is None else draw["x"] + offset
        draw["x"], draw["z"] = x, np.zeros(300)
    arms = [_arm(d, "control") for d in draws]
    (lin,) = estimate_lin(arms[0], arms[1:], settings)
    assert [estimate_adjusted(*arms, settings).reason, lin.reason] == [reason] * 2


def test_covariate_that_does_not_vary_beside_one_that_does_is_dropped(settings):
    draws = [_draw(1), _draw(2)]
    for draw in draws:
        draw["z"] = np.full(300, 5.0)
    arms = [_arm(d, "control") for d in draws]
    alone = [_arm(d, "control", ("x",)) for d in draws]
    for both, one in (
        (estimate_adjusted(*arms, settings), estimate_adjusted(*alone, settings)),
        (
            estimate_lin(arms[0], arms[1:], settings)[0],
            estimate_lin(alone[0], alone[1:], settings)[0],
        ),
    ):
        assert both.difference == pytest.approx(one.difference, rel=ROUNDING)
        assert both.p_value == pytest.approx(one.p_value, rel=ROUNDING)


def test_missing_covariate_becomes_zero_and_an_indicator(settings):
    draws = [_draw(1), _draw(2)]
    for draw in draws:
        draw["x"][::5] = np.nan
    arms = [_arm(d, "c", may_miss=("x",)) for d in draws]
    assert arms[0].covariates == ("x_missing", "x", "z")
    assert arms[0].means[1] == pytest.approx(0.2)
    found = estimate_adjusted(*arms, settings)
    assert found.details["variance_ratio"] < 0.6
    with pytest.raises(ContractError, match="missing values"):
        _arm(draws[0], "c")


def test_lin_serves_several_arms_at_one_common_mean(settings):
    arms = [
        _arm(_draw(seed, n), name)
        for seed, n, name in ((1, 300, "c"), (2, 200, "t"), (3, 400, "u"))
    ]
    found = estimate_lin(arms[0], arms[1:], settings)
    assert [row.treatment for row in found] == ["t", "u"]
    assert found[0].control_mean == found[1].control_mean


def test_lin_and_one_theta_agree_when_slopes_do_and_n_is_large(settings):
    arms = [_arm(_draw(seed, 20_000), "c") for seed in (1, 2)]
    lin = estimate_lin(arms[0], arms[1:], settings)[0]
    one = estimate_adjusted(*arms, settings)
    # Slopes estimated apart and together differ by 1 / sqrt(n) each.
    assert lin.difference == pytest.approx(one.difference, abs=1e-3)
    assert lin.standard_error == pytest.approx(one.standard_error, rel=1e-3)


def test_broken_totals_are_refused(settings, define):
    good = _arm(_draw(1), "c")
    from dataclasses import replace

    broken = replace(good, means=(float("nan"), *good.means[1:]))
    assert estimate_adjusted(good, broken, settings).reason == "INVALID_MOMENTS"
    assert estimate_lin(good, [broken], settings)[0].reason == "INVALID_MOMENTS"
    few = _arm(_draw(1, 4), "c")
    assert estimate_adjusted(few, few, settings).reason == "TOO_FEW_UNITS"
    with pytest.raises(ContractError, match="different columns"):
        estimate_adjusted(good, _arm(_draw(1), "t", ("x",)), settings)
    nothing = _draw(1)
    nothing["den"] = np.zeros(300)
    bare = _arm(nothing, "c", ratio=True)
    assert estimate_adjusted(bare, bare, settings).reason == "DENOMINATOR_NEAR_ZERO"
    clustered = EstimateSettings(define(), min_units_per_arm=2, is_clustered=True)
    refused = estimate_adjusted(good, good, clustered)
    assert refused.reason == "UNIT_FINER_THAN_ASSIGNMENT"
    assert refused.status.value == "NOT_IDENTIFIED"


@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_covariates_unit_and_origin_do_not_matter(seed, scale, shift, settings):
    draws = [_draw(seed, 60), _draw(seed + 1, 40)]
    plain = estimate_adjusted(*(_arm(d, "c") for d in draws), settings)
    for draw in draws:
        draw["x"] = scale * draw["x"] + shift
    moved = estimate_adjusted(*(_arm(d, "c") for d in draws), settings)
    # A shift of 50 costs two digits of the covariances.
    for name in ("difference", "standard_error"):
        assert getattr(moved, name) == pytest.approx(
            getattr(plain, name), rel=1e-6, abs=1e-9
        )


@given(seed=st.integers(0, 1000))
def test_swapping_arms_flips_the_sign(seed, settings):
    arms = [_arm(_draw(seed, 60), "c"), _arm(_draw(seed + 1, 90), "c")]
    for there, back in (
        (estimate_adjusted(*arms, settings), estimate_adjusted(*arms[::-1], settings)),
        (
            estimate_lin(arms[0], arms[1:], settings)[0],
            estimate_lin(arms[1], arms[:1], settings)[0],
        ),
    ):
        assert there.difference == pytest.approx(-back.difference, rel=1e-9)
        assert there.standard_error == pytest.approx(back.standard_error, rel=1e-9)


@pytest.mark.calibration
@pytest.mark.parametrize("method", ["within", "lin", "ratio"])
def test_adjustment_holds_its_level(method, named_random, settings):
    runs, n, hits, ratios = 2000, (300, 100), 0, []
    for _ in range(runs):
        draws = []
        for size, slope in zip(n, (0.6, 1.2), strict=True):
            x = named_random.normal(0, 1, size)
            # Slopes differ, the average effect over the population is 0.
            y = slope * x + named_random.normal(0, 0.8, size)
            d = 1.0 + named_random.poisson(2, size)
            draws.append({"y": y, "x": x, "num": d * 2 + y, "den": d})
        arms = [_arm(d, "c", ("x",), ratio=method == "ratio") for d in draws]
        found = (
            estimate_lin(arms[0], arms[1:], settings)[0]
            if method == "lin"
            else estimate_adjusted(*arms, settings)
        )
        hits += found.p_value < 0.05
        ratios.append(found.details["variance_ratio"])
    # 4 binomial errors, and .005 for slopes fitted to 100 units.
    assert abs(hits / runs - 0.05) < 4 * np.sqrt(0.05 * 0.95 / runs) + 0.005
    assert np.mean(ratios) < 0.9
