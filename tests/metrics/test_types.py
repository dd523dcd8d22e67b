"""Every type of metric beside a slow reading of its definition's words.

The slow reading is written for this test: it knows nothing of the SQL, of spans, parts
or rules, only of rows, units and days.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exp_platform.metrics.totals import read_adjustments, read_quantiles, read_totals
from exp_platform.records import (
    AnalysisPlan,
    Covariate,
    Direction,
    ExperimentSpec,
    FunnelStep,
    MetricDefinition,
    MetricType,
    RowRule,
    SourceKind,
    Variant,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY, HOUR, TICK = timedelta(days=1), timedelta(hours=1), timedelta(microseconds=1)
Row = dict[str, Any]
Worth = Callable[[Row], float | None]


def _metric(name: str, kind: str, numerator: str, **rest: Any) -> MetricDefinition:
    return MetricDefinition(
        name, 1, MetricType(kind), Direction.INCREASE, numerator, **rest
    )


@dataclass(frozen=True)
class Words:
    """A definition said in Python, for a unit whose rows are given.

    `value`, `below` and each covariate take the unit's rows with `day`, days since the
    first exposure (a fraction), and `date`, calendar days since its date.
    """

    value: Callable[[list[Row]], float]
    opens: float = 0.0
    closes: float = math.inf
    by_date: bool = False
    source: tuple[str, ...] = ("m",)
    below: Callable[[list[Row]], float] | None = None
    is_worthless: Callable[[Row], bool] = lambda _: False  # an odd value of a row
    single: Callable[[list[Row]], list[float]] | None = None
    covariates: dict[str, tuple[int, str, Callable[[list[Row]], float]]] = field(
        default_factory=dict
    )

    def inside(self, row: Row) -> bool:
        when = row["date"] if self.by_date else row["day"]
        return bool(row["metric"] in self.source and self.opens <= when < self.closes)

    def before(self, row: Row, days: int, source: str) -> bool:
        when = row["date"] if self.by_date else row["day"]
        return bool(row["metric"] == source and -days <= when < 0)


def _total(rows: list[Row], worth: Worth = lambda r: r["value"]) -> float:
    return math.fsum(w for r in rows if (w := worth(r)) is not None)


def _any(rows: list[Row]) -> float:
    return float(any(row["value"] > 0 for row in rows))


def _walk(*steps: Callable[[Row], bool]) -> Callable[[list[Row]], float]:
    """Is there an ever later row for each step? Every way is tried."""

    def reaches(rows: list[Row], left: Sequence[Callable[[Row], bool]]) -> bool:
        return not left or any(
            left[0](row) and reaches([r for r in rows if r["at"] > row["at"]], left[1:])
            for row in rows
        )

    return lambda rows: float(reaches(rows, steps))


def _is(name: str, least: float = 0.0) -> Callable[[Row], bool]:
    return lambda row: row["metric"] == name and row["value"] > least


def _event(passes: str = "", value: str = "") -> RowRule:
    return RowRule(SourceKind.EVENT, passes, value)


def _number(row: Row, name: str, otherwise: Any) -> Any:
    """A property read as a number; most text is none, and infinity is none."""
    try:
        number = float(row["properties"].get(name, ""))
    except ValueError:
        return otherwise
    return number if math.isfinite(number) else otherwise


def _price(row: Row) -> float | None:
    price, quantity = _number(row, "price", None), _number(row, "quantity", None)
    return None if None in (price, quantity) else price * quantity


def _prices(rows: list[Row]) -> list[float]:
    return [_number(r, "price", 0.0) / 2 for r in rows if "price" in r["properties"]]


FUNNEL_WALK = _walk(_is("m"), _is("k", 1), _is("m"))
SQL_STEPS = (
    FunnelStep("m"), FunnelStep("k", RowRule(filter="value > 1")), FunnelStep("m"),
)  # fmt: skip

METRICS: dict[MetricDefinition, Words] = {
    _metric("big", "mean", "m", rows=RowRule(filter="value >= 1"), delay_days=0.5,
            window_days=2.0): Words(
        lambda rows: _total([r for r in rows if r["value"] >= 1]), 0.5, 2.5),
    _metric("scaled", "mean", "m", rows=RowRule(value="value * 2 - 1"), cap=4.0,
            covariate=Covariate("m", 2, RowRule(value="value * 2 - 1"), cap=3.0)): Words(
        lambda rows: min(_total(rows, lambda r: r["value"] * 2 - 1), 4.0),
        covariates={"m_2d": (2, "m", lambda rows: min(
            _total(rows, lambda r: r["value"] * 2 - 1), 3.0))}),
    _metric("inverse", "mean", "m", rows=RowRule(value="10 / value"), window_days=3.0,
            covariate=Covariate("m", 1, RowRule(value="10 / value"))): Words(
        lambda rows: _total(rows, lambda r: 10 / r["value"]), 0.0, 3.0,
        is_worthless=lambda r: r["value"] == 0,
        covariates={"m_1d": (1, "m", lambda rows: _total(rows, lambda r: 10 / r["value"]))}),
    _metric("early", "count", "k", aggregation="count",
            rows=RowRule(filter="ts < '2026-01-08'")): Words(
        lambda rows: float(sum(r["at"] < START + 3 * DAY for r in rows)), source=("k",)),
    _metric("kinds", "count", "m", aggregation="distinct", window_days=4.0): Words(
        lambda rows: float(len({r["value"] for r in rows})), 0.0, 4.0),
    _metric("best", "mean", "m", aggregation="max", rows=RowRule(value="abs(value)"),
            window_days=4.0): Words(
        lambda rows: max((abs(r["value"]) for r in rows), default=0.0), 0.0, 4.0),
    _metric("back_on_1", "retention", "m", delay_days=1.0, window_days=1.0,
            covariate=Covariate("m", 3)): Words(
        _any, 1.0, 2.0, covariates={"m_3d": (3, "m", _any)}),
    _metric("back_since_2", "retention", "m", delay_days=2.0): Words(_any, 2.0),
    _metric("back_big", "retention", "k", rows=RowRule(filter="value > 1"),
            delay_days=1.0, window_days=2.0): Words(
        lambda rows: _any([r for r in rows if r["value"] > 1]), 1.0, 3.0, source=("k",)),
    _metric("date_2", "retention", "m", delay_days=2.0, window_days=1.0,
            is_day_grained=True): Words(_any, 2, 3, by_date=True),
    _metric("dated", "mean", "m", delay_days=0.0, window_days=2.0, is_day_grained=True,
            covariate=Covariate("k", 2), more_covariates=(Covariate("m", 1),)): Words(
        _total, 0, 2, by_date=True,
        covariates={"k_2d": (2, "k", _total), "m_1d": (1, "m", _total)}),
    _metric("path", "funnel", "m", steps=SQL_STEPS, window_days=3.0): Words(
        FUNNEL_WALK, 0.0, 3.0, source=("m", "k")),
    _metric("path_again", "funnel", "m", steps=SQL_STEPS, delay_days=0.5,
            covariate=Covariate("m", 3, aggregation="funnel")): Words(
        FUNNEL_WALK, 0.5, source=("m", "k"),
        covariates={"m_3d": (3, "both", FUNNEL_WALK)}),
    _metric("pair", "funnel", "k", steps=(FunnelStep("m"), FunnelStep("k")),
            covariate=Covariate("k", 2, aggregation="sum")): Words(
        _walk(_is("m"), _is("k")), source=("m", "k"),
        covariates={"k_2d": (2, "k", _total)}),
    _metric("per_row", "ratio", "m", denominator="k", denominator_aggregation="count",
            rows=RowRule(filter="value > 0"), window_days=4.0,
            covariate=Covariate("m", 2),
            more_covariates=(Covariate("k", 3, aggregation="count"),)): Words(
        lambda rows: _total([r for r in rows if r["metric"] == "m" and r["value"] > 0]),
        0.0, 4.0, source=("m", "k"),
        below=lambda rows: float(sum(r["metric"] == "k" for r in rows)),
        covariates={"m_2d": (2, "m", _total),
                    "k_3d": (3, "k", lambda rows: float(len(rows)))}),
    _metric("twice", "mean", "m", window_days=3.0, covariate=Covariate("m", 3),
            more_covariates=(Covariate("k", 1),)): Words(
        _total, 0.0, 3.0, covariates={"m_3d": (3, "m", _total), "k_1d": (1, "k", _total)}),
    _metric("median", "quantile", "m", quantile=0.5, window_days=4.0): Words(
        _total, 0.0, 4.0),
    _metric("slow_rows", "quantile", "m", quantile=0.7, is_of_rows=True,
            window_days=4.0, rows=RowRule(filter="value > -1")): Words(
        lambda rows: _total([r for r in rows if r["value"] > -1]), 0.0, 4.0,
        below=lambda rows: float(sum(r["value"] > -1 for r in rows)),
        single=lambda rows: [r["value"] for r in rows if r["value"] > -1]),
    # events: "buy" with a value and properties, "look" without either
    _metric("events", "count", "look", aggregation="count", rows=_event(), window_days=2.0):
        Words(lambda rows: float(len(rows)), 0.0, 2.0, source=("look",)),
    _metric("spent", "mean", "buy", rows=_event(), window_days=3.0,
            covariate=Covariate("buy", 2, _event())): Words(
        _total, 0.0, 3.0, source=("buy",), is_worthless=lambda r: r["value"] is None,
        covariates={"buy_2d": (2, "buy", _total)}),
    _metric("paid", "mean", "buy", delay_days=0.5,
            rows=_event("plan = 'pro'", "price * quantity")): Words(
        lambda rows: _total([r for r in rows if r["properties"].get("plan") == "pro"],
                            _price), 0.5, source=("buy",),
        is_worthless=lambda r: (r["properties"].get("plan") == "pro"
                                and _price(r) is None)),
    _metric("things", "count", "buy", aggregation="distinct", window_days=4.0,
            rows=_event("thing is not null", "thing")): Words(
        lambda rows: float(len({r["properties"]["thing"] for r in rows
                                if "thing" in r["properties"]})), 0.0, 4.0,
        source=("buy",)),
    _metric("returned", "retention", "look", delay_days=1.0, window_days=2.0,
            rows=_event(), is_day_grained=True): Words(
        lambda rows: float(bool(rows)), 1, 3, by_date=True, source=("look",)),
    _metric("event_path", "funnel", "m", window_days=4.0,
            steps=(FunnelStep("look", _event()), FunnelStep("buy", _event("price > 2")),
                   FunnelStep("m"))): Words(
        _walk(lambda r: r["metric"] == "look",
              lambda r: r["metric"] == "buy" and _number(r, "price", 0.0) > 2, _is("m")),
        0.0, 4.0, source=("look", "buy", "m")),
    _metric("mixed", "ratio", "m", denominator="look", denominator_rows=_event(),
            denominator_aggregation="count", window_days=4.0,
            covariate=Covariate("look", 3, _event(), "count")): Words(
        lambda rows: _total([r for r in rows if r["metric"] == "m"]),
        0.0, 4.0, source=("m", "look"),
        below=lambda rows: float(sum(r["metric"] == "look" for r in rows)),
        covariates={"look_3d": (3, "look", lambda rows: float(len(rows)))}),
    _metric("slow_events", "quantile", "buy", quantile=0.5, is_of_rows=True,
            window_days=4.0, rows=_event("price is not null", "price / 2")): Words(
        lambda rows: math.fsum(_prices(rows)), 0.0, 4.0, source=("buy",),
        below=lambda rows: float(sum("price" in r["properties"] for r in rows)),
        is_worthless=lambda r: ("price" in r["properties"]
                                and _number(r, "price", None) is None),
        single=lambda rows: list(_prices(rows))),
}  # fmt: skip


# --- the slow reading ---------------------------------------------------------------


def _units(exposures: list[Row], spec: ExperimentSpec) -> list[Row]:
    inside = [r for r in exposures if spec.start_ts <= r["at"] < spec.end_ts]
    users = sorted({row["user"] for row in inside})
    return [
        min(
            (r for r in inside if r["user"] == u), key=lambda r: (r["at"], r["variant"])
        )
        for u in users
    ]


def _rows_of(unit: Row, outcomes: list[Row], spec: ExperimentSpec) -> list[Row]:
    midnight = unit["at"].replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        {
            **row,
            "day": (row["at"] - unit["at"]) / DAY,
            "date": (row["at"] - midnight) // DAY,
        }
        for row in outcomes
        if row["user"] == unit["user"] and row["at"] < spec.watermark_ts
    ]


def _is_lost(row: Row) -> bool:
    """An outcome delivered without its value, which an event may well have; an event
    that cannot be read.
    """
    return row.get("properties", row["value"]) is None


def _measure(unit: Row, words: Words, rows: list[Row], spec: ExperimentSpec) -> Row:
    midnight = unit["at"].replace(hour=0, minute=0, second=0, microsecond=0)
    begin = midnight if words.by_date else unit["at"]
    last = words.opens if math.isinf(words.closes) else words.closes
    here = [row for row in rows if words.inside(row)]
    found: Row = {
        "variant": unit["variant"],
        "user": unit["user"],
        "is_mature": begin + last * DAY <= spec.watermark_ts,
        "is_missing": any(_is_lost(r) or words.is_worthless(r) for r in here),
    }
    if not found["is_mature"] or found["is_missing"]:
        return found
    found["value"] = words.value(here)
    if words.single is not None:
        found["rows"] = words.single(here)
    if words.below is not None:
        found["denominator"] = words.below(here)
    for name, (days, source, measure) in words.covariates.items():
        sources = ("m", "k") if source == "both" else (source,)
        past = [r for r in rows for s in sources if words.before(r, days, s)]
        seen = unit.get("first_seen")
        is_unknown = seen is not None and seen >= begin - days * DAY
        is_unknown |= any(_is_lost(r) or words.is_worthless(r) for r in past)
        found[name] = 0.0 if is_unknown else measure(past)
        found[f"{name}_missing"] = float(is_unknown)
    return found


def _rank(values: list[float], share: float) -> float | None:
    number = math.ceil(share * len(values) - 1e-9)
    return sorted(values)[number - 1] if 1 <= number <= len(values) else None


def _quantile(metric: MetricDefinition, units: list[Row]) -> Row:
    """Order statistics; a unit's rows depend on each other, units do not."""
    share, n = metric.quantile or 0.0, len(units)
    values = [unit["value"] for unit in units]
    if metric.is_of_rows:
        values = [value for unit in units for value in unit["rows"]]
    middle = _rank(values, share)
    if n < 2 or middle is None:
        return {"value": None, "lower": None, "upper": None, "n_values": len(values)}
    error = math.sqrt(share * (1 - share) / n)
    if metric.is_of_rows:
        below = pd.Series([sum(v <= middle for v in u["rows"]) for u in units])
        size = pd.Series([float(len(u["rows"])) for u in units])
        left = below - below.sum() / size.sum() * size
        error = math.sqrt(left.var() / n) / size.mean()
    reach = 1.959963984540054 * error
    return {
        "value": middle,
        "lower": _rank(values, share - reach),
        "upper": _rank(values, share + reach),
        "share_error": error,
        "n_values": len(values),
    }


