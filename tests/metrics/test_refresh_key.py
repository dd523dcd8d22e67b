"""What made a refresh read everything is named."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from exp_platform.metrics.refresh_key import name_changes, refresh_key
from exp_platform.records import (
    AnalysisPlan,
    Direction,
    ExperimentSpec,
    MetricDefinition,
    MetricType,
)

METRIC = MetricDefinition("m", 1, MetricType.MEAN, Direction.INCREASE, "m")
PLAN = AnalysisPlan(metrics=(), segments=("platform",))


@pytest.fixture(scope="module")
def design(spec: Callable[..., ExperimentSpec]) -> ExperimentSpec:
    return spec(plan=AnalysisPlan(metrics=()))


@pytest.mark.parametrize(
    ("changes", "version", "words"),
    [
        ({}, 2, "the definitions changed"),
        ({"end_ts": 1}, 1, "the dates changed"),
        ({"control": "treatment"}, 1, "the arms changed"),
        ({"plan": PLAN}, 1, "the plan changed"),
        ({"namespace": "other"}, 1, "the design changed"),
        ({"start_ts": 1, "plan": PLAN}, 2,
         "the definitions, the dates and the plan changed"),
        ({"watermark_ts": 1, "owner": "o", "hypothesis": "h"}, 1, ""),
    ],
)  # fmt: skip
def test_name_changes_tells_what_a_refresh_cannot_go_on_from(
    design: ExperimentSpec, changes: dict[str, Any], version: int, words: str
) -> None:
    moved = {
        name: getattr(design, name) + timedelta(days=1) if name.endswith("_ts") else new
        for name, new in changes.items()
    }
    now = refresh_key(replace(design, **moved), {"m": replace(METRIC, version=version)})
    assert name_changes(refresh_key(design, {"m": METRIC}), now) == words


def test_name_changes_of_a_key_that_names_nothing(design: ExperimentSpec) -> None:
    words = name_changes("0123456789abcdef", refresh_key(design, {"m": METRIC}))
    assert words == "a definition, the design or the program changed"
