"""Few clusters of weighted units: every resample has the weights of the file."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

import exp_platform

N_CLUSTERS = 10
COLUMNS = {"unit": "unit", "time": "year", "cohort": "since", "weight": "size"}


@pytest.fixture(scope="module")
def panel():
    """Ten towns, the five treated ones much heavier."""
    random = np.random.default_rng(4)
    town = np.repeat(np.arange(N_CLUSTERS), 12)
    treated = town % 2
    size = random.uniform(0.2, 3, town.size) * (1 + 6 * treated)
    sales = random.normal(0, 1, (town.size, 4))
    sales += random.normal(0, 0.6, (N_CLUSTERS, 4))[town]
    sales[:, 2:] += 0.9 * treated[:, None]
    change = sales[:, 2:].mean(axis=1) - sales[:, :2].mean(axis=1)
    frame = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(town.size), 4),
            "year": np.tile(np.arange(2001, 2005), town.size),
            "since": np.repeat(2003 * treated, 4),
            "size": np.repeat(size, 4),
            "town": np.repeat(town, 4),
            "sales": sales.ravel(),
        }
    )
    return frame, town, treated, size, change


def _did(frame, method):
    (row,) = exp_platform.did(frame, "sales", cluster="town", methods=method, **COLUMNS)
    return row


def _regress(change, treated, size, town):
    """The weighted regression's coefficient, and its error up to a constant."""
    design = np.column_stack([np.ones(change.size), treated])
    inverse = np.linalg.inv(design.T @ (size[:, None] * design))
    slopes = inverse @ design.T @ (size * change)
    scores = design * (size * (change - design @ slopes))[:, None]
    sums = np.array([scores[town == one].sum(axis=0) for one in range(N_CLUSTERS)])
    return slopes[1], np.sqrt((inverse @ sums.T @ sums @ inverse)[1, 1])


def test_wild_bootstrap_of_weighted_units_is_that_of_the_regression(panel):
    frame, town, treated, size, change = panel
    effect, error = _regress(change, treated, size, town)
    level = np.average(change, weights=size)
    drawn = [
        _regress(level + np.array(signs)[town] * (change - level), treated, size, town)
        for signs in product((-1, 1), repeat=N_CLUSTERS)
    ]
    t = np.array([abs(slope / spread) for slope, spread in drawn])
    row = _did(frame, "did_2x2")
    assert row.difference == pytest.approx(effect)
    assert row.p_value == np.mean(t >= abs(effect / error) * (1 - 1e-10))
    assert (row.n_control, row.n_treatment) == (60, 60)


def test_randomisation_of_weighted_units_takes_their_weights_along(panel):
    frame, town, _treated, size, change = panel
    sums = np.bincount(town, size * change)
    sizes = np.bincount(town, size)

    def compare(chosen):
        inside = np.isin(np.arange(N_CLUSTERS), chosen)
        parts = [sums[side].sum() / sizes[side].sum() for side in (inside, ~inside)]
        return parts[0] - parts[1]

    found = abs(compare(range(1, N_CLUSTERS, 2)))
    others = [
        abs(compare(list(chosen))) for chosen in combinations(range(N_CLUSTERS), 5)
    ]
    row = _did(frame, "did_randomisation")
    assert row.p_value == np.mean(np.array(others) >= found * (1 - 1e-10))


@pytest.mark.parametrize("heaviest", [1, 50])
@pytest.mark.parametrize("starts", [(2004,), (2003, 2004)])
def test_one_town_that_outweighs_all_is_no_basis_for_trends(starts, heaviest):
    town = np.repeat(np.arange(60), 4)
    since = np.where(town < 30, np.resize(starts, 60)[town], 0)
    frame = pd.DataFrame(
        {
            "unit": np.repeat(np.arange(town.size), 5),
            "year": np.tile(np.arange(2001, 2006), town.size),
            "since": np.repeat(since, 5),
            "size": np.repeat(np.where(town % 30, 1.0, heaviest), 5),
            "sales": np.random.default_rng(3).normal(0, 1, town.size * 5),
        }
    )
    columns = {**COLUMNS, "cluster": "town"}
    frame["town"] = np.repeat(town, 5)
    rows, test = exp_platform.event_study(frame, "sales", **columns)
    bounds = exp_platform.sensitivity(frame, "sales", **columns)
    is_enough = heaviest == 1
    assert any(row.standard_error is not None for row in rows) is is_enough
    assert (test.reason == "TOO_FEW_CLUSTERS") is not is_enough
    assert (bounds.reason == "TOO_FEW_CLUSTERS") is not is_enough
