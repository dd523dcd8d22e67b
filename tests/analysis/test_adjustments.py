"""Adjusted comparisons from frames: the answers of independent tools."""

import math

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.errors import UsageError

ARMS = {"variant": "arm", "baseline": "a"}
# The same sums in another order, by numpy and by the tool: a few last digits.
ROUNDING = 1e-9


def _unknown_as_null(side):
    x = [
        None if new else value
        for value, new in zip(side["x"], side["is_new"], strict=True)
    ]
    return {"y": side["y"], "x": x}


def test_cuped_agrees_with_statsmodels_where_x_is_unknown(golden, arms, make):
    answer = golden("cuped")
    sides = [_unknown_as_null(answer[side]) for side in ("control", "treatment")]
    frame = make(arms(*sides))
    (row,) = xp.cuped(frame, covariate="x", metric="y", **ARMS)
    expected = answer["x_and_new"]
    assert row.difference == pytest.approx(expected["difference"], rel=ROUNDING)
    theta = row.details["theta"]
    assert [theta["x"], theta["x_missing"]] == pytest.approx(
        expected["theta"], rel=ROUNDING
    )


def test_cuped_by_total_theta_agrees_with_tea_tasting(golden, arms, make):
    answer = golden("cuped")
    sides = [{k: answer[s][k] for k in "yx"} for s in ("control", "treatment")]
    frame = make(arms(*sides))
    (row,) = xp.cuped(frame, covariate="x", metric="y", theta="total", **ARMS)
    for name in ("control_mean", "treatment_mean", "difference"):
        assert getattr(row, name) == pytest.approx(answer["total"][name], rel=ROUNDING)


def test_cuped_of_moments_is_that_of_the_frame(golden, arms):
    answer = golden("cuped")
    sides = [_unknown_as_null(answer[side]) for side in ("control", "treatment")]
    frame = pd.DataFrame(arms(*sides))
    (by_frame,) = xp.cuped(frame, covariate=["x"], metric="y", **ARMS)
    (by_moments,) = xp.cuped(*xp.moments(frame, metric="y", covariate="x", **ARMS))
    for name in ("difference", "standard_error", "p_value", "relative_lift"):
        assert getattr(by_moments, name) == pytest.approx(
            getattr(by_frame, name), rel=ROUNDING
        )


def test_cuped_takes_several_covariates_and_ratios(golden, arms, make):
    answer = golden("regression")
    frame = make(arms(answer["control"], answer["treatment"]))
    (row,) = xp.cuped(frame, covariate=("x", "z"), metric="y", **ARMS)
    assert row.difference == pytest.approx(answer["ols"]["difference"], rel=ROUNDING)
    (ratio,) = xp.cuped(frame, covariate="x", metric="num", denominator="den", **ARMS)
    expected = answer["ratio_ols"]["difference"]
    assert ratio.difference == pytest.approx(expected, rel=ROUNDING)


def test_lin_agrees_with_statsmodels(golden, arms, make):
    answer = golden("regression")
    frame = make(arms(answer["control"], answer["treatment"]))
    (row,) = xp.lin(frame, covariate=("x", "z"), metric="y", **ARMS)
    assert row.difference == pytest.approx(answer["lin"]["difference"], rel=ROUNDING)
    means = (row.control_mean, row.treatment_mean)
    assert means == pytest.approx(answer["lin"]["means"], rel=ROUNDING)


