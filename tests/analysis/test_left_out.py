"""What a function could not use is said, not swallowed."""

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.errors import UsageError

ARMS = {"variant": "arm", "baseline": "a"}
N = 400


@pytest.fixture
def frame():
    """Each 20th value of the arm a is null, each 10th x of the arm b."""
    random = np.random.default_rng(9)
    found = pd.DataFrame(
        {
            "arm": np.repeat(["a", "b"], N // 2),
            "y": random.normal(5, 1, N),
            "x": random.normal(5, 1, N),
            "took": np.repeat([0.0, 1.0], N // 2),
            "shop": np.arange(N) // 5,
            "land": np.tile(["p", "q"], N // 2),
            "week": 1.0,
        }
    )
    place = np.arange(N)
    found.loc[(place < N // 2) & (place % 20 == 0), "y"] = np.nan
    found.loc[(place >= N // 2) & (place % 10 == 0), "x"] = np.nan
    return found


NO_VALUE = {"a": {"rows": 10, "nulls": {"y": 10}}}
CALLS = {
    "compare": lambda f: xp.compare(f, metric="y", **ARMS),
    "quantile": lambda f: xp.quantile(f, metric="y", **ARMS),
    "bootstrap": lambda f: xp.bootstrap(f, metric="y", n_resamples=50, **ARMS),
    "capped": lambda f: xp.capped(f, metric="y", top_share=0.02, **ARMS),
    "lin": lambda f: xp.lin(f, metric="y", covariate="week", **ARMS),
    "post_stratify": lambda f: xp.post_stratify(f, metric="y", strata="land", **ARMS),
    "cluster_means": lambda f: xp.cluster_means(f, metric="y", cluster="shop", **ARMS),
    "cace": lambda f: xp.cace(f, metric="y", uptake="took", **ARMS),
    "bayes": lambda f: xp.bayes(f, metric="y", **ARMS),
    "segments": lambda f: (
        xp.segments(f, metric="y", segment="land", min_units=50, **ARMS)[0].segments
    ),
    "sequential": lambda f: xp.sequential(
        f, metric="y", look="week", planned_units=N, **ARMS
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_rows_without_a_value_are_counted_in_the_row(name, frame):
    for row in CALLS[name](frame):
        assert row.details["left_out"] == NO_VALUE


def test_rows_without_a_needed_number_are_counted_by_column(frame):
    (row,) = xp.aipw(frame, metric="y", covariates="x", **ARMS)
    told = {
        "a": {"rows": 10, "nulls": {"y": 10}},
        "b": {"rows": 20, "nulls": {"x": 20}},
    }
    assert row.details["left_out"] == told
    assert (row.n_control, row.n_treatment) == (N // 2 - 10, N // 2 - 20)


def test_units_whose_look_is_open_are_counted_as_that(frame):
    frame.loc[3, "week"] = np.nan
    (row,) = xp.sequential(frame, metric="y", look="week", planned_units=N, **ARMS)
    assert row.details["left_out"] == {"a": {"rows": 11, "nulls": {"y": 10, "week": 1}}}


def test_nothing_is_said_where_nothing_was_left_out(frame):
    (row,) = xp.compare(frame.dropna(), metric="y", **ARMS)
    assert "left_out" not in row.details


def test_arm_without_a_value_is_named(frame):
    frame["arm"] = np.where(np.arange(N) % 3 == 0, "c", frame.arm)
    frame.loc[frame.arm == "c", "y"] = np.nan
    with pytest.raises(UsageError, match="arm 'c' has a value"):
        xp.compare(frame, metric="y", **ARMS)


@pytest.mark.parametrize("arm", ["a", "b"])
@pytest.mark.parametrize(
    "call",
    [
        lambda f: xp.cuped(f, metric="y", covariate="x", **ARMS),
        lambda f: xp.lin(f, metric="y", covariate=["x", "week"], **ARMS),
        lambda f: xp.bayes(f, metric="y", method="cuped", covariate="x", **ARMS),
    ],
)
def test_covariate_without_a_value_in_an_arm_is_refused(call, arm, frame):
    """A gap between known and unknown units would pass for one to adjust for."""
    frame.loc[frame.arm == arm, "x"] = np.nan
    with pytest.raises(UsageError, match="covariate 'x' is empty") as caught:
        call(frame)
    assert f"arm '{arm}'" in caught.value.parts["where"]


def test_segments_without_a_number_say_why(frame):
    (found,) = xp.segments(frame, metric="y", segment="land", min_units=101, **ARMS)
    assert (found.reason, found.segments, found.p_value) == ("NO_SEGMENT", (), None)
    assert [row.segment for row in found.left_out] == ["land=p", "land=q"]
    assert {row.reason for row in found.left_out} == {"TOO_FEW_UNITS"}


def test_segment_that_one_arm_lacks_is_among_them(frame):
    frame.loc[frame.arm == "b", "land"] = "q"
    (found,) = xp.segments(frame, metric="y", segment="land", min_units=50, **ARMS)
    assert (found.reason, len(found.segments)) == ("ONE_SEGMENT", 1)
    (lacking,) = found.left_out
    assert (lacking.segment, lacking.n_treatment) == ("land=p", 0)


def test_rows_that_are_no_segments_are_refused(frame):
    rows = xp.compare(frame, metric="y", **ARMS)
    for given in ([], rows):
        with pytest.raises(UsageError, match="single segments"):
            xp.segments(given)
