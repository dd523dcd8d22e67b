"""`metric_anomalies`: what it finds, and how seldom it is wrong on clean data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from exp_platform.checks.catalogue import CATALOGUE
from exp_platform.lake import Engine
from exp_platform.metrics.models import model_sql

MODELS = (
    "int_settled_days",
    "int_day_series",
    "int_day_medians",
    "int_day_scores",
    "metric_anomalies",
)
Floats = NDArray[np.float64]
Faults = dict[tuple[str, int], float]
# Thursday first: day 0 is 1970-01-01
WEEKS = {
    "shop": np.array([1.04, 0.98, 0.82, 0.92, 1.10, 1.08, 1.06]),
    "office": np.array([1.25, 1.2, 0.5, 0.3, 1.25, 1.25, 1.25]),
    "office_closed": np.array([1.4, 1.4, 0.0, 0.0, 1.4, 1.4, 1.4]),
}


@dataclass(frozen=True)
class Product:
    """How a metric behaves on clean data.

    Attributes:
        rate: rows per unit and day. fresh: times as many on the day of exposure.
        fading: how much more of them right after it, fading over some days.
        shock: relative sd of days that are good or bad for everybody.
        tail: log sd of the values, 0 = counts.
    """

    week: str = "shop"
    n_days: int = 21
    per_day: int = 400
    rate: float = 0.5
    fresh: float = 3.0
    fading: float = 0.5
    shock: float = 0.03
    effect: float = 1.1
    tail: float = 0.0


def _play(
    product: Product,
    name: str,
    random: np.random.Generator,
    faults: Faults | None = None,
) -> list[dict[str, Any]]:
    """Rows of `int_cohort_days` of one metric in two arms; faults are factors."""
    week = np.resize(WEEKS[product.week], product.n_days)
    shocks = np.exp(random.normal(0, product.shock, product.n_days))
    rows = []
    for arm, factor in (("c", 1.0), ("t", product.effect)):
        cohorts = random.poisson(product.per_day * np.maximum(week, 0.05))
        for exposed, n in enumerate(cohorts):
            for day in range(exposed, product.n_days):
                age = day - exposed
                lively = week[day] * (1 + product.fading * np.exp(-age / 4))
                lively = product.fresh if age == 0 else lively
                rate = product.rate * factor * shocks[day] * lively
                rate *= (faults or {}).get((arm, day), 1.0)
                rows.append(
                    {
                        "experiment_id": name,
                        "metric_name": "m",
                        "variant": arm,
                        "exposure_day": exposed,
                        "day": day,
                        "is_whole": True,
                        **_draw(int(n), rate, product.tail, random),
                    }
                )
    return [row for row in rows if row["n"]]


def _draw(
    n: int, rate: float, tail: float, random: np.random.Generator
) -> dict[str, float]:
    """One cell: the active units and the moments of their values."""
    per_unit = random.poisson(rate, n)
    values = per_unit[per_unit > 0].astype(float)
    if tail:
        values = np.exp(random.normal(3, tail, values.size))
    mean = float(values.mean()) if values.size else 0.0
    squares = float(((values - mean) ** 2).sum())
    return {
        "n": n,
        "n_active": values.size,
        "active_mean": mean,
        "active_squares": squares,
    }


def _find(engine: Engine, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Anomalies of given cohort days; the models stand under names of their own."""
    engine.register("exp_run.played_cohort_days", pa.Table.from_pylist(rows))
    for name in MODELS:
        sql = model_sql(name).replace(
            "exp_run.int_cohort_days", "exp_run.played_cohort_days"
        )
        for other in MODELS:
            sql = sql.replace(f"exp_run.{other}", f"exp_run.played_{other}")
        engine.execute(f"create or replace table exp_run.played_{name} as {sql}")
    return engine.records("from exp_run.played_metric_anomalies")


