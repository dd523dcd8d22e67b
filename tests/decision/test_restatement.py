"""What was told about past looks, and what of it has moved."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from exp_platform.decision.restatement import (
    carry_told,
    compare_plan,
    compare_told,
    read_told,
    remember_told,
    tell_crossings,
)
from exp_platform.records import (
    Assignment,
    EstimateRole,
    MetricRole,
    SequentialDesign,
    Variant,
)

START = datetime(2026, 3, 1, tzinfo=UTC)


def day(number):
    return (START + timedelta(days=number)).isoformat()


def told(crossed, through, **changes):
    """One arm, one metric: the effect crossed on a day, looks went on to another."""
    entry = {
        "crossings": {"effect": crossed and day(crossed)},
        "through": day(through),
        "version": "1:a",
        "design": "d",
    }
    return {"B": {"orders": {**entry, **changes}}}


@pytest.mark.parametrize(
    ("before", "now", "moves"),
    [
        (told(5, 7), told(5, 9), []),
        (told(5, 7), told(6, 9), [(day(5), day(6))]),
        (told(5, 7), told(None, 9), [(day(5), None)]),
        (told(None, 7), told(None, 9), []),
        (told(None, 7), told(8, 9), []),
        (told(None, 7), told(6, 9), [(None, day(6))]),
        (told(None, 7), told(7, 7), [(None, day(7))]),
        (told(5, 5), told(9, 9, since=day(9)), []),
        (told(5, 5), told(None, 9, since=day(9)), [(day(5), None)]),
        (told(5, 7), told(6, 9, since=day(2)), [(day(5), day(6))]),
        (told(5, 5), told(9, 9, since=day(9), design="e"), [(day(5), day(9))]),
        ({}, told(6, 9), []),
        ({"B": {}}, told(6, 9), []),
    ],
)
def test_compare_told_finds_what_has_moved(before, now, moves):
    found = compare_told(before, now)
    assert [(one.before, one.now) for one in found] == moves
    assert {one.cause for one in found} <= {"LATE_DATA", "PLAN_CHANGED"}


def test_compare_told_names_the_cause():
    before = told(5, 7)
    (plan,) = compare_told(before, told(6, 9, design="e"))
    (metric,) = compare_told(before, told(6, 9, version="2:b"))
    assert (plan.cause, metric.cause) == ("PLAN_CHANGED", "DEFINITION_CHANGED")
    assert (plan.metric_name, plan.treatment, plan.test) == ("orders", "B", "effect")


def test_compare_told_does_not_call_data_late_that_came_after_the_end():
    before = told(None, 7, reach=day(7))
    (later,) = compare_told(before, told(7, 7, reach=day(20)))
    (late,) = compare_told(before, told(7, 7, reach=day(7)))
    (unknown,) = compare_told(told(None, 7), told(7, 7, reach=day(20)))
    (less,) = compare_told(told(None, 7, reach=day(20)), told(7, 7, reach=day(7)))
    assert later.cause == "LATER_WATERMARK"
    assert late.cause == unknown.cause == less.cause == "LATE_DATA"


@pytest.mark.parametrize(
    ("why", "reach"), [("NO_WINDOW", "told"), ("FIXED", "not told")]
)
def test_tell_crossings_says_how_far_a_look_on_all_data_reads(shippable, why, reach):
    row = look(shippable, 3)
    place = {"method": "fixed", "why_one_look": why}
    row = replace(row, sequential_p_value=0.01, details={"sequential": place})
    entry = tell_crossings(shippable.spec, [row], ())["B"]["orders"]
    expected = {"told": shippable.spec.watermark_ts.isoformat(), "not told": None}
    assert entry.get("reach") == expected[reach]


@pytest.mark.parametrize(
    ("before", "now", "carried"),
    [
        ({}, told(5, 7), told(5, 7)),
        (told(5, 7), told(5, 9), told(5, 9)),
        (told(None, 7), told(None, 9), told(None, 9)),
        (told(None, 7), told(8, 9), told(8, 9)),
        (told(5, 7), told(6, 9), told(5, 7)),
        (told(None, 7), told(6, 9), told(None, 7)),
    ],
)
def test_carry_told_keeps_the_first_report(before, now, carried):
    assert carry_told(before, now) == carried
    assert carry_told(carried, now) == carried


def look(case, number):
    place = {"method": "group_sequential", "first_crossing": 2 if number > 1 else None}
    return replace(
        case.estimates[0],
        look=number,
        look_ts=START + timedelta(days=number),
        role=EstimateRole.PRIMARY if number == 3 else EstimateRole.DIAGNOSTIC,
        details={"sequential": place},
        metric_version="1:a",
    )


def test_tell_crossings_gives_instants(shippable):
    rows = [look(shippable, number) for number in (1, 2, 3)]
    entry = tell_crossings(shippable.spec, rows, ())["B"]["orders"]
    assert entry["crossings"]["effect"] == day(2)
    assert entry["crossings"]["harm"] is None
    assert (entry["since"], entry["through"]) == (day(1), day(3))


def test_tell_crossings_of_a_single_look(shippable):
    row = replace(
        shippable.estimates[0],
        look=1,
        look_ts=START + timedelta(days=14),
        sequential_p_value=0.01,
        harm_p_value=0.9,
        details={"sequential": {"method": "fixed"}},
    )
    entry = tell_crossings(shippable.spec, [row], ())["B"]["orders"]
    assert entry["crossings"] == {"effect": day(14), "harm": None}
    weak = replace(row, sequential_p_value=0.2)
    entry = tell_crossings(shippable.spec, [weak], ())["B"]["orders"]
    assert entry["crossings"]["effect"] is None


def test_tell_crossings_has_nothing_to_say_without_dates(shippable):
    spec = replace(shippable.spec, is_dated=False)
    rows = [look(shippable, number) for number in (1, 2, 3)]
    assert tell_crossings(spec, rows, ()) == {"B": {}}


def test_read_told_is_what_a_decision_remembers(shippable):
    decisions = shippable.decide()
    kept = [
        replace(d, details={**d.details, "told": told(5, 7)["B"]}) if d.treatment else d
        for d in decisions
    ]
    assert read_told(kept) == told(5, 7)
    assert read_told(decisions) == {"B": {}}


def replan(spec, **changes):
    """The plan with other parts: metric -> what is changed of it, None = left out."""
    metrics = [
        replace(one, **(changes.get(one.metric_name) or {}))
        for one in spec.plan.metrics
        if changes.get(one.metric_name, {}) is not None
    ]
    return replace(spec, plan=replace(spec.plan, metrics=tuple(metrics)))


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({}, []),
        ({"refunds": None}, [None]),
        ({"refunds": {"role": MetricRole.MONITOR}}, [None]),
        ({"refunds": {"role": MetricRole.GOAL}}, ["a goal"]),
        ({"refunds": {"margin": 0.2}}, ["a guardrail (margin 20 %)"]),
    ],
)
def test_a_part_that_is_another_than_told_is_found(shippable, changes, now):
    first = replan(shippable.spec, refunds={"margin": 0.1})
    rows = [
        replace(look(shippable, 1), metric_name="refunds", role=EstimateRole.PRIMARY)
    ]
    before = tell_crossings(first, rows, ())
    found = compare_plan(replan(first, **changes), before)
    assert [one.now for one in found] == now
    assert {(one.test, one.cause) for one in found} <= {("part", "PLAN_CHANGED")}
    assert {one.before for one in found} <= {"a guardrail (margin 10 %)"}


def test_an_arm_that_was_told_and_has_gone_is_found_in_every_later_run(shippable):
    before = {"B": {}, "C": told(5, 7)["B"]}
    decisions = [
        remember_told(d, carry_told(before, {"B": {}}), shippable.spec.treatments)
        for d in shippable.decide()
    ]
    assert read_told(decisions) == before
    (found,) = compare_plan(shippable.spec, read_told(decisions))
    assert (found.treatment, found.now) == ("C", None)


@pytest.mark.parametrize("now", [{}, {"B": {}}, told(5, 9, part="a goal")])
def test_carry_told_keeps_what_this_run_cannot_tell(now):
    before = told(5, 7, part="a guardrail (margin 2 %)")
    assert carry_told(before, now) == before


@pytest.mark.parametrize(
    ("changes", "before", "now"),
    [
        ({"alpha": 0.2}, "alpha 0.05", "alpha 0.2"),
        (
            {"sequential": SequentialDesign(follow_up_days=3, planned_units=900)},
            "end 2026-03-15 00:00 UTC and no units planned",
            "end 2026-03-18 00:00 UTC and 900 units planned",
        ),
        (
            {"sequential": SequentialDesign(look_days=(3, 7))},
            "looks every 1 d",
            "looks on days 3, 7",
        ),
    ],
)
def test_other_looks_than_told_are_found_once(shippable, changes, before, now):
    found = _change_plan(shippable, shippable.spec, changes)
    assert (found.metric_name, found.test, found.cause) == ("", "looks", "PLAN_CHANGED")
    assert (found.before, found.now) == (before, now)


@pytest.mark.parametrize(
    ("changes", "before", "now"),
    [
        (
            {"accept_within_margin": True},
            "worse inside a margin is not accepted",
            "worse inside a margin is accepted",
        ),
        (
            {"tie_break": "orders"},
            "nothing picks among several arms",
            "orders picks among several arms",
        ),
    ],
)
def test_other_rules_than_told_are_found_once(shippable, changes, before, now):
    third = Variant("C", 0.5)
    spec = replace(shippable.spec, variants=(*shippable.spec.variants, third))
    found = _change_plan(shippable, spec, changes)
    assert (found.metric_name, found.test, found.cause) == ("", "rules", "PLAN_CHANGED")
    assert (found.before, found.now) == (before, now)


def test_a_plan_told_without_its_rules_is_compared_by_the_rest(shippable):
    rows = [look(shippable, number) for number in (1, 2, 3)]
    (told,) = tell_crossings(shippable.spec, rows, ())["B"].values()
    earlier = {name: value for name, value in told.items() if name != "rules"}
    assert compare_plan(shippable.spec, {"B": {"orders": earlier}}) == ()
    kept = carry_told({"B": {"orders": earlier}}, {"B": {"orders": told}})
    assert kept["B"]["orders"]["rules"] == told["rules"]


def _change_plan(shippable, spec, changes):
    """The one thing found after a change of the plan, and not after it is taken back."""
    rows = [look(shippable, number) for number in (1, 2, 3)]
    rows += [replace(row, metric_name="revenue") for row in rows]
    first = tell_crossings(spec, rows, ())
    assert compare_plan(spec, first) == ()
    moved = replace(spec, plan=replace(spec.plan, **changes))
    (found,) = compare_plan(moved, first)
    kept = carry_told(first, tell_crossings(moved, rows, ()))
    assert compare_plan(moved, kept) == (found,)
    assert compare_plan(spec, kept) == ()
    return found


@pytest.mark.parametrize(
    ("days", "assignment", "is_told"),
    [
        (14, Assignment.RANDOMISED, True),
        (13, Assignment.RANDOMISED, False),
        (14, Assignment.POLICY, False),
    ],
)
def test_whole_clusters_are_told_at_the_end(shippable, days, assignment, is_told):
    watermark = START + timedelta(days=days)
    spec = replace(shippable.spec, cluster="city", assignment=assignment)
    spec = replace(spec, watermark_ts=watermark)
    row = replace(shippable.estimates[0], role=EstimateRole.PRIMARY)
    before = tell_crossings(spec, [row], ())
    assert ("orders" in before["B"]) is is_told
    dropped = replan(spec, orders={"role": MetricRole.MONITOR})
    assert bool(compare_plan(dropped, before)) is is_told
