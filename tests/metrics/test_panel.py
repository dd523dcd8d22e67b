"""Panels beside a plain array of units by days."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exp_platform.causal.did import panel_of
from exp_platform.lake import Engine, LakeSettings
from exp_platform.metrics import panel_cells
from exp_platform.metrics.panel import build_panel
from exp_platform.metrics.panel_window import PanelWindow, choose_window
from exp_platform.metrics.spans import DAY_US
from exp_platform.metrics.unit_values import LARGEST_SUM
from exp_platform.records import (
    Assignment,
    Direction,
    GramTotals,
    MetricDefinition,
    MetricType,
    RowRule,
    SourceKind,
)

START = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = PanelWindow(3, 2, is_calendar=False)
METRICS = [
    MetricDefinition("money", 1, MetricType.MEAN, Direction.INCREASE, "m"),
    MetricDefinition("any", 1, MetricType.PROPORTION, Direction.INCREASE, "m"),
    MetricDefinition(
        "rows", 1, MetricType.COUNT, Direction.INCREASE, "m", aggregation="count"
    ),
    MetricDefinition(
        "best", 1, MetricType.MEAN, Direction.INCREASE, "m", aggregation="max"
    ),
]


def _daily(name: str, values: list[float]) -> float:
    if not values:
        return 0.0
    if name == "any":
        return float(max(values) > 0)
    return {"money": sum(values), "rows": float(len(values)), "best": max(values)}[name]


def _random_rows(seed: int, n: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    exposures = [
        {
            "user": f"u{i:02}",
            "variant": ("control", "treatment")[i % 2],
            "at": START + float(rng.uniform(0, 3.5)) * DAY,
            "attributes": {"market": f"m{rng.integers(5)}"},
        }
        for i in range(n)
    ]
    outcomes = [
        {
            "user": exposures[unit]["user"],
            "metric": "m",
            "value": float(np.round(rng.normal(1, 2), 3)),
            "at": exposures[unit]["at"] + float(rng.uniform(-4, 3)) * DAY,
        }
        for unit in rng.integers(n, size=6 * n)
    ]
    return exposures, outcomes


def _array(
    exposures: list[Any], outcomes: list[Any], name: str, *, spec: Any
) -> np.ndarray:
    """Shape (units, days): each unit's value on each day around its event."""
    days = range(-WINDOW.pre_days, WINDOW.post_days)
    table = np.zeros((len(exposures), len(days)))
    for i, unit in enumerate(exposures):
        event = spec.policy_ts or unit["at"]
        for j, day in enumerate(days):
            inside = [
                row["value"]
                for row in outcomes
                if row["user"] == unit["user"]
                and row["at"] < spec.watermark_ts
                and event + day * DAY <= row["at"] < event + (day + 1) * DAY
            ]
            table[i, j] = _daily(name, inside)
    return table


def _gram_of(table: np.ndarray, clusters: list[str]) -> np.ndarray:
    centred = table - table.mean(axis=0)
    names = sorted(set(clusters))
    members = np.array([[c == name for c in clusters] for name in names], dtype=float)
    scores = members @ centred
    return scores.T @ scores


@pytest.mark.parametrize("cluster", [None, "market"])
@pytest.mark.parametrize("policy", [None, START + 2 * DAY])
def test_build_panel_agrees_with_plain_arrays(
    build: Any, spec: Any, cluster: str | None, policy: datetime | None
) -> None:
    exposures, outcomes = _random_rows(3, 24)
    here = spec(
        cluster=cluster,
        policy_ts=policy,
        assignment=Assignment.POLICY if policy else Assignment.RANDOMISED,
        pre_period_days=3,
    )
    engine = build(exposures, outcomes, METRICS, here)
    grams = build_panel(engine, here, WINDOW, METRICS)
    assert len(grams) == 2 * len(METRICS)
    for gram in grams:
        units = [u for u in exposures if u["variant"] == gram.variant]
        table = _array(units, outcomes, gram.metric_name, spec=here)
        names = [u["attributes"]["market"] if cluster else u["user"] for u in units]
        assert (gram.n, gram.n_clusters) == (len(units), len(set(names)))
        # sums of a few dozen doubles in another order
        np.testing.assert_allclose(gram.means, table.mean(axis=0), atol=1e-12)
        expected = _gram_of(table, names)
        np.testing.assert_allclose(gram.score_gram, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e8])
