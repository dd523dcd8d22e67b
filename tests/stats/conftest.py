"""Totals from raw values, as the metrics layer would hand them in."""

import csv
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from exp_platform.records import (
    Direction,
    MetricDefinition,
    MetricTotals,
    MetricType,
)
from exp_platform.stats.settings import EstimateSettings

# The same examples on every run; a busy machine is no failure.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def _define(
    metric_type: MetricType = MetricType.MEAN,
    direction: Direction = Direction.INCREASE,
) -> MetricDefinition:
    return MetricDefinition("spend", 3, metric_type, direction, "spend")


def _total(
    values,
    variant: str = "control",
    *,
    denominator=None,
    covariate=None,
    is_new=None,
) -> MetricTotals:
    y = np.asarray(values, dtype=float)
    moments: dict[str, float] = {}
    if denominator is not None:
        d = np.asarray(denominator, dtype=float)
        moments["denominator_mean"] = float(d.mean())
        moments["denominator_variance"] = float(d.var(ddof=1))
        moments["denominator_covariance"] = float(np.cov(d, y)[0, 1])
    if covariate is not None:
        x = np.asarray(covariate, dtype=float)
        moments["covariate_mean"] = float(x.mean())
        moments["covariate_variance"] = float(x.var(ddof=1))
        moments["covariate_covariance"] = float(np.cov(x, y)[0, 1])
    if is_new is not None:
        new = np.asarray(is_new, dtype=float)
        moments["new_share"] = float(new.mean())
        moments["new_covariance"] = float(np.cov(new, y)[0, 1])
    return MetricTotals(
        experiment_id="exp_1",
        metric_name="spend",
        variant=variant,
        n=len(y),
        mean=float(y.mean()),
        variance=float(y.var(ddof=1)),
        third_moment=float(((y - y.mean()) ** 3).mean()),
        min_value=float(y.min()),
        max_value=float(y.max()),
        **moments,
    )


def _load_shared(name: str) -> dict[str, np.ndarray]:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not here: the public data are not part of the project")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {column: np.array([row[column] for row in rows]) for column in rows[0]}


def _load_golden(method: str):
    path = ROOT / "tests" / "golden" / method / "golden.json"
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def define() -> Callable[..., MetricDefinition]:
    return _define


@pytest.fixture(scope="session")
def total() -> Callable[..., MetricTotals]:
    return _total


@pytest.fixture(scope="session")
def settings() -> EstimateSettings:
    return EstimateSettings(_define(), min_units_per_arm=2)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict]:
    return _load_golden


@pytest.fixture
def named_random(request) -> np.random.Generator:
    """A generator whose seed is made from the test's name: nobody picked it."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def cookie_cats() -> dict[str, dict[str, np.ndarray]]:
    data = _load_shared("cookie_cats.csv")
    is_control = data["version"] == "gate_30"
    columns = {
        "retention_1": (data["retention_1"] == "True").astype(float),
        "retention_7": (data["retention_7"] == "True").astype(float),
        "sum_game_rounds": data["sum_game_rounds"].astype(float),
    }
    return {
        name: {"control": values[is_control], "treatment": values[~is_control]}
        for name, values in columns.items()
    }


@pytest.fixture(scope="session")
def hillstrom() -> dict[str, dict[str, np.ndarray]]:
    data = _load_shared("hillstrom.csv")
    names = ("visit", "conversion", "spend", "history")
    columns = {name: data[name].astype(float) for name in names}
    return {
        arm: {name: values[data["segment"] == arm] for name, values in columns.items()}
        for arm in ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
    }
