"""Arms beside each other from frames: the answers of independent tools."""

from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import exp_platform as xp
from exp_platform.errors import UsageError
from exp_platform.records import EstimateStatus

ARMS = {"variant": "arm", "baseline": "a"}
# The same sums in another order, by numpy and by the tool: a few last digits.
ROUNDING = 1e-10


def test_proportion_agrees_with_statsmodels(golden, make):
    case = golden("proportion")["cases"][0]
    events_t, n_t, events_c, n_c = case["counts"]
    values = [1] * events_c + [0] * (n_c - events_c)
    values += [1] * events_t + [0] * (n_t - events_t)
    frame = make({"paid": values, "arm": ["a"] * n_c + ["b"] * n_t})
    (row,) = xp.proportion(frame, metric="paid", test="pooled_z", **ARMS)
    assert row.p_value == pytest.approx(case["p_value"], rel=ROUNDING)
    assert (row.ci_lower, row.ci_upper) == pytest.approx(case["newcombe"], rel=1e-8)
    assert (row.n_control, row.n_treatment) == (n_c, n_t)


def test_proportion_of_few_events_is_exact(golden):
    case = golden("exact")["proportions"][0]
    events_c, n_c, events_t, n_t = case["counts"]
    frame = pa.table(
        {
            "paid": [i < events_c for i in range(n_c)]
            + [i < events_t for i in range(n_t)],
            "arm": ["a"] * n_c + ["b"] * n_t,
        }
    )
    for test in ("fisher", "mid_p"):
        (row,) = xp.proportion(frame, metric="paid", test=test, **ARMS)
        assert row.p_value == pytest.approx(case[test], rel=1e-8)


def test_proportion_refuses_what_is_no_event(make):
    frame = make({"paid": [0.0, 1.0, 0.5, 1.0], "arm": list("aabb")})
    with pytest.raises(UsageError, match="yes or no") as caught:
        xp.proportion(frame, metric="paid", **ARMS)
    assert "0.5" in str(caught.value)


def test_ratio_agrees_with_tea_tasting(golden, arms, make):
    answer = golden("ratio")
    frame = make(arms(answer["control"], answer["treatment"]))
    (row,) = xp.ratio(frame, metric="numerator", denominator="denominator", **ARMS)
    for name in ("control_mean", "treatment_mean", "difference", "statistic"):
        assert getattr(row, name) == pytest.approx(answer[name], rel=ROUNDING)


def test_ratio_of_few_units_has_no_number(golden, arms):
    answer = golden("ratio")
    few = [{k: v[:50] for k, v in answer[a].items()} for a in ("control", "treatment")]
    frame = pd.DataFrame(arms(*few))
    columns = {"metric": "numerator", "denominator": "denominator", **ARMS}
    (row,) = xp.ratio(frame, **columns)
    assert (row.status, row.p_value) == (EstimateStatus.INSUFFICIENT_DATA, None)
    assert xp.ratio(frame, min_units=50, **columns)[0].is_ok


def test_quantile_agrees_with_r_survey(golden, make):
    data, answer = golden("quantile/data.json"), golden("quantile")
    single, n = data["single"], len(data["single"])
    frame = make(
        {
            "load": [*single, *[v + 1 for v in single]],
            "arm": ["a"] * n + ["b"] * n,
        }
    )
    for case in answer["single"]:
        (row,) = xp.quantile(frame, q=case["quantile"], metric="load", **ARMS)
        assert row.control_mean == case["value"]
        assert row.difference == pytest.approx(1, rel=ROUNDING)
        low, _, high = case["ends"]
        assert row.details["control_interval"] == [low, high]


def test_quantile_takes_several_values_of_a_unit(golden, make):
    data, answer = golden("quantile/data.json"), golden("quantile")
    values, units = data["values"], [f"u{u:04}" for u in data["units"]]
    frame = make(
        {
            "load": [*values, *values],
            "user": [*units, *[f"v{u}" for u in units]],
            "arm": ["a"] * len(values) + ["b"] * len(values),
        }
    )
    for case in answer["clustered"]:
        (row,) = xp.quantile(
            frame, q=case["quantile"], metric="load", unit="user", **ARMS
        )
        low, _, high = case["ends"]
        assert row.details["control_interval"] == [low, high]
        assert row.n_control == len(set(units))


def test_bootstrap_agrees_with_formulas(make):
    random = np.random.default_rng(3)
    values = random.gamma(2, 1, 1200).tolist()
    frame = make({"spend": values, "orders": [1.0] * 1200, "arm": list("ab") * 600})
    (row,) = xp.bootstrap(frame, metric="spend", seed=5, **ARMS)
    (welch,) = xp.compare(frame, metric="spend", **ARMS)
    assert row.difference == pytest.approx(welch.difference, rel=ROUNDING)
    # 2000 resamples: an error of the error of 1 / sqrt(2 x 2000), four of them
    assert row.standard_error == pytest.approx(welch.standard_error, rel=0.064)
    (again,) = xp.bootstrap(frame, metric="spend", seed=5, **ARMS)
    assert row == again
    (ratio,) = xp.bootstrap(
        frame, metric="spend", denominator="orders", statistic="ratio", seed=5, **ARMS
    )
    assert ratio.difference == pytest.approx(row.difference, rel=ROUNDING)