@pytest.mark.parametrize("largest", [LARGEST_SUM, 1.0])
def test_build_panel_adds_amounts_of_millions(
    build: Any, spec: Any, monkeypatch: pytest.MonkeyPatch, scale: float, largest: float
) -> None:
    # what 64 bits cannot hold is added another way, which has to give the same
    monkeypatch.setattr(panel_cells, "LARGEST_SUM", largest)
    exposures, outcomes = _random_rows(4, 24)
    for row in outcomes:
        row["value"] = round(row["value"] * scale, 3)
    here = spec(cluster="market", pre_period_days=3)
    engine = build(exposures, outcomes, METRICS[:1], here)
    for gram in build_panel(engine, here, WINDOW, METRICS[:1], fixed_point={"m"}):
        units = [u for u in exposures if u["variant"] == gram.variant]
        table = _array(units, outcomes, gram.metric_name, spec=here)
        np.testing.assert_allclose(gram.means, table.mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("cluster", [None, "market"])
def test_collapse_agrees_with_changes_of_units(
    build: Any, spec: Any, cluster: str | None
) -> None:
    exposures, outcomes = _random_rows(5, 20)
    here = spec(cluster=cluster, pre_period_days=3)
    engine = build(exposures, outcomes, METRICS, here)
    for gram in build_panel(engine, here, WINDOW, METRICS[:1]):
        units = [u for u in exposures if u["variant"] == gram.variant]
        table = _array(units, outcomes, "money", spec=here)
        before, after = table[:, :3].mean(axis=1), table[:, 3:].mean(axis=1)
        names = [u["attributes"]["market"] if cluster else u["user"] for u in units]
        both = np.column_stack([after - before, before])
        expected = _gram_of(both, names)
        totals = panel_of(gram)
        assert (totals.pre_days, totals.post_days) == (3, 2)
        assert totals.mean_pre == pytest.approx(before.mean(), abs=1e-12)
        assert totals.mean_post == pytest.approx(after.mean(), abs=1e-12)
        # the same bilinear form, summed in another order
        close = {"rel": 1e-10, "abs": 1e-12}
        assert totals.score_sum_of_squares == pytest.approx(expected[0, 0], **close)
        assert totals.pre_score_sum_of_squares == pytest.approx(expected[1, 1], **close)
        assert totals.pre_score_product == pytest.approx(expected[0, 1], **close)


def test_build_panel_leaves_out_units_with_a_missing_day(build: Any, spec: Any) -> None:
    units = [{"user": u, "variant": "control", "at": START} for u in ("a", "b", "c")]
    lost = [
        {"user": "a", "metric": "m", "value": None, "at": START - DAY},
        {"user": "b", "metric": "m", "value": None, "at": START - 4 * DAY},
        {"user": "c", "metric": "other", "value": None, "at": START - DAY},
    ]
    here = spec(pre_period_days=3)
    engine = build(units, lost, METRICS, here)
    assert [gram.n for gram in build_panel(engine, here, WINDOW, METRICS)] == [2] * 4


@pytest.mark.parametrize("value", ["kind", "lower(kind)"])
def test_build_panel_tells_texts_apart(build: Any, spec: Any, value: str) -> None:
    units = [{"user": u, "variant": "control", "at": START} for u in ("a", "b", "c")]
    plain = {"event": "buy", "at": START, "value": None}
    events = [
        plain | {"user": "a", "properties": {"kind": "Hat"}},
        plain | {"user": "a", "properties": {"kind": "shoe"}},
        plain | {"user": "b", "properties": {"kind": "hat"}},
        plain | {"user": "c", "properties": {}},
    ]
    rule = RowRule(SourceKind.EVENT, value=value)
    kinds = replace(METRICS[2], numerator="buy", rows=rule, aggregation="distinct")
    here = spec(pre_period_days=3, namespace="shop")
    engine = build(units, [], [kinds], here, events)
    (gram,) = build_panel(engine, here, WINDOW, [kinds])
    # what c bought is not known
    assert (gram.n, gram.means) == (2, (0.0, 0.0, 0.0, 1.5, 0.0))


def test_build_panel_needs_whole_pre_and_post_periods(build: Any, spec: Any) -> None:
    units = [
        {"user": "kept", "variant": "control", "at": START},
        {"user": "late", "variant": "control", "at": START + 3 * DAY},
        {
            "user": "new",
            "variant": "control",
            "at": START,
            "first_seen": START - 3 * DAY,
        },
    ]
    here = spec(pre_period_days=3, watermark_ts=START + 4 * DAY)
    (gram,) = build_panel(build(units, [], METRICS, here), here, WINDOW, METRICS[:1])
    assert (gram.n, gram.means) == (1, (0.0,) * 5)


def test_build_panel_without_pre_period_keeps_new_units(build: Any, spec: Any) -> None:
    units = [
        {"user": "old", "variant": "control", "at": START},
        {"user": "new", "variant": "control", "at": START, "first_seen": START},
    ]
    here = spec(watermark_ts=START + 4 * DAY)
    engine = build(units, [], METRICS, here)
    window = PanelWindow(0, 2, is_calendar=False)
    (gram,) = build_panel(engine, here, window, METRICS[:1])
    assert (gram.n, gram.days) == (2, (0, 1))


def test_build_panel_leaves_out_ratios(build: Any, spec: Any) -> None:
    ratio = replace(METRICS[0], type=MetricType.RATIO, denominator="d")
    here = spec(pre_period_days=3)
    assert build_panel(build([], [], [ratio], here), here, WINDOW, [ratio]) == ()


def test_choose_window_follows_the_assignment(spec: Any) -> None:
    assert choose_window(spec()) == PanelWindow(0, 2, is_calendar=False)
    assert choose_window(spec(assignment=Assignment.POLICY)) is None
    assert choose_window(spec(assignment=Assignment.SELF_SELECTED)) is None
    assert choose_window(spec(pre_period_days=7, is_dated=False)) is None
    assert choose_window(spec(pre_period_days=7)) == PanelWindow(
        7, 2, is_calendar=False
    )
    rollout = spec(pre_period_days=7, policy_ts=START + 1.5 * DAY)
    assert choose_window(rollout) == PanelWindow(7, 4, is_calendar=True)
    too_late = spec(pre_period_days=7, policy_ts=START + 5.5 * DAY)
    assert choose_window(too_late) is None


def test_collapse_never_gives_a_negative_square() -> None:
    gram = GramTotals(
        "exp_a", "m", "control", 2, 2, (-1, 0), (0.0, 0.0), ((1.0, 1.1), (1.1, 1.0))
    )
    assert panel_of(gram).score_sum_of_squares == 0.0


@pytest.mark.parametrize("cluster", [None, "market"])
@pytest.mark.parametrize("most_cells", [1, 5 * 7, 5 * 23])
def test_build_panel_is_the_same_range_by_range(
    build: Any, spec: Any, cluster: str | None, most_cells: int
) -> None:
    here = spec(cluster=cluster, pre_period_days=3)
    engine = build(*_random_rows(11, 60), METRICS, here)
    whole = build_panel(engine, here, WINDOW, METRICS)
    parts = build_panel(engine, here, WINDOW, METRICS, most_cells=most_cells)
    for one, other in zip(whole, parts, strict=True):
        assert (one.variant, one.n, one.n_clusters) == (
            other.variant,
            other.n,
            other.n_clusters,
        )
        # blocks end elsewhere: sums of sixty doubles in another order
        np.testing.assert_allclose(one.means, other.means, rtol=1e-13, atol=1e-14)
        np.testing.assert_allclose(one.score_gram, other.score_gram, atol=1e-11)


@pytest.mark.parametrize("fixed_point", [set(), {"m"}])
@pytest.mark.parametrize("cluster", [None, "market"])
def test_build_panel_gives_the_same_bits_on_any_number_of_threads(
    tmp_path: Path, spec: Any, cluster: str | None, fixed_point: set[str]
) -> None:
    here = spec(cluster=cluster, pre_period_days=3)
    found = []
    for threads in (1, 4):
        settings = LakeSettings(
            tmp_path, tmp_path / "c.db", tmp_path, tmp_path, threads=threads
        )
        with Engine(settings) as engine:
            _make_many_rows(engine, digits=2 if fixed_point else 15)
            found.append(
                build_panel(engine, here, WINDOW, METRICS[:1], fixed_point=fixed_point)
            )
    assert found[0] == found[1]
    assert found[0][0].n == 10_000


def _make_many_rows(engine: Engine, *, digits: int) -> None:
    """More rows than one thread takes at a time, several for each unit and day."""
    start = round(START.timestamp() * 1_000_000)
    engine.execute(
        "create table exp_run.experiment_assignments as\n"
        "select range as unit_no, if(range % 2 = 0, 'control', 'treatment') as variant,\n"
        "    'c' || range % 700 as cluster_id, true as is_in_analysis,\n"
        "    cast(null as bigint) as first_seen_us,\n"
        f"    {start} as exposure_us from range(20000);\n"
        "create table exp_run.int_missing_values as\n"
        "select 0 as unit_no, '' as metric_name, 0 as outcome_us where false;\n"
        "create table exp_run.int_unit_outcomes as\n"
        "select hash(range) % 20000 as unit_no, 'm' as metric_name,\n"
        f"    round(hash(range * 7 + 1) % 1000003 / 997.0, {digits}) as value,\n"
        f"    {start} + cast(hash(range * 11 + 2) % 5 as bigint) * {DAY_US}\n"
        f"        - 3 * {DAY_US} as outcome_us from range(400000)"
    )
