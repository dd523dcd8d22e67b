"""Which period a row of a frame belongs to, and periods without values."""

import numpy as np
import pandas as pd
import pytest

import exp_platform


def test_a_month_written_in_two_ways_counts_once():
    unit, month = np.repeat(np.arange(40), 6), np.tile(np.arange(1, 7), 40)
    sales = np.random.default_rng(1).normal(0, 1, unit.size) + (unit % 2) * (month > 3)
    frame = pd.DataFrame({"u": unit, "sales": sales, "on": (unit % 2) * (month > 3)})
    frame["t"] = [f"2004-{number:02d}" for number in month]
    other = frame.assign(
        t=frame["t"].where(frame["u"] < 30, "20040" + month.astype(str))
    )
    columns = {"unit": "u", "time": "t", "treated": "on", "methods": "did_2x2"}
    (one,), (two,) = (exp_platform.did(f, "sales", **columns) for f in (frame, other))
    assert two.difference == one.difference
    assert two.details["post_days"] == 3


@pytest.mark.parametrize(
    ("freq", "first", "event"), [("Y", "2001", "2004"), ("M", "2003-11", "2004-02")]
)
def test_did_reads_periods_of_pandas(freq, first, event):
    unit, step = np.repeat(np.arange(60), 6), np.tile(np.arange(6), 60)
    periods = pd.period_range(first, periods=6, freq=freq)
    sales = np.random.default_rng(1).normal(0, 1, unit.size)
    frame = pd.DataFrame(
        {"u": unit, "t": periods[step], "sales": sales, "on": unit % 2}
    )
    frame["since"] = pd.Series(pd.PeriodIndex([event] * unit.size, freq=freq))
    frame["since"] = frame["since"].where(frame["on"] == 1)
    columns = {"unit": "u", "time": "t", "methods": "event_study"}
    (row,) = exp_platform.did(frame, "sales", cohort="since", **columns)
    (other,) = exp_platform.did(
        frame, "sales", treated="on", policy_date=event, **columns
    )
    assert [one["label"] for one in row.details["effects"]] == periods.astype(
        str
    ).tolist()
    assert row == other


@pytest.mark.parametrize("empty", [[2003], [2002, 2004], [2001]])
@pytest.mark.parametrize("starts", [(2004,), (2003, 2005)])
def test_a_period_without_values_is_as_one_that_was_not_delivered(empty, starts):
    unit, year = np.repeat(np.arange(90), 6), np.tile(np.arange(2001, 2007), 90)
    since = np.array([0, *starts, 0])[unit % (1 + len(starts))]
    sales = np.random.default_rng(1).normal(0, 1, unit.size)
    sales += (since > 0) & (year >= since)
    frame = pd.DataFrame({"u": unit, "t": year, "since": since, "sales": sales})
    frame.loc[frame["t"].isin(empty), "sales"] = np.nan
    columns = {"unit": "u", "time": "t", "cohort": "since"}
    rows, alone = (
        exp_platform.did(one, "sales", **columns)
        for one in (frame, frame[~frame["t"].isin(empty)])
    )
    assert all(
        row.details.pop("periods_without_value") == [*map(str, empty)] for row in rows
    )
    assert rows == alone
    assert rows[0].details["sensitivity"]["status"] == "OK"


def test_did_of_cross_sections_goes_on_without_an_empty_period():
    unit, year = np.repeat(np.arange(40), 6), np.tile(np.arange(2001, 2007), 40)
    sales = np.random.default_rng(1).normal(0, 1, unit.size) + (unit % 2) * (
        year > 2003
    )
    frame = pd.DataFrame({"t": year, "since": 2004 * (unit % 2), "sales": sales})
    frame.loc[frame["t"] == 2002, "sales"] = np.nan
    columns = {"time": "t", "cohort": "since", "methods": "did_2x2"}
    (row,) = exp_platform.did(frame, "sales", **columns)
    (alone,) = exp_platform.did(frame[frame["t"] != 2002], "sales", **columns)
    assert row.difference == pytest.approx(alone.difference)
    assert (row.details["pre_days"], row.n_control) == (2, 100)
    assert row.details["periods_without_value"] == ["2002"]


def test_did_of_cross_sections_begins_with_the_first_period_that_has_rows():
    unit, year = np.repeat(np.arange(60), 5), np.tile(np.arange(2001, 2006), 60)
    since = np.select([unit % 3 == 1, unit % 3 == 2], [2004, 2002], 0)
    noise = np.random.default_rng(1).normal(0, 1, unit.size)
    sales = noise + ((since > 0) & (year >= since))
    frame = pd.DataFrame({"t": year, "since": since, "sales": sales})
    frame.loc[frame["t"] == 2001, "sales"] = np.nan
    columns = {"time": "t", "cohort": "since", "methods": "did_2x2"}
    (row,) = exp_platform.did(frame, "sales", **columns)
    (alone,) = exp_platform.did(frame[frame["t"] > 2001], "sales", **columns)
    # who is treated from 2002 on was never seen untreated
    assert alone.details["left_out"]["treated"]["why"] == {"always_treated": 80}
    assert row.difference == pytest.approx(alone.difference)
    assert row.n_treatment == alone.n_treatment == 80


def test_an_arm_of_cross_sections_with_nobody_in_a_period_stops_its_metric_alone():
    unit, year = np.repeat(np.arange(80), 4), np.tile(np.arange(2001, 2005), 80)
    frame = pd.DataFrame({"t": year, "since": 2003 * (unit % 2)})
    frame["sales"] = np.random.default_rng(2).normal(0, 1, unit.size)
    frame["visits"] = frame["sales"].mask((year == 2001) & (unit % 2 == 1))
    columns = {"time": "t", "cohort": "since"}
    assert exp_platform.did(frame, "sales", **columns)[0].is_ok
    for row in exp_platform.did(frame, "visits", **columns)[:2]:
        assert (row.status, row.reason) == ("INSUFFICIENT_DATA", "EMPTY_PERIOD")
    rows, test = exp_platform.event_study(frame, "visits", **columns)
    assert (rows, test) == ((), None)