def _told(found: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
    return {
        (
            row["variant"],
            row["day"].timetuple().tm_yday - 1,
            row["reference"],
            row["reason"],
        )
        for row in found
    }


def test_day_without_anything_is_missing(engine: Engine) -> None:
    lost = {("c", 12): 0.0, ("t", 12): 0.0}
    found = _find(engine, _play(Product(), "e", np.random.default_rng(1), lost))
    assert _told(found) == {
        ("c", 12, "history", "MISSING_DAY"),
        ("t", 12, "history", "MISSING_DAY"),
    }
    assert all(row["score"] >= 20 and row["n_active"] == 0 for row in found)


def test_arm_without_anything_is_zero(engine: Engine) -> None:
    lost = {("t", 5): 0.0}
    found = _find(engine, _play(Product(), "e", np.random.default_rng(2), lost))
    assert ("t", 5, "history", "ZERO") in _told(found)
    assert {row["day"].day for row in found} == {6}


def test_spike_in_all_arms_is_seen_in_the_history(engine: Engine) -> None:
    thrice = {("c", 15): 3.0, ("t", 15): 3.0}
    found = _find(engine, _play(Product(), "e", np.random.default_rng(3), thrice))
    assert _told(found) == {
        ("c", 15, "history", "SPIKE"),
        ("t", 15, "history", "SPIKE"),
    }
    assert all(row["value"] > 2 * row["expected"] for row in found)


def test_drop_in_one_arm_is_seen_beside_the_others_before_a_week_is_over(
    engine: Engine,
) -> None:
    third = {("t", 7): 0.3}
    found = _find(engine, _play(Product(), "e", np.random.default_rng(4), third))
    assert ("t", 7, "other_variants", "DROP") in _told(found)
    assert {row["reference"] for row in found} == {"other_variants"}


@pytest.mark.parametrize("week", WEEKS)
def test_weekends_are_no_anomaly(engine: Engine, week: str) -> None:
    product = Product(week=week, n_days=28)
    assert _find(engine, _play(product, "e", np.random.default_rng(5))) == []


@pytest.mark.parametrize(
    "fault", [{("c", 15): 3.0, ("t", 15): 3.0}, {("t", 7): 0.3}, {}]
)
@pytest.mark.parametrize("week", ["shop", "office"])
def test_what_is_lost_is_followed_as_what_is_won(
    engine: Engine, week: str, fault: Faults
) -> None:
    """A cost of 20 where 10 was expected is a spike, whatever its sign."""
    rows = _play(Product(week=week), "e", np.random.default_rng(7), fault)
    won = _find(engine, rows)
    lost = _find(engine, [r | {"active_mean": -r["active_mean"]} for r in rows])
    assert bool(won) == bool(fault)
    assert _told(lost) == _told(won)
    assert [row["score"] for row in lost] == [row["score"] for row in won]


def test_first_outlier_is_not_the_metrics(engine: Engine) -> None:
    rows = _play(Product(tail=2.5), "e", np.random.default_rng(6))
    cell = next(r for r in rows if (r["exposure_day"], r["day"]) == (2, 16))
    cell["active_mean"] += 1e6 / cell["n_active"]
    cell["active_squares"] += 1e12
    assert _find(engine, rows) == []


@pytest.mark.calibration
def test_clean_products_have_hardly_an_anomaly(engine: Engine) -> None:
    random = np.random.default_rng(20264)
    rows, runs = [], 0
    for week in WEEKS:
        for number in range(60):
            product = Product(
                week=week,
                n_days=int(random.choice([7, 14, 21, 35])),
                per_day=int(10 ** random.uniform(0.7, 2.6)),
                rate=10 ** random.uniform(-3, 0.3),
                fresh=random.uniform(1, 4),
                fading=random.uniform(0, 1),
                shock=random.choice([0, 0.03, 0.1]),
                effect=random.choice([1, 1, 1.05, 1.3, 2]),
                tail=random.choice([0, 0, 1, 2.5]),
            )
            rows += _play(product, f"{week}_{number}", random)
            runs += 1
    wrong = {row["experiment_id"] for row in _find(engine, rows)}
    # level .001 of a run with several metrics: none in 180 metrics, one would be luck
    assert CATALOGUE["METRIC_ANOMALY"].level == 0.001
    assert len(wrong) <= 1, wrong
    assert runs == 180
