"""One rule for the lift of an arm whose units all have one value, in every method."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

import exp_platform as xp
from exp_platform.stats.lift import restate_lift

N = 200
METHODS = {
    "compare": xp.compare,
    "ratio": partial(xp.ratio, denominator="one"),
    "capped": partial(xp.capped, top_share=0.01),
    "bootstrap": partial(xp.bootstrap, statistic="mean", seed=1),
    "cuped": partial(xp.cuped, covariate="before"),
    "lin": partial(xp.lin, covariate="before"),
    "post_stratify": partial(xp.post_stratify, strata="stratum"),
    "cluster_means": partial(xp.cluster_means, cluster="shop"),
    "wald": partial(xp.proportion, interval="wald"),
}


def _draw(control_rate, treatment_rate):
    random = np.random.default_rng(3)
    value = np.concatenate(
        [
            random.permutation(np.arange(N) < rate * N)
            for rate in (control_rate, treatment_rate)
        ]
    ).astype(float)
    return pd.DataFrame(
        {
            "arm": np.repeat(["old", "new"], N),
            "value": value,
            "one": 1.0,
            "before": value + random.normal(0, 1, 2 * N),
            "stratum": random.integers(0, 2, 2 * N),
            "shop": np.arange(2 * N) // 5,
        }
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rates", [(0.1, 0.0), (0.9, 1.0), (1.0, 0.9)])
def test_lift_of_a_constant_arm_has_a_p_value_and_no_interval(method, rates):
    frame = _draw(*rates)
    (row,) = METHODS[method](frame, metric="value", variant="arm", baseline="old")
    assert row.is_ok
    assert row.ci_lower < row.difference < row.ci_upper
    assert row.relative_lift is not None
    assert (row.relative_ci_lower, row.relative_ci_upper) == (None, None)
    # No lift and no difference are one hypothesis.
    assert row.relative_p_value == row.p_value
    assert row.details["relative_reason"] == "ARM_WITHOUT_VARIANCE"
    assert "delta_p_value" not in row.details
    again = restate_lift(row, "delta")
    assert (again.relative_ci_lower, again.relative_ci_upper) == (None, None)


def test_relative_margin_of_a_constant_arm_is_unknown_with_a_covariate_too():
    frame = _draw(0.1, 0.0)
    (row,) = METHODS["cuped"](frame, metric="value", variant="arm", baseline="old")
    (found,) = xp.equivalence([row], 0.05)
    assert found.reason == "ARM_WITHOUT_VARIANCE"