def test_post_stratify_agrees_with_statsmodels(golden, make):
    answer = golden("segments")["strata"]
    frame = make(answer["data"])
    columns = {"metric": "y", "variant": "arm", "baseline": "c"}
    (row,) = xp.post_stratify(frame, strata="s", **columns)
    assert row.difference == pytest.approx(answer["difference"], rel=ROUNDING)
    flag = ["yes", "no"] * (len(answer["data"]["y"]) // 2)
    more = make({**answer["data"], "flag": flag})
    (crossed,) = xp.post_stratify(more, strata=("s", "flag"), **columns)
    (apart,) = xp.post_stratify(
        make(
            {**answer["data"], "s": list(map(str.__add__, answer["data"]["s"], flag))}
        ),
        strata="s",
        **columns,
    )
    assert crossed.difference == pytest.approx(apart.difference, rel=ROUNDING)


def test_cluster_means_agree_with_statsmodels(golden, arms, make):
    answer = golden("cluster")
    sides = [
        {
            "y": answer[name]["values"],
            "shop": [f"{name}{c}" for c in answer[name]["clusters"]],
        }
        for name in ("control", "treatment")
    ]
    (row,) = xp.cluster_means(make(arms(*sides)), cluster="shop", metric="y", **ARMS)
    variance = answer["control"]["variance"] + answer["treatment"]["variance"]
    assert row.standard_error == pytest.approx(math.sqrt(variance), rel=ROUNDING)
    assert row.control_mean == pytest.approx(answer["control"]["mean"], rel=ROUNDING)


def test_cluster_means_of_few_clusters_are_bootstrapped():
    random = np.random.default_rng(1)
    shop = np.repeat(np.arange(16), 30)
    y = random.normal(0, 1, 16)[shop] + random.normal(0, 1, shop.size)
    arm = np.where(shop < 8, "a", "b")
    frame = pd.DataFrame({"y": y, "shop": shop, "arm": arm})
    (row,) = xp.cluster_means(frame, cluster="shop", metric="y", **ARMS)
    assert row.details["inference"] == "wild_cluster_bootstrap"
    assert row.n_clusters == 16


def test_cluster_in_two_arms_is_refused():
    frame = pd.DataFrame(
        {"y": range(8), "shop": [1, 1, 2, 2] * 2, "arm": list("aabb") * 2}
    )
    frame.loc[0, "arm"] = "b"
    with pytest.raises(UsageError, match="cluster '1' has rows in two arms"):
        xp.cluster_means(frame, cluster="shop", metric="y", **ARMS)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: xp.cuped(f, metric="y", **ARMS), "needs covariate"),
        (lambda f: xp.lin(f, metric="y", **ARMS), "needs covariate"),
        (lambda f: xp.post_stratify(f, metric="y", **ARMS), "needs strata"),
        (lambda f: xp.cluster_means(f, metric="y", **ARMS), "needs cluster"),
        (lambda f: xp.cuped(f, covariate="x", metric="y", theta="w", **ARMS), "theta"),
        (lambda f: xp.cuped(f, covariate="w", metric="y", **ARMS), "no column 'w'"),
        (lambda _: xp.post_stratify([], [], strata="x"), "two arms"),
    ],
)
def test_bad_input_names_what_is_allowed(call, words):
    frame = pd.DataFrame(
        {"y": [0.0, 1, 2, 3], "x": [1.0, 2, 3, 4], "arm": list("aabb")}
    )
    with pytest.raises(UsageError, match=words):
        call(frame)


def test_strata_of_single_units_are_pooled():
    """A column that is another for everybody leaves the plain comparison."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "y": random.normal(5, 1, 80),
            "who": np.arange(80),
            "arm": np.repeat(["old", "new"], 40),
        }
    )
    arms = {"metric": "y", "variant": "arm", "baseline": "old"}
    (row,) = xp.post_stratify(frame, strata="who", **arms)
    (plain,) = xp.compare(frame, **arms)
    assert row.details["weights"] == {"(rest)": 1.0}
    assert row.difference == pytest.approx(plain.difference, rel=1e-12)
    assert row.p_value == pytest.approx(plain.p_value, rel=1e-9)


def test_covariate_of_one_unit_is_refused_without_a_warning():
    frame = pd.DataFrame({"y": [1.0, 2.0], "x": [3.0, 4.0], "arm": ["old", "new"]})
    (row,) = xp.cuped(frame, covariate="x", metric="y", variant="arm", baseline="old")
    assert row.reason == "TOO_FEW_UNITS"