# --- experiments that sit on the edges ----------------------------------------------

EXPOSED = [0 * DAY, 7 * HOUR, DAY, DAY - TICK, 2 * DAY + 7 * HOUR, 3 * DAY]
OFFSETS = [
    -3 * DAY - TICK, -3 * DAY, -2 * DAY, -DAY, -25 * HOUR, -23 * HOUR, -HOUR, -TICK,
    0 * DAY, TICK, HOUR, 0.5 * DAY - TICK, 0.5 * DAY, DAY - TICK, DAY, 1.5 * DAY, 2 * DAY,
    2.5 * DAY - TICK, 2.5 * DAY, 3 * DAY - TICK, 3 * DAY, 4 * DAY - TICK, 4 * DAY, 6 * DAY,
]  # fmt: skip
PROPERTIES = [
    {}, {"plan": "pro", "price": "3.5", "quantity": "2", "thing": "a"},
    {"plan": "pro", "price": "1", "quantity": "1", "thing": "b"},
    {"plan": "free", "price": "NaN", "thing": "a"}, {"price": "4"},
    {"plan": "pro", "price": "inf", "quantity": "1"}, {"plan": "PRO", "price": "2.5"},
]  # fmt: skip
VALUES = [1.0, 2.0, 2.5, 0.0, -1.0, 1 / 3, 7.25]


