"""Totals by two experiments' arms beside numpy."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from exp_platform.metrics.joint import count_joint_units, read_joint_totals


@pytest.fixture
def joined(engine: Any) -> dict[str, np.ndarray]:
    """300 units, 250 in the first and 200 in the second; some left out as bots."""
    random = np.random.default_rng(3)
    ids = np.array([f"u{i:03}" for i in range(300)])
    columns = {
        "id": ids,
        "in_first": np.arange(300) < 250,
        "in_second": np.arange(300) >= 100,
        "is_bot": random.random(300) < 0.05,
        "first": random.choice(["a", "b"], 300),
        "second": random.choice(["x", "y", "z"], 300),
        "value": random.normal(5, 2, 300).round(4),
        "below": random.poisson(3, 300).astype(float),
    }
    for side in ("first", "second"):
        inside = columns[f"in_{side}"]
        bots = columns["is_bot"] if side == "second" else np.zeros(300, dtype=bool)
        assigned = pa.table(
            {
                "user_id": ids[inside],
                "variant": columns[side][inside],
                "is_in_analysis": ~bots[inside],
            }
        )
        engine.register(f"exp.{side}_assignments", assigned)
    inside = columns["in_first"]
    calculations = pa.table(
        {
            "metric_name": np.repeat("ratio", inside.sum()),
            "user_id": ids[inside],
            "variant": columns["first"][inside],
            "value": columns["value"][inside],
            "denominator": columns["below"][inside],
        }
    )
    engine.register("exp.first_calculations", calculations)
    return columns


def test_joint_units_count_only_the_analysis_sets(engine: Any, joined: Any) -> None:
    units = count_joint_units(engine)
    both = joined["in_first"] & joined["in_second"] & ~joined["is_bot"]
    assert (units.n_first, units.n_both) == (250, both.sum())
    assert units.n_second == (joined["in_second"] & ~joined["is_bot"]).sum()
    for (one, two), n in units.counts.items():
        cell = both & (joined["first"] == one) & (joined["second"] == two)
        assert n == cell.sum()


def test_joint_totals_agree_with_numpy(engine: Any, joined: Any) -> None:
    cells = read_joint_totals(engine, "exp_a", values="first", other="second")["ratio"]
    both = joined["in_first"] & joined["in_second"] & ~joined["is_bot"]
    assert len(cells) == 6
    for (one, two), totals in cells.items():
        inside = both & (joined["first"] == one) & (joined["second"] == two)
        y, d = joined["value"][inside], joined["below"][inside]
        assert (totals.n, totals.experiment_id) == (inside.sum(), "exp_a")
        found = (
            totals.mean,
            totals.variance,
            totals.denominator_mean,
            totals.denominator_variance,
            totals.denominator_covariance,
        )
        expected = (
            y.mean(),
            y.var(ddof=1),
            d.mean(),
            d.var(ddof=1),
            np.cov(y, d)[0, 1],
        )
        # the same sums in another order
        assert found == pytest.approx(expected, rel=1e-10)
