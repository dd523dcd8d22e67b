"""When an experiment is looked at."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from exp_platform.decision.looks import (
    choose_look_method,
    due_looks,
    explain_single_look,
    find_needed_follow_up,
    plan_looks,
)
from exp_platform.records import (
    Assignment,
    Direction,
    LookMethod,
    MetricDefinition,
    MetricType,
    SequentialDesign,
)

WEEKLY = MetricDefinition(
    "orders", 1, MetricType.MEAN, Direction.INCREASE, "orders", window_days=7.0
)
OPEN = replace(WEEKLY, window_days=None)
DAY = timedelta(days=1)


def days(spec, looks):
    return [(look.instant - spec.start_ts) / DAY for look in looks]


def design(spec, **changes):
    plan = replace(spec.plan, sequential=SequentialDesign(**changes))
    return replace(spec, plan=plan)


@pytest.fixture
def spec(shippable):
    return shippable.spec


def test_plan_looks_is_daily_at_midnight_up_to_the_end(spec):
    looks = plan_looks(spec, WEEKLY)
    assert days(spec, looks) == list(range(1, 15))
    assert [look.number for look in looks] == list(range(1, 15))
    assert looks[6].elapsed == 0.5
    assert looks[-1].elapsed == 1.0


def test_plan_looks_ends_at_an_end_between_midnights(spec):
    start = datetime(2026, 3, 1, 18, tzinfo=UTC)
    late = replace(spec, start_ts=start, end_ts=start + 2.5 * DAY)
    looks = plan_looks(late, WEEKLY)
    hours = [look.instant.hour for look in looks]
    assert hours == [0, 0, 0, 6]
    assert [look.elapsed for look in looks] == pytest.approx([0.1, 0.5, 0.9, 1.0])


def test_plan_looks_on_registered_days_and_at_the_end(spec):
    looks = plan_looks(design(spec, look_days=(10, 7, 40)), WEEKLY)
    assert days(spec, looks) == [7, 10, 14]
    looks = plan_looks(design(spec, look_every_days=5), WEEKLY)
    assert days(spec, looks) == [5, 10, 14]


def test_plan_looks_goes_on_for_the_follow_up(spec):
    longer = design(spec, follow_up_days=7.0, look_every_days=7)
    looks = plan_looks(longer, WEEKLY)
    assert days(spec, looks) == [7, 14, 21]
    assert not longer.is_complete
    assert replace(longer, watermark_ts=longer.end_ts + 7 * DAY).is_complete


def test_plan_looks_without_an_end_follows_the_data(spec):
    open_end = design(spec, has_end=False)
    now = replace(open_end, watermark_ts=spec.start_ts + 3.5 * DAY)
    looks = plan_looks(now, WEEKLY)
    assert days(spec, looks) == [1, 2, 3]
    assert {look.elapsed for look in looks} == {None}


def test_plan_looks_of_growing_values_is_the_end_alone(spec):
    (look,) = plan_looks(spec, OPEN)
    assert (look.instant, look.elapsed) == (spec.end_ts, 1.0)


def test_due_looks_are_those_the_data_have_reached(spec):
    now = replace(spec, watermark_ts=spec.start_ts + 3.99 * DAY)
    assert days(spec, due_looks(now, WEEKLY)) == [1, 2, 3]
    assert due_looks(now, OPEN) == ()
    assert len(due_looks(replace(now, is_dated=False), OPEN)) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"is_dated": False}, "UNDATED"),
        ({"assignment": Assignment.POLICY}, "NOT_RANDOMISED"),
        ({"cluster": "market"}, "CLUSTERED"),
        ({}, ""),
    ],
)
def test_explain_single_look_by_the_experiment(spec, changes, reason):
    assert explain_single_look(replace(spec, **changes), WEEKLY) == reason


def test_find_needed_follow_up_where_windows_close_after_the_last_look(spec):
    assert find_needed_follow_up(spec, WEEKLY) == WEEKLY.window_days
    waiting = design(spec, follow_up_days=WEEKLY.window_days)
    assert find_needed_follow_up(waiting, WEEKLY) is None
    assert find_needed_follow_up(design(spec, has_end=False), WEEKLY) is None
    assert find_needed_follow_up(spec, OPEN) is None
    assert find_needed_follow_up(replace(spec, cluster="market"), WEEKLY) is None


def test_explain_single_look_by_the_metric_and_the_plan(spec):
    assert explain_single_look(spec, OPEN) == "NO_WINDOW"
    fixed = design(spec, method=LookMethod.FIXED)
    assert explain_single_look(fixed, WEEKLY) == "FIXED"
    # Its totals by day do not exist, whatever the plan says.
    assert explain_single_look(fixed, OPEN) == "NO_WINDOW"


SEQUENCE, GROUP, FIXED, MSPRT = (
    LookMethod.CONFIDENCE_SEQUENCE,
    LookMethod.GROUP_SEQUENTIAL,
    LookMethod.FIXED,
    LookMethod.MSPRT,
)


@pytest.mark.parametrize(
    ("changes", "weekly", "growing"),
    [
        ({}, GROUP, FIXED),
        ({"has_end": False}, SEQUENCE, SEQUENCE),
        ({"has_end": False, "planned_units": 9_000}, GROUP, FIXED),
        ({"method": SEQUENCE}, SEQUENCE, FIXED),
        ({"method": MSPRT}, MSPRT, FIXED),
        ({"method": FIXED}, FIXED, FIXED),
        ({"method": FIXED, "has_end": False}, FIXED, FIXED),
    ],
)
def test_choose_look_method_by_what_was_registered(spec, changes, weekly, growing):
    planned = design(spec, **changes)
    assert choose_look_method(planned, WEEKLY) is weekly
    assert choose_look_method(planned, OPEN) is growing
    undated = replace(planned, is_dated=False)
    assert choose_look_method(undated, WEEKLY) is FIXED