@st.composite
def _experiments(
    draw: st.DrawFn,
) -> tuple[list[Row], list[Row], list[Row], ExperimentSpec]:
    exposures: list[Row] = []
    outcomes: list[Row] = []
    events: list[Row] = []
    for number in range(draw(st.integers(4, 24))):
        user = f"u{number}"
        at = START + draw(st.sampled_from(EXPOSED))
        seen = draw(st.sampled_from([None, None, -3 * DAY, -DAY, -2 * DAY - TICK]))
        exposures.append(
            {
                "user": user,
                "variant": draw(st.sampled_from(["control", "treatment"])),
                "at": at,
                "first_seen": None if seen is None else at + seen,
            }
        )
        outcomes += [
            {
                "user": user,
                "metric": draw(st.sampled_from(["m", "m", "k", "other"])),
                "value": draw(st.sampled_from([*VALUES, *VALUES, None])),
                "at": at + draw(st.sampled_from(OFFSETS)),
            }
            for _ in range(draw(st.integers(0, 9)))
        ]
        events += [
            {
                "user": user,
                "metric": draw(st.sampled_from(["look", "buy", "buy"])),
                "value": draw(st.sampled_from([*VALUES, None])),
                "properties": draw(
                    st.sampled_from([*PROPERTIES, *PROPERTIES, *PROPERTIES, None])
                ),
                "at": at + draw(st.sampled_from(OFFSETS)),
            }
            for _ in range(draw(st.integers(0, 6)))
        ]
    spec = ExperimentSpec(
        "exp_a",
        START,
        START + 4 * DAY,
        START + draw(st.sampled_from([4 * DAY, 5 * DAY + HOUR, 9 * DAY])),
        namespace="shop",
        variants=(Variant("control", 0.5), Variant("treatment", 0.5)),
        control="control",
        plan=AnalysisPlan(metrics=()),
    )
    return exposures, outcomes, events, spec


