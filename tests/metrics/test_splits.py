"""The chi-square tests of splits in SQL, beside scipy and the check in Python."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sqlglot
from scipy.special import chdtrc

from exp_platform.lake import Engine
from exp_platform.metrics.compile_models import DIALECTS
from exp_platform.metrics.models import model_sql
from exp_platform.records import AnalysisPlan, Variant
from exp_platform.stats.multiplicity import adjust_holm
from exp_platform.stats.srm import assess_split

START = datetime(2026, 1, 5, tzinfo=UTC)
MOST_DF = 9


def _tests(
    engine: Engine, dialect: str, levels: dict[str, Any], **scope: str
) -> dict[str, Any]:
    """Rows of `int_split_tests` by level, from rows of `int_split_levels`."""
    engine.register("exp_run.split_grid", pa.table(levels))
    text = model_sql("int_split_tests", dialect)
    text = text.replace("exp_run.int_split_levels", "exp_run.split_grid")
    names = {"experiment_id": "a", "cluster_attribute": "", "assignment": "randomised"}
    engine.register("exp_run.split_scope", pa.Table.from_pylist([names | scope]))
    text = text.replace("exp_run.run_experiments", "exp_run.split_scope")
    sql = sqlglot.transpile(text, read=dialect, write="duckdb")[0]
    return {row["level"]: row for row in engine.records(sql)}


def _grid(statistics: list[float], df: int) -> dict[str, Any]:
    """One level per statistic; df + 1 arms, the statistic in the first one's term."""
    arms = df + 1
    terms = [[value] + [0.0] * df for value in statistics]
    n = len(statistics) * arms
    return {
        "experiment_id": ["a"] * n,
        "slice": ["segment"] * n,
        "level": [f"{i:04d}" for i in range(len(statistics)) for _ in range(arms)],
        "expected": [5.0] * n,
        "chi_square_term": [term for row in terms for term in row],
    }


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("df", range(1, MOST_DF + 1))
def test_chi_square_tail_has_twelve_digits(
    engine: Engine, dialect: str, df: int
) -> None:
    statistics = [0.0, *np.geomspace(1e-4, 1300, 300).tolist()]
    rows = _tests(engine, dialect, _grid(statistics, df))
    found = np.array([rows[f"{i:04d}"]["p_value"] for i in range(len(statistics))])
    exact = chdtrc(df, statistics)
    # scipy's own digits in the far tail: 1e-12 of tails down to 1e-280
    np.testing.assert_allclose(found, exact, rtol=1e-12, atol=0)
    assert {row["df"] for row in rows.values()} == {df}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "scope",
    [
        {"cluster_attribute": "city"},
        {"assignment": "policy"},
        {"assignment": "self_selected"},
    ],
)
def test_units_that_were_not_split_one_by_one_have_no_p(
    engine: Engine, dialect: str, scope: dict[str, str]
) -> None:
    levels = _grid([30.0] * 4, 1)
    levels["slice"] = [
        split for split in ("overall", "day", "segment", "stage") for _ in range(2)
    ]
    rows = _tests(engine, dialect, levels, **scope).values()
    assert {row["p_value"] for row in rows} == {None}
    assert {row["p_value_adjusted"] for row in rows} == {None}
    rows = _tests(engine, dialect, levels).values()
    assert max(row["p_value"] for row in rows) < 1e-6


def test_chi_square_of_more_arms_has_no_p(engine: Engine) -> None:
    rows = _tests(engine, "duckdb", _grid([3.0], MOST_DF + 1))
    assert rows["0000"]["chi_square"] == 3.0
    assert rows["0000"]["p_value"] is None
    assert rows["0000"]["p_value_adjusted"] is None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_levels_are_corrected_by_holm(engine: Engine, dialect: str) -> None:
    random = np.random.default_rng(20262)
    levels = _grid([*random.chisquare(1, 30).tolist(), 4.0, 4.0], 1)
    # two levels are too small for a test and take no part in the family
    levels["expected"] = [4.0] * 4 + levels["expected"][4:]
    rows = _tests(engine, dialect, levels)
    tested = {k: r for k, r in rows.items() if r["p_value"] is not None}
    assert len(tested) == 30
    adjusted = adjust_holm([row["p_value"] for row in tested.values()])
    found = [row["p_value_adjusted"] for row in tested.values()]
    # the same products in another order
    np.testing.assert_allclose(found, adjusted, rtol=1e-15)


def test_split_of_the_models_is_that_of_the_check(build: Any, spec: Any) -> None:
    random = np.random.default_rng(20263)
    arms = {"control": 0.5, "b": 0.3, "c": 0.2}
    exposures = [
        {
            "user": f"u{i}",
            "variant": random.choice(list(arms), p=list(arms.values())).item(),
            "at": START + timedelta(days=int(random.integers(4))),
            "attributes": {"country": "NL" if i % 3 else "DE"},
        }
        for i in range(300)
    ]
    plan = AnalysisPlan(metrics=(), segments=("country",))
    variants = tuple(Variant(name, share) for name, share in arms.items())
    engine = build(exposures, [], [], spec(plan=plan, variants=variants))
    rows = engine.records("from exp_run.sample_ratio_mismatch")
    levels: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        levels.setdefault((row["slice"], row["level"]), {})[row["variant"]] = row
    slices = [name for name, _ in levels]
    assert {name: slices.count(name) for name in slices} == {
        "overall": 1,
        "day": 4,
        "cumulative_day": 4,
        "segment": 2,
        "stage": 5,
    }
    for (name, level), found in levels.items():
        expected = assess_split(
            [found[arm]["observed"] for arm in arms], list(arms.values())
        )
        row = found["control"]
        assert row["chi_square"] == pytest.approx(expected.chi_square, rel=1e-12), level
        if name != "cumulative_day" and expected.p_method == "chi_square":
            assert row["p_value"] == pytest.approx(expected.p_value, rel=1e-12), level
        else:
            assert row["p_value"] is None


@pytest.mark.parametrize(("leaves", "segments"), [(False, 2), (True, 1)])
def test_bots_that_are_left_out_have_no_segment_without_them(
    build: Any, spec: Any, leaves: bool, segments: int
) -> None:
    plan = AnalysisPlan(metrics=(), bot_rows_per_day=2, exclude_bots=leaves)
    units = [{"user": u, "variant": "control", "at": START} for u in ("bot", "man")]
    rows = [
        {"user": "bot", "metric": "m", "value": 1.0, "at": START + timedelta(hours=h)}
        for h in range(3)
    ]
    engine = build(units, rows, [], spec(plan=plan))
    found = engine.rows("select distinct segment from exp_run.unit_segments")
    assert len(found) == segments
