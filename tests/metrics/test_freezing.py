"""The number of a percentile cap, against numpy's order statistic."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from exp_platform.errors import ContractError, UsageError
from exp_platform.lake import Engine
from exp_platform.metrics.definitions import parse_definition
from exp_platform.metrics.freezing import compute_caps
from exp_platform.records import (
    AnalysisPlan,
    ExperimentSpec,
    MetricDefinition,
    PercentileCap,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
N_UNITS = 83
N_IMMATURE = 7
SPEND = np.where(np.arange(N_UNITS) % 3 == 0, 0.0, np.arange(N_UNITS) ** 2 / 8)
PAST = np.sqrt(np.arange(N_UNITS))


def define(**text: Any) -> MetricDefinition:
    plain = {
        "name": "spend",
        "type": "mean",
        "source": {"outcome": "spend"},
        "window": {"days": 2},
    }
    return parse_definition(plain | text, "here")


@pytest.fixture(name="shop", scope="module")
def _shop(
    build: Callable[..., Engine], spec: Callable[..., ExperimentSpec]
) -> tuple[Engine, ExperimentSpec]:
    """Two rows of each unit inside the window, one before, one behind it.

    The last units are exposed too late to mature and have values above all others.
    """
    exposures, outcomes = [], []
    for unit in range(N_UNITS + N_IMMATURE):
        is_late = unit >= N_UNITS
        at = START + (3 * DAY if is_late else timedelta(hours=unit / 4))
        user = f"u{unit:03}"
        arm = "treatment" if unit % 2 else "control"
        exposures.append({"user": user, "variant": arm, "at": at})
        half = 1e6 if is_late else float(SPEND[unit]) / 2
        past = 0.0 if is_late else float(PAST[unit])
        for hours, value in ((1, half), (30, half), (-40, past), (49, 5e6)):
            row_at = at + timedelta(hours=hours)
            row = {"user": user, "metric": "spend", "value": value, "at": row_at}
            if value:
                outcomes.append(row)
    plan = spec(
        end_ts=START + 4 * DAY,
        watermark_ts=START + 4 * DAY,
        plan=AnalysisPlan(metrics=()),
    )
    engine = build(exposures, outcomes, [], plan, only=("stg_exposures",))
    return engine, plan


def freeze(shop: tuple[Engine, ExperimentSpec], text: MetricDefinition) -> Any:
    engine, spec = shop
    return compute_caps(engine, spec, {"spend": text}, fixed_point=())["spend"]


def quantile(values: Any, share: float) -> float:
    return float(np.quantile(values, share, method="inverted_cdf"))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
def test_compute_caps_is_the_order_statistic_of_mature_totals(
    shop: Any, share: float
) -> None:
    frozen = freeze(shop, define(cap={"percentile": share}))
    assert frozen.cap == quantile(SPEND, share)
    assert frozen.percentile_cap.share == share


def test_compute_caps_without_zeros(shop: Any) -> None:
    frozen = freeze(shop, define(cap={"percentile": 0.5, "nonzero": True}))
    assert frozen.cap == quantile(SPEND[SPEND != 0], 0.5)
    assert frozen.cap != quantile(SPEND, 0.5)


def test_compute_caps_from_the_pre_period(shop: Any) -> None:
    rule = {"percentile": 0.9, "taken_from": "pre_period"}
    past = np.concatenate([PAST, np.zeros(N_IMMATURE)])
    assert freeze(shop, define(cap=rule)).cap == quantile(past, 0.9)
    day = freeze(shop, define(cap={**rule, "nonzero": True}, window={"days": 3}))
    assert day.cap == quantile(past[past != 0], 0.9)


def test_compute_caps_of_the_past_reads_as_many_days(shop: Any) -> None:
    rule = {"percentile": 0.9, "taken_from": "pre_period"}
    with pytest.raises(UsageError, match="would be 0"):
        freeze(shop, define(cap=rule, window={"days": 1}))


def test_compute_caps_of_each_covariate(shop: Any) -> None:
    cap = {"percentile": 0.8}
    covariates = [{"lookback_days": 7, "cap": cap}, {"cap": 3}, {"lookback_days": 3}]
    frozen = freeze(shop, define(covariates=covariates, cap={"percentile": 0.9}))
    past = np.concatenate([PAST, np.zeros(N_IMMATURE)])
    assert [c.cap for c in frozen.covariates] == [quantile(past, 0.8), 3, None]
    assert frozen.cap == quantile(SPEND, 0.9)


def test_compute_caps_keeps_a_number(shop: Any) -> None:
    frozen = freeze(shop, define(cap={"percentile": 0.9}))
    assert freeze(shop, frozen) is frozen


def test_compute_caps_leaves_nothing_behind(shop: Any) -> None:
    engine, _ = shop
    count = "select count(*) from duckdb_tables() where table_name like 'version_%'"
    before = engine.rows(count)
    freeze(shop, define(cap={"percentile": 0.9}))
    assert engine.rows(count) == before


def test_compute_caps_of_nobody_is_refused(shop: Any) -> None:
    rule = {"percentile": 0.9}
    with pytest.raises(ContractError, match="cannot be taken yet"):
        freeze(shop, define(cap=rule, window={"days": 300}))


def test_compute_caps_of_mostly_zeros_is_refused(shop: Any) -> None:
    with pytest.raises(UsageError, match="would be 0"):
        freeze(shop, define(cap={"percentile": 0.2}))


def test_compute_caps_of_a_funnels_past_is_refused(shop: Any) -> None:
    funnel = parse_definition(
        {
            "name": "spend",
            "type": "funnel",
            "steps": [{"outcome": "spend"}, {"outcome": "spend"}],
            "covariate": {},
        },
        "here",
    )
    assert funnel.covariate is not None
    # no file says this, a definition made in Python may
    capped = replace(funnel.covariate, percentile_cap=PercentileCap(0.9))
    funnel = replace(funnel, covariate=capped)
    with pytest.raises(UsageError, match="without effect"):
        freeze(shop, funnel)


@pytest.mark.parametrize("grain", ["instant", "day"])
def test_compute_caps_gives_new_units_no_past(
    build: Any, spec: Any, grain: str
) -> None:
    """Of two units with a row a day before their exposure one was new then."""
    exposed, noon = START + DAY, timedelta(hours=12)
    units = [
        {"user": user, "variant": "control", "at": exposed + noon, "first_seen": seen}
        for user, seen in (("known", START - 90 * DAY), ("new", exposed - noon))
    ]
    rows = [
        {"user": user, "metric": "spend", "value": value, "at": exposed - noon}
        for user, value in (("known", 2.0), ("new", 1000.0))
    ]
    plan = spec(plan=AnalysisPlan(metrics=()))
    text = define(
        window={"days": 2, "grain": grain},
        cap={"percentile": 1 - 1e-9, "taken_from": "pre_period"},
        covariate={"lookback_days": 2, "cap": {"percentile": 1 - 1e-9}},
    )
    frozen = freeze((build(units, rows, [], plan, only=("stg_exposures",)), plan), text)
    assert frozen.cap == 2.0
    assert [covariate.cap for covariate in frozen.covariates] == [2.0]