def _close(found: float | None, expected: float | None, name: str) -> None:
    if expected is None or math.isnan(expected):
        assert found is None, name
    else:
        # doubles summed in another order, on numbers below 100
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-11), name


def _shared(one: pd.Series, other: pd.Series) -> float | None:
    return None if len(one) < 2 else float(one.cov(other))


def _check_moments(totals: Any, units: list[Row], words: Words) -> None:
    values = pd.Series([u["value"] for u in units], dtype="float64")
    _close(totals.mean, values.mean(), "mean")
    _close(totals.variance, _shared(values, values), "variance")
    if words.below is not None:
        below = pd.Series([u["denominator"] for u in units], dtype="float64")
        _close(totals.denominator_mean, below.mean(), "denominator_mean")
        _close(totals.denominator_covariance, _shared(values, below), "covariance")
    if words.covariates:
        first = next(iter(words.covariates))
        x = pd.Series([u[first] for u in units], dtype="float64")
        flag = pd.Series([u[f"{first}_missing"] for u in units], dtype="float64")
        _close(totals.covariate_mean, x.mean(), "covariate_mean")
        _close(totals.covariate_covariance, _shared(values, x), "covariate_covariance")
        _close(totals.new_share, flag.mean(), "new_share")


def _check_adjustment(totals: Any, units: list[Row], words: Words) -> None:
    names = [n for c in words.covariates for n in (c, f"{c}_missing")]
    columns = ["value", *(["denominator"] if words.below else []), *names]
    frame = pd.DataFrame(units, columns=columns, dtype="float64")
    assert totals.covariates == tuple(names)
    assert totals.n == len(units)
    assert totals.means == pytest.approx(frame.mean().to_numpy(), rel=1e-9, abs=1e-11)
    expected = frame.cov().to_numpy()
    assert np.array(totals.covariance) == pytest.approx(expected, rel=1e-9, abs=1e-11)


