"""Twenty experiments: compiled SQL, `dbt build` and pandas give the same totals.

The pandas here is written from the words of the definitions in `conftest.DEFINITIONS`
and of the methods, not from the SQL: it knows no offsets, parts or grains.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from exp_platform.lake import Engine
from exp_platform.metrics.models import build_models
from exp_platform.records import ExperimentSpec

pytestmark = pytest.mark.xdist_group("dbt")

DAY = pd.Timedelta(days=1)
TOTALS = "exp_run.metric_aggregates_overall"
EXACT = ("n", "exact_sum", "n_immature", "n_missing", "min_value", "max_value")
KEY = ["experiment_id", "metric_name", "segment", "variant"]
MOMENTS = (
    "mean", "variance", "third_moment", "denominator_mean", "denominator_variance",
    "denominator_covariance", "covariate_mean", "covariate_variance",
    "covariate_covariance", "new_share", "new_covariance",
)  # fmt: skip
# window of each metric in days from the first exposure: from, length
WINDOWS = {
    "buyers": (0.0, None),
    "spent": (0.5, 3.0),
    "large_orders": (0.0, 2.0),
    "came_back": (1.0, 1.0),
    "looked_then_bought": (0.0, 4.0),
    "money_per_visit": (0.0, 4.0),
}


def _read(engine: Engine) -> pd.DataFrame:
    frame: pd.DataFrame = engine.arrow(f"from {TOTALS}").to_pandas()
    return frame.sort_values(KEY).set_index(KEY)


@pytest.fixture(scope="module")
def built(warehouse: Any, lake_settings: Any) -> pd.DataFrame:
    """What `dbt build` made."""
    with Engine(lake_settings, warehouse.database) as engine:
        return _read(engine)


@pytest.fixture(scope="module")
def compiled(
    warehouse: Any, lake_settings: Any, tmp_path_factory: Any, fill: Any
) -> pd.DataFrame:
    """What the kept SQL makes of the same rows."""
    database: Path = tmp_path_factory.mktemp("compiled") / "compiled.duckdb"
    with Engine(lake_settings, database) as engine:
        fill(engine, warehouse)
        build_models(engine, warehouse.generated)
        return _read(engine)


def test_compiled_sql_and_dbt_build_give_the_same_totals(
    built: pd.DataFrame, compiled: pd.DataFrame
) -> None:
    assert len(built.index.unique("experiment_id")) == 20
    assert built.index.equals(compiled.index)
    for column in EXACT:
        pd.testing.assert_series_equal(built[column], compiled[column])
    for column in MOMENTS:
        # dbt's own connection may sum doubles in another order
        pd.testing.assert_series_equal(
            built[column], compiled[column], rtol=1e-12, atol=1e-12
        )


def test_experiments_have_every_difficulty(built: pd.DataFrame) -> None:
    everyone = built.xs("all", level="segment")
    assert everyone["n_immature"].sum() > 100
    assert everyone["n_missing"].sum() > 10
    assert everyone.loc[:, "new_share"].max() > 0
    capped = everyone.xs("spent", level="metric_name")
    assert (capped["max_value"] == 60).sum() > 10
    segments = set(built.index.unique("segment"))
    assert {"population=without_crossover", "population=without_bots"} <= segments


# --- pandas from the words ----------------------------------------------------------


def _find_units(exposures: pd.DataFrame, spec: ExperimentSpec) -> pd.DataFrame:
    """First exposure in [start, end) decides the arm, by instant, then by arm."""
    inside = exposures[exposures["exposure_ts"].between(
        spec.start_ts, spec.end_ts, inclusive="left"
    )].sort_values(["exposure_ts", "variant"])  # fmt: skip
    units = inside.groupby("user_id").first()
    units["arms"] = inside.groupby("user_id")["variant"].nunique()
    return units


def _find_bots(rows: pd.DataFrame, limit: int) -> set[str]:
    day = rows["outcome_ts"].dt.floor("D")
    size = rows.groupby(["user_id", day]).size()
    return set(size[size > limit].index.get_level_values("user_id"))


def _value(metric: str, rows: pd.DataFrame) -> float:
    """What one unit's rows inside the window are worth."""
    money = rows[rows["metric_name"] == "money"]
    visits = rows[rows["metric_name"] == "visits"]
    if metric == "buyers":
        return float((money["value"] > 0).any())
    if metric == "spent":
        return min(float(money["value"].sum()), 60.0)
    if metric == "large_orders":
        return float((money["value"] >= 20).sum())
    if metric == "came_back":
        return float((visits["value"] > 0).any())
    if metric == "looked_then_bought":
        # some purchase is later than some visit
        return float(money["outcome_ts"].max() > visits["outcome_ts"].min())
    return float(money["value"].sum())


def _needs(metric: str) -> set[str]:
    if metric == "came_back":
        return {"visits"}
    pair = {"looked_then_bought", "money_per_visit"}
    return {"money", "visits"} if metric in pair else {"money"}


