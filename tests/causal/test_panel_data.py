from dataclasses import replace

import numpy as np
import pytest

from exp_platform.causal.panel_data import PanelData, arrange_panel
from exp_platform.errors import ContractError


def _data(n=6, periods=4, **columns):
    unit = np.repeat(np.arange(n), periods)
    period = np.tile(np.arange(2001.0, 2001 + periods), n)
    cohort = np.where(unit % 2 == 0, np.inf, 2003.0)
    data = PanelData("exp_1", "y", unit, period, unit + period / 10, cohort)
    return replace(data, **columns)


def test_arrange_panel_is_blind_to_the_order_of_rows():
    data = _data()
    order = np.random.default_rng(1).permutation(data.unit.size)
    mixed = PanelData(
        "exp_1",
        "y",
        data.unit[order],
        data.period[order],
        data.outcome[order],
        data.cohort[order],
    )
    found, expected = arrange_panel(mixed), arrange_panel(data)
    np.testing.assert_array_equal(found.outcomes, expected.outcomes)
    np.testing.assert_array_equal(found.cohort, expected.cohort)
    assert found.periods.tolist() == [2001, 2002, 2003, 2004]
    assert found.is_treated[1].tolist() == [False, False, True, True]


def test_arrange_panel_drops_units_with_gaps_and_always_treated():
    data = _data()
    outcome = data.outcome.copy()
    outcome[0] = np.nan
    cohort = np.where(data.unit == 1, 2001.0, data.cohort)
    panel = arrange_panel(replace(data, outcome=outcome, cohort=cohort))
    assert (panel.n_incomplete, panel.n_always, panel.cohort.size) == (1, 1, 4)
    kept = arrange_panel(replace(data, cohort=cohort), keep_always=True)
    assert kept.cohort.size == 6


def test_treated_after_the_last_period_and_missing_cohort_are_never_treated():
    data = _data()
    cohort = np.where(data.unit == 1, 2010.0, np.nan)
    assert np.all(np.isinf(arrange_panel(replace(data, cohort=cohort)).cohort))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"period": np.full(24, 2001.0)}, "several rows"),
        ({"cohort": np.arange(24.0)}, "cohort changes"),
        ({"cluster": np.arange(24)}, "cluster changes"),
        ({"weight": np.arange(24.0)}, "weight changes"),
        ({"weight": np.zeros(24)}, "not above 0"),
        ({"covariates": np.arange(24.0)[:, None]}, "covariate 0 changes"),
        ({"outcome": np.ones(3)}, "differ in length"),
    ],
)
def test_arrange_panel_refuses_a_broken_panel(change, message):
    with pytest.raises(ContractError, match=message):
        arrange_panel(_data(**change))