@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(experiment=_experiments())
def test_every_type_agrees_with_its_words(
    build: Any, experiment: tuple[list[Row], list[Row], list[Row], ExperimentSpec]
) -> None:
    exposures, outcomes, events, spec = experiment
    delivered = [{**row, "event": row["metric"]} for row in events]
    engine = build(exposures, outcomes, tuple(METRICS), spec, delivered)
    totals = read_totals(engine.records("from exp_run.metric_aggregates_overall"))
    quantiles = read_quantiles(engine.records("from exp_run.metric_quantiles"))
    adjusted = read_adjustments(engine.records("from exp_run.metric_adjustments"))
    units = _units(exposures, spec)
    rows = {u["user"]: _rows_of(u, outcomes + events, spec) for u in units}
    for metric, words in METRICS.items():
        measured = [_measure(u, words, rows[u["user"]], spec) for u in units]
        for variant in {unit["variant"] for unit in units}:
            arm = [unit for unit in measured if unit["variant"] == variant]
            counted = [unit for unit in arm if "value" in unit]
            found = totals[metric.name, "all", variant]
            assert found.n == len(counted), metric.name
            assert found.n_immature == sum(not u["is_mature"] for u in arm)
            assert found.n_missing == sum(
                u["is_mature"] and u["is_missing"] for u in arm
            )
            if counted:
                _check_moments(found, counted, words)
            if metric.quantile is not None:
                answer = _quantile(metric, counted)
                own = quantiles[metric.name, "all", variant]
                for name, number in answer.items():
                    _close(getattr(own, name), number, f"{metric.name} {name}")
            if len(counted) > 1 and len(words.covariates) > 1:
                key = (metric.name, "all", variant)
                _check_adjustment(adjusted[key], counted, words)