def _measure(
    unit: Any, rows: pd.DataFrame, metric: str, spec: ExperimentSpec
) -> dict[str, Any]:
    delay, length = WINDOWS[metric]
    opens = unit.exposure_ts + delay * DAY
    closes = None if length is None else opens + length * DAY
    if (opens if closes is None else closes) > spec.watermark_ts:
        return {"state": "immature"}
    since = rows[rows["outcome_ts"] >= opens]
    here = since if closes is None else since[since["outcome_ts"] < closes]
    if here[here["metric_name"].isin(_needs(metric))]["value"].isna().any():
        return {"state": "missing"}
    found: dict[str, Any] = {"state": "counts", "value": _value(metric, here)}
    if metric == "money_per_visit":
        found["denominator"] = here.loc[here["metric_name"] == "visits", "value"].sum()
    if metric == "spent":
        begin = unit.exposure_ts - 3 * DAY
        past = rows[rows["metric_name"] == "money"]
        past = past[past["outcome_ts"].between(begin, unit.exposure_ts, "left")]
        new = pd.notna(unit.first_seen_ts) and unit.first_seen_ts >= begin
        new = bool(new or past["value"].isna().any())
        found |= {"covariate": 0.0 if new else past["value"].sum(), "new": float(new)}
    return found


def _summarise(units: pd.DataFrame) -> dict[str, Any]:
    counted = units[units["state"] == "counts"].reindex(
        columns=["value", "denominator", "covariate", "new"]
    ).astype("float64")  # fmt: skip
    value, shared = counted["value"], counted.cov()
    return {
        "n": len(counted),
        "n_immature": (units["state"] == "immature").sum(),
        "n_missing": (units["state"] == "missing").sum(),
        "exact_sum": value.sum(),
        "min_value": value.min(),
        "max_value": value.max(),
        "mean": value.mean(),
        "variance": value.var(),
        "third_moment": ((value - value.mean()) ** 3).mean(),
        "denominator_mean": counted["denominator"].mean(),
        "denominator_variance": shared.loc["denominator", "denominator"],
        "denominator_covariance": shared.loc["value", "denominator"],
        "covariate_mean": counted["covariate"].mean(),
        "covariate_variance": shared.loc["covariate", "covariate"],
        "covariate_covariance": shared.loc["value", "covariate"],
        "new_share": counted["new"].mean(),
        "new_covariance": shared.loc["value", "new"],
    }


def _retell(warehouse: Any, spec: ExperimentSpec) -> dict[tuple[str, ...], Any]:
    """Totals of one experiment by metric, segment and arm."""
    name = spec.experiment_id
    exposures = pd.DataFrame(warehouse.rows.exposures).query("experiment_id == @name")
    lost = [
        {**json.loads(row["payload"]), "experiment_id": row["experiment_id"]}
        for row in warehouse.rows.quarantine
    ]
    good = pd.DataFrame(warehouse.rows.outcomes).query("experiment_id == @name")
    bad = pd.DataFrame(lost).query("experiment_id == @name")
    rows = pd.concat([good, bad.astype({"value": "float64"})], ignore_index=True)
    rows["outcome_ts"] = pd.to_datetime(rows["outcome_ts"], utc=True)
    rows = rows[rows["outcome_ts"] < spec.watermark_ts]
    units = _find_units(exposures, spec)
    bots = _find_bots(good, spec.plan.bot_rows_per_day)
    if spec.plan.exclude_bots:
        units = units[~units.index.isin(bots)]
    of_unit = dict(tuple(rows.groupby("user_id")))
    nothing = rows.iloc[:0]
    segments = {"all": units, "population=without_crossover": units[units["arms"] == 1]}
    told: dict[tuple[str, ...], Any] = {}
    for metric in WINDOWS:
        measured = pd.DataFrame(
            [
                _measure(unit, of_unit.get(unit.Index, nothing), metric, spec)
                for unit in units.itertuples()
            ],
            index=units.index,
        )
        for segment, members in segments.items():
            for variant, arm in members.groupby("variant"):
                key = (name, metric, segment, str(variant))
                told[key] = _summarise(measured.loc[arm.index])
    return told


def test_totals_agree_with_pandas_from_the_words(
    warehouse: Any, built: pd.DataFrame
) -> None:
    compared = 0
    for spec in warehouse.specs:
        for key, expected in _retell(warehouse, spec).items():
            found = built.loc[key]
            for column, number in expected.items():
                value = found[column]
                if column == "exact_sum":
                    value = np.nan if value is None else float(value)
                # doubles summed in another order, on values below 1e4
                assert value == pytest.approx(
                    number, rel=1e-9, abs=1e-9, nan_ok=True
                ), (
                    key,
                    column,
                )
                compared += 1
    assert compared > 20 * 6 * 2 * 10
