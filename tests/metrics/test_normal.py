"""The normal distribution of the SQL macros beside 40 digits and beside scipy."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from exp_platform.lake import Engine
from exp_platform.metrics.compile_models import DIALECTS
from exp_platform.metrics.models import model_sql

GOLDEN = json.loads(
    (Path(__file__).parents[1] / "golden/normal/golden.json").read_text("utf-8")
)
# what the SQL promises: absolute error of the portable normal CDF
ABSOLUTE = 1e-12
# Below the smallest normal double digits are lost, whoever computes.
DENORMAL_FROM = 37.5
Array = NDArray[np.float64]
Tail = Callable[[Array], Array]


@pytest.fixture(scope="module", params=DIALECTS)
def tail(request: pytest.FixtureRequest, engine: Engine) -> Tail:
    """P(Z > z) by the model `int_normal_tests`, as each dialect's text means it."""
    text = model_sql("int_normal_tests", request.param)
    sql = sqlglot.transpile(text, read=request.param, write="duckdb")[0]
    sql = sql.replace("exp_run.int_comparisons", "exp_run.normal_grid")

    def compute(z: Array) -> Array:
        rows = {
            "experiment_id": ["a"] * len(z),
            "metric_name": ["m"] * len(z),
            "segment": [str(i) for i in range(len(z))],
            "treatment": ["t"] * len(z),
            "reason": [""] * len(z),
            "statistic": z,
        }
        engine.register("exp_run.normal_grid", pa.table(rows))
        found = engine.arrow(
            f"select p_value_z from ({sql}) order by cast(segment as int)"
        )
        return np.asarray(found["p_value_z"].to_numpy()) / 2

    metrics = {"experiment_id": ["a"], "metric_name": ["m"], "role": ["goal"]}
    arms = {"experiment_id": ["a"], "is_control": [False]}
    engine.register("exp_run.run_metrics", pa.table(metrics))
    engine.register("exp_run.run_variants", pa.table(arms))
    return compute


def test_normal_tail_has_twelve_digits_everywhere(tail: Tail) -> None:
    z, exact = np.array(GOLDEN["z"]), np.array(GOLDEN["tail"])
    assert z.max() == 38
    for sign in (1, -1):
        found = tail(sign * z)
        assert np.abs(found - exact).max() <= ABSOLUTE
    inside = z < DENORMAL_FROM
    # the exponent z^2 / 2 carries its rounding, up to 700 units of 1e-16
    np.testing.assert_allclose(found[inside], exact[inside], rtol=1e-13, atol=0)


def test_normal_tail_on_a_dense_grid(tail: Tail) -> None:
    z = np.linspace(0, DENORMAL_FROM, 50_001)
    np.testing.assert_allclose(tail(z), ndtr(-z), rtol=1e-12, atol=0)


def test_normal_tail_beyond_the_doubles_is_zero(tail: Tail) -> None:
    assert tail(np.array([40.0, 1e6, 1e200])).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_normal_quantile_of_any_alpha(engine: Engine, dialect: str) -> None:
    alphas = np.array(GOLDEN["alpha"])
    found = _quantiles(engine, alphas, dialect)
    # to 1e-13 of a standard error, where z is small as where it is large
    np.testing.assert_allclose(found, GOLDEN["quantile"], rtol=1e-13, atol=1e-13)
    grid = np.linspace(1e-4, 1, 20_000, endpoint=False)
    np.testing.assert_allclose(
        _quantiles(engine, grid, dialect), -ndtri(grid / 2), rtol=0, atol=1e-12
    )


def _quantiles(engine: Engine, alphas: Array, dialect: str) -> Array:
    text = model_sql("int_normal_quantiles", dialect)
    sql = sqlglot.transpile(text, read=dialect, write="duckdb")[0]
    names = [f"{i:06d}" for i in range(len(alphas))]
    rows = pa.table({"experiment_id": names, "alpha": alphas})
    engine.register("exp_run.run_experiments", rows)
    found = engine.arrow(f"select quantile from ({sql}) order by experiment_id")
    return np.asarray(found["quantile"].to_numpy())