def test_moments_say_the_same_as_the_frame(golden, arms, make):
    answer = golden("ratio")
    frame = make(arms(answer["control"], answer["treatment"]))
    columns = {"metric": "numerator", "denominator": "denominator", **ARMS}
    control, treatment = xp.moments(frame, **columns)
    assert xp.ratio(control, treatment) == xp.ratio(frame, **columns)
    del columns["denominator"]
    control, treatment = xp.moments(frame, **columns)
    assert xp.compare(control, [treatment]) == xp.compare(frame, **columns)


def test_capped_is_welch_on_capped_values(make):
    random = np.random.default_rng(6)
    values = random.lognormal(2, 1, 3000)
    data = {"y": values.tolist(), "arm": list("abc") * 1000}
    rows = xp.capped(make(data), metric="y", top_share=0.01, **ARMS)
    cap = np.sort(values)[-31]
    assert [row.details["threshold"] for row in rows] == [cap, cap]
    plain = xp.compare(make({**data, "y": np.minimum(values, cap)}), metric="y", **ARMS)
    for row, expected in zip(rows, plain, strict=True):
        assert row.difference == pytest.approx(expected.difference, rel=ROUNDING)
        assert row.p_value == pytest.approx(expected.p_value, rel=1e-8)


def test_columns_beside_moments_are_refused():
    frame = pd.DataFrame({"y": np.arange(8.0), "arm": list("ab") * 4})
    control, treatment = xp.moments(frame, metric="y", **ARMS)
    with pytest.raises(UsageError, match="moments have no columns") as caught:
        xp.compare(control, treatment, metric="z")
    assert "metric" in str(caught.value)


def test_rows_without_a_value_are_counted(make):
    frame = make({"y": [1.0, None, 3.0, 4.0, 5.0], "arm": list("aaabb")})
    control, treatment = xp.moments(frame, metric="y", **ARMS)
    assert (control.n, control.n_missing) == (2, 1)
    assert (treatment.n, treatment.n_missing) == (2, 0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: xp.ratio(f, metric="y", **ARMS), "needs denominator"),
        (lambda f: xp.quantile(f, q=1.5, metric="y", **ARMS), "q must lie"),
        (
            lambda f: xp.bootstrap(f, metric="y", statistic="mode", **ARMS),
            "no statistic",
        ),
        (
            lambda f: xp.bootstrap(f, metric="y", statistic="ratio", **ARMS),
            "needs denominator",
        ),
        (lambda f: xp.capped(f, metric="y", top_share=0, **ARMS), "top_share"),
        (lambda f: xp.proportion(f, metric="y", test="t", **ARMS), "no test"),
        (lambda f: xp.compare(f, f), "two arms' moments"),
        (lambda f: xp.compare(f, metric="y", variant="one", baseline="a"), "two arms"),
        (lambda f: xp.compare(f, metric="day", **ARMS), "numbers"),
        (lambda f: xp.compare(f, metric="y", variant="arm", baseline="z"), "known"),
    ],
)
def test_bad_input_names_what_is_allowed(call, words):
    day = pd.date_range("2024-01-01", periods=4)
    frame = pd.DataFrame(
        {"y": [0.0, 1, 2, 3], "arm": list("aabb"), "one": "a", "day": day}
    )
    with pytest.raises(UsageError, match=words) as caught:
        call(frame)
    assert caught.value.parts


def test_a_frame_that_arrow_cannot_hold_is_refused():
    frame = pd.DataFrame({"y": [1, "x", 2.5], "arm": list("aab")})
    with pytest.raises(UsageError, match="several kinds"):
        xp.compare(frame, metric="y", **ARMS)


def test_arms_may_be_numbers_and_categories():
    frame = pd.DataFrame({"y": [1.0, 2, 3, 5], "arm": [0, 0, 1, 1]})
    (plain,) = xp.compare(frame, metric="y", variant="arm", baseline=0)
    frame["arm"] = frame["arm"].astype(str).astype("category")
    (named,) = xp.compare(frame, metric="y", variant="arm", baseline="0")
    assert plain == named


def _call(name, frame, **more):
    options = {"metric": "y", "variant": "arm", "baseline": "a", **more}
    return getattr(xp, name)(frame, **options)


