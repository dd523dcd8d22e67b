"""Panel and daily totals from unit x day values, as the metrics layer hands them in."""

import json
from collections.abc import Callable
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from exp_platform.records import (
    Direction,
    GramTotals,
    MetricDefinition,
    MetricType,
    PanelTotals,
)
from exp_platform.stats.settings import EstimateSettings

# The same examples on every run; a busy machine is no failure.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

GOLDEN = Path(__file__).parents[1] / "golden"


def _sum_by_cluster(scores, cluster):
    _, group = np.unique(cluster, return_inverse=True)
    sums = np.zeros((group.max() + 1, *scores.shape[1:]))
    np.add.at(sums, group, scores)
    return sums


def _gram(values, days, variant="control", cluster=None) -> GramTotals:
    values = np.asarray(values, dtype=float)
    cluster = np.arange(len(values)) if cluster is None else np.asarray(cluster)
    sums = _sum_by_cluster(values - values.mean(axis=0), cluster)
    return GramTotals(
        experiment_id="exp_1",
        metric_name="spend",
        variant=variant,
        n=len(values),
        n_clusters=len(sums),
        days=tuple(int(day) for day in days),
        means=tuple(values.mean(axis=0).tolist()),
        score_gram=tuple(tuple(row) for row in (sums.T @ sums).tolist()),
    )


def _panel(pre, post, variant="control", cluster=None) -> PanelTotals:
    pre, post = np.asarray(pre, dtype=float), np.asarray(post, dtype=float)
    cluster = np.arange(len(pre)) if cluster is None else np.asarray(cluster)
    change = _sum_by_cluster((post - pre) - (post - pre).mean(), cluster)
    before = _sum_by_cluster(pre - pre.mean(), cluster)
    return PanelTotals(
        experiment_id="exp_1",
        metric_name="spend",
        variant=variant,
        n=len(pre),
        n_clusters=len(change),
        pre_days=7,
        post_days=14,
        mean_pre=float(pre.mean()),
        mean_post=float(post.mean()),
        score_sum_of_squares=float(change @ change),
        pre_score_sum_of_squares=float(before @ before),
        pre_score_product=float(before @ change),
    )


def _load_golden(method: str):
    return json.loads((GOLDEN / method / "golden.json").read_text())


@pytest.fixture(scope="session")
def gram() -> Callable[..., GramTotals]:
    return _gram


@pytest.fixture(scope="session")
def panel() -> Callable[..., PanelTotals]:
    return _panel


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict]:
    return _load_golden


@pytest.fixture(scope="session")
def settings() -> EstimateSettings:
    definition = MetricDefinition(
        "spend", 3, MetricType.MEAN, Direction.INCREASE, "spend"
    )
    return EstimateSettings(definition, min_units_per_arm=2)
