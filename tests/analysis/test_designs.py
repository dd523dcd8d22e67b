"""Non-compliance and units that chose: the answers of independent tools."""

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.errors import ContractError, UsageError
from exp_platform.records import EstimateRole

ROUNDING = 1e-8


@pytest.mark.parametrize("case", ["by_unit", "by_cluster"])
def test_cace_agrees_with_two_stage_least_squares(case, golden, make):
    answer = golden("instrument")[case]
    units = answer["units"]
    cluster = "cluster" if case == "by_cluster" else None
    (row,) = xp.cace(
        make(units),
        uptake="uptake",
        metric="outcome",
        variant="offered",
        baseline=str(units["offered"][0] * 0),
        cluster=cluster,
    )
    for name in ("difference", "standard_error", "p_value"):
        assert getattr(row, name) == pytest.approx(answer[name], rel=ROUNDING)
    assert row.n_clusters == (answer["n_clusters"] if cluster else row.n_clusters)


@pytest.mark.parametrize("code", [lambda d: d + 1, lambda d: 100 * d, lambda d: -d])
def test_cace_refuses_an_uptake_that_is_no_yes_or_no(code):
    took = [0, 1, 1, 0] * 200
    units = {
        "arm": ["a", "b"] * 400,
        "y": list(range(800)),
        "took": [code(one) for one in took],
    }
    with pytest.raises(ContractError, match="the uptake is no yes or no"):
        xp.cace(
            pd.DataFrame(units), uptake="took", metric="y", variant="arm", baseline="a"
        )


def test_cace_refuses_a_cluster_in_two_arms():
    random = np.random.default_rng(3)
    offered = random.random(2000) < 0.5
    town = random.integers(0, 100, 2000)
    took = offered & (random.random(2000) < 0.6)
    units = pd.DataFrame(
        {
            "arm": np.where(offered, "b", "a"),
            "took": took.astype(int),
            "town": town,
            "y": random.normal(0, 1, 100)[town] + took + random.normal(0, 1, 2000),
        }
    )
    columns = {"uptake": "took", "metric": "y", "variant": "arm", "baseline": "a"}
    with pytest.raises(UsageError, match="has rows in two arms"):
        xp.cace(units, cluster="town", **columns)


def test_aipw_and_regression_agree_with_statsmodels(golden, make):
    answer = golden("observational")
    units = {**answer["units"]}
    units["treated"] = [f"{int(t)}" for t in units["treated"]]
    columns = {"metric": "outcome", "variant": "treated", "baseline": "0"}
    covariates = ["x0", "x1", "x2"]
    frame = make(units)
    (row,) = xp.aipw(frame, covariates=covariates, method="regression", **columns)
    expected = answer["statsmodels"]
    assert row.difference == pytest.approx(expected["ra_difference"], rel=ROUNDING)
    assert row.role is not EstimateRole.PRIMARY
    (row,) = xp.aipw(frame, covariates=covariates, n_folds=1, **columns)
    assert row.difference == pytest.approx(expected["aipw_difference"], rel=1e-6)


def test_aipw_leaves_unknown_covariates_out(golden):
    units = pd.DataFrame(golden("observational")["units"])
    units["treated"] = units.treated.astype(int)
    units.loc[:9, "x0"] = np.nan
    (row,) = xp.aipw(
        units, metric="outcome", variant="treated", baseline=0, covariates=["x0", "x1"]
    )
    assert row.n_control + row.n_treatment == len(units) - 10


def test_bad_input_names_what_is_allowed():
    frame = pd.DataFrame({"y": [0.0, 1, 2, 3], "arm": list("aabb")})
    arms = {"metric": "y", "variant": "arm", "baseline": "a"}
    with pytest.raises(UsageError, match="needs uptake"):
        xp.cace(frame, **arms)
    with pytest.raises(UsageError, match="needs covariates"):
        xp.aipw(frame, **arms)
    with pytest.raises(UsageError, match="no method"):
        xp.aipw(frame, covariates="y", method="psm", **arms)


@pytest.mark.parametrize("method", ["aipw", "regression"])
@pytest.mark.parametrize("column", ["y", "x"])
@pytest.mark.parametrize("change", [lambda v: v * 1e160, lambda v: [1e300, *v[1:]]])
def test_values_without_a_sum_of_squares_have_no_numbers(change, column, method):
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "y": random.normal(size=600),
            "x": random.normal(size=600),
            "arm": random.choice(["a", "b"], 600),
        }
    )
    frame[column] = change(frame[column])
    (row,) = xp.aipw(
        frame, metric="y", variant="arm", baseline="a", covariates="x", method=method
    )
    assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "PRECISION_LOST")
    numbers = (row.difference, row.standard_error, row.ci_lower, row.p_value)
    assert numbers == (None,) * 4