FRAME = pd.DataFrame({"y": np.arange(400.0), "arm": ["a", "b"] * 200})


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1.0, 2.0, "a"]] * 4, columns=["y", "y", "arm"]),
        pd.DataFrame([[1.0, 2.0, 3.0, "a"]] * 4, columns=["y", "x", "x", "arm"]),
        pd.DataFrame({"y": [1 + 1j, 2, 3, 4], "arm": list("aabb")}),
    ],
)
def test_frame_that_arrow_cannot_hold_is_refused(frame):
    with pytest.raises(UsageError, match="column"):
        _call("compare", frame)


@pytest.mark.parametrize("value", ["x", -1, 1.5, None])
@pytest.mark.parametrize("name", ["seed", "n_resamples"])
def test_bootstrap_number_that_is_none_is_refused_by_name(name, value):
    with pytest.raises(UsageError, match=name) as caught:
        _call("bootstrap", FRAME, **{name: value})
    assert caught.value.parts["found"] == repr(value)


@pytest.mark.parametrize(
    "statistic",
    [
        lambda values, _: values.mean(),
        lambda values, _: values[:, 0],
        lambda values, weights: weights @ values,
        lambda _, weights: ["x"] * len(weights),
        lambda *_: None,
    ],
)
def test_bootstrap_statistic_of_another_shape_is_refused(statistic):
    with pytest.raises(UsageError, match="one number per resample"):
        _call("bootstrap", FRAME, statistic=statistic)


def test_bootstrap_statistic_of_ones_own_is_the_named_one():
    (own,) = _call(
        "bootstrap", FRAME, statistic=lambda v, w: w @ v[:, 0] / w.sum(axis=1)
    )
    (named,) = _call("bootstrap", FRAME, statistic="mean")
    # The same weights, summed in another order
    assert own.ci_lower == pytest.approx(named.ci_lower, rel=1e-9)


def test_quantile_of_a_unit_with_rows_in_two_arms_is_refused():
    frame = pd.DataFrame(
        {"y": range(8), "user": [1, 1, 2, 2] * 2, "arm": list("aaaabbbb")}
    )
    with pytest.raises(UsageError, match="unit '1' has rows in two arms"):
        xp.quantile(frame, metric="y", variant="arm", baseline="a", unit="user")


def test_shares_of_something_else_are_no_proportion():
    """Values between 0 and 1 have fewer variance than a yes or no: no counts."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "part": random.random(400),
            "paid": random.random(400) < 0.3,
            "arm": np.repeat(["old", "new"], 200),
        }
    )
    arms = {"variant": "arm", "baseline": "old"}
    for function in (xp.proportion, partial(xp.bayes, method="proportion")):
        (row,) = function(*xp.moments(frame, metric="part", **arms))
        assert (row.reason, row.p_value) == ("NOT_A_PROPORTION", None)
        (row,) = function(*xp.moments(frame, metric="paid", **arms))
        assert row.is_ok


def test_control_without_any_value_is_told_so():
    frame = pd.DataFrame({"y": [None, None, 1.0, 2.0], "arm": list("aabb")})
    with pytest.raises(UsageError, match="no row of the arm 'a' has a value"):
        xp.compare(frame, metric="y", variant="arm", baseline="a")


@pytest.mark.parametrize("size", [1e3, 1e9, 1e12])
def test_capped_does_not_depend_on_the_size_of_what_is_capped(size):
    random = np.random.default_rng(1)
    values = random.normal(5, 1, 2000)
    values[0] = size
    users = pd.DataFrame({"arm": np.repeat(["a", "b"], 1000), "y": values})
    columns = {"metric": "y", "variant": "arm", "baseline": "a"}
    (row,) = xp.capped(users, top_share=0.001, **columns)
    on_cap = users.assign(y=users.y.clip(upper=row.details["threshold"]))
    (welch,) = xp.compare(on_cap, **columns)
    assert row.standard_error == pytest.approx(welch.standard_error, rel=1e-9)
    assert row.p_value == pytest.approx(welch.p_value, rel=1e-9)


@pytest.mark.parametrize(
    ("n_resamples", "alpha"), [(38, 0.05), (1, 0.05), (2000, 5e-4)]
)
def test_bootstrap_with_too_few_resamples_for_alpha_is_refused(n_resamples, alpha):
    values = np.random.default_rng(4).normal(0, 1, 400)
    users = pd.DataFrame({"arm": ["a", "b"] * 200, "y": values})
    columns = {"metric": "y", "variant": "arm", "baseline": "a"}
    with pytest.raises(UsageError, match="too few resamples"):
        xp.bootstrap(users, n_resamples=n_resamples, alpha=alpha, **columns)
    enough = round(2 / alpha) - 1
    (row,) = xp.bootstrap(users, n_resamples=enough, alpha=alpha, **columns)
    assert (row.p_value <= alpha) == (row.ci_lower > 0 or row.ci_upper < 0)
