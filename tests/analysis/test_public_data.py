"""The published answers on two public experiments, from their files as they are.

The data lie beside the project (../shared/data) and are never part of it; without them
these tests are skipped.
"""

from pathlib import Path

import pandas as pd
import pytest

import exp_platform as xp

DATA = Path(__file__).parents[3] / "shared" / "data"
# The published numbers carry nine or ten digits: half a unit in the ninth.
DIGITS = 5e-9


def _read(name):
    file = DATA / name
    if not file.is_file():
        pytest.skip(f"{name} is not beside the project")
    return pd.read_csv(file)


def test_cookie_cats():
    frame = _read("cookie_cats.csv")
    arms = {"variant": "version", "baseline": "gate_30"}
    (welch,) = xp.compare(frame, metric="retention_7", **arms)
    assert welch.difference == pytest.approx(-0.008201298315, rel=DIGITS)
    assert welch.p_value == pytest.approx(0.001556530181, rel=DIGITS)
    (share,) = xp.proportion(frame, metric="retention_7", **arms)
    assert share.p_value == pytest.approx(0.001554249976, rel=DIGITS)
    (median,) = xp.quantile(frame, metric="sum_game_rounds", **arms)
    assert (median.control_mean, median.treatment_mean) == (17, 16)
    split = xp.check_srm(frame, variant="version")
    assert split.p_value == pytest.approx(0.00860799, rel=1e-5)


def test_hillstrom():
    frame = _read("hillstrom.csv")
    arms = {"variant": "segment", "baseline": "No E-Mail"}
    rows = {
        metric: {row.treatment: row for row in xp.compare(frame, metric=metric, **arms)}
        for metric in ("visit", "conversion", "spend")
    }
    mens = rows["visit"]["Mens E-Mail"]
    assert mens.difference == pytest.approx(0.07658956365, rel=DIGITS)
    assert mens.standard_error == pytest.approx(0.003385887812, rel=DIGITS)
    family = xp.adjust([row for arm in rows.values() for row in arm.values()])
    assert len(family) == 6
    assert all(row.p_value_adjusted < 0.05 for row in family)
    assert xp.check_srm(frame, variant="segment").p_value == pytest.approx(
        0.90369, rel=1e-5
    )
