"""The look a memo is about, in words and in a chart."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from exp_platform.records import EstimateRole
from exp_platform.report import render_memo
from exp_platform.report.comparisons import sort_comparisons
from exp_platform.report.looks import describe_looks, draw_looks, name_place

HARM = 0.0125
START = datetime(2026, 3, 2, tzinfo=UTC)


def followed(estimate, number, **changes):
    """A row of the sixth day's experiment at one of its looks."""
    place = {
        "method": "group_sequential",
        "status": "TESTED",
        "looks_planned": 14,
        "is_final": False,
        "spending": "obrien_fleming",
        "spending_time": number / 14,
        "information_share": None,
        "critical_value": 7.0 / number**0.5,
        "p_greater": 0.01,
        "p_less": 1.0,
        "first_crossing": 5 if number >= 5 else None,
        "noninferiority_crossing": 4 if number >= 4 else None,
        "harm_crossing": None,
    }
    details = {**estimate.details, "sequential": place}
    error = estimate.standard_error * (6 / number) ** 0.5
    return replace(
        estimate,
        role=EstimateRole.PRIMARY if number == 6 else EstimateRole.DIAGNOSTIC,
        look=number,
        look_ts=START + timedelta(days=number),
        standard_error=error,
        ci_lower=estimate.difference - place["critical_value"] * error,
        ci_upper=estimate.difference + place["critical_value"] * error,
        sequential_p_value=0.01,
        harm_p_value=1.0,
        details=details,
        **changes,
    )


@pytest.fixture
def looked_at(shippable):
    """The goals and guardrails of a memo, each at six looks, and all data beside."""
    rows = []
    for one in shippable.estimates:
        plan = shippable.spec.plan.of(one.metric_name)
        is_deciding = one.role is EstimateRole.PRIMARY and one.segment == "all"
        if is_deciding and plan.role != "monitor" and one.is_ok:
            rows += [followed(one, number) for number in range(1, 7)]
            note = {"method": "group_sequential", "status": "LATEST"}
            rows.append(
                replace(
                    one,
                    role=EstimateRole.SECONDARY,
                    details={**one.details, "sequential": note},
                )
            )
        else:
            rows.append(one)
    return replace(shippable, estimates=tuple(rows))


@pytest.fixture
def comparisons(looked_at):
    return sort_comparisons(looked_at)


def of(comparisons, metric):
    return next(one for one in comparisons if one.metric_name == metric)


def test_describe_looks_names_the_look_and_its_rule(comparisons):
    section = describe_looks(comparisons, HARM)
    assert section.place.startswith("look 6 of 14 (")
    assert section.place.endswith("42.9 % of the schedule")
    assert "O'Brien-Fleming type" in section.view.lead
    row = next(row for row in section.view.rows if row.metric == "conversion")
    texts = [cell.text for cell in row.cells]
    assert texts[0] == "6"
    assert texts[3] == "look 5"
    assert row.cells[1].note == "2.86"
    assert row.cells[4].note == "0.0125"


def test_describe_looks_of_a_guardrail_tells_its_margin(comparisons):
    section = describe_looks(comparisons, HARM)
    row = next(row for row in section.view.rows if row.metric == "page_load_time")
    assert row.cells[3].note == "margin: look 4"


def test_describe_looks_shows_the_estimate_after_a_stop(looked_at):
    rows = tuple(
        replace(
            e,
            details={
                **e.details,
                "stop_estimate": 0.02,
                "stop_ci_lower": 0.01,
                "stop_ci_upper": 0.03,
            },
        )
        if e.look == 6 and e.metric_name == "conversion"
        else e
        for e in looked_at.estimates
    )
    section = describe_looks(sort_comparisons(replace(looked_at, estimates=rows)), HARM)
    cells = {row.metric: row.cells[-1] for row in section.view.rows}
    assert (cells["conversion"].text, cells["conversion"].note) == (
        "+2.00 pp",
        "1.00 to 3.00",
    )
    assert cells["page_load_time"].text == "goes on"


def test_describe_looks_has_no_table_for_a_single_look(shippable):
    place = {"method": "fixed", "why_one_look": "NO_WINDOW", "status": "TESTED"}
    rows = tuple(
        replace(e, look=1, details={**e.details, "sequential": place})
        if e.role is EstimateRole.PRIMARY
        else e
        for e in shippable.estimates
    )
    facts = replace(shippable, estimates=rows)
    section = describe_looks(sort_comparisons(facts), HARM)
    assert (section.place, section.view) == ("", None)
    assert section.sentences == (
        (
            "Without a window a unit's value still grows, so the metric is tested once, at "
            "the end."
        ),
    )
    assert section.sentences[0] in render_memo(facts).markdown


def test_describe_looks_says_that_nothing_was_tested_yet(shippable):
    place = {"method": "fixed", "why_one_look": "NO_WINDOW", "status": "NO_LOOK"}
    rows = tuple(
        replace(e, details={**e.details, "sequential": place})
        for e in shippable.estimates
    )
    facts = replace(shippable, estimates=rows)
    (sentence,) = describe_looks(sort_comparisons(facts), HARM).sentences
    assert sentence.endswith("No look yet: these numbers describe the data so far.")


def test_describe_looks_is_silent_about_methods_without_looks(shippable):
    section = describe_looks(sort_comparisons(shippable), HARM)
    assert (section.place, section.sentences, section.view) == ("", (), None)


def test_name_place_tells_both_shares(comparisons):
    row = of(comparisons, "conversion").primary
    place = {**row.details["sequential"], "information_share": 0.5}
    planned = replace(row, details={"sequential": {**place, "looks_planned": None}})
    assert name_place(planned).startswith("look 6 (")
    assert name_place(planned).endswith("50.0 % of the planned information")


def test_draw_looks_colours_a_goal_from_its_crossing(comparisons):
    chart = draw_looks(of(comparisons, "conversion"))
    assert [mark.kind for mark in chart.marks] == ["pre"] * 4 + ["post"] * 2
    assert chart.margin is None
    assert chart.axis == "look"


def test_draw_looks_colours_a_guardrail_by_its_margin(comparisons):
    chart = draw_looks(of(comparisons, "page_load_time"))
    assert [mark.kind for mark in chart.marks] == ["pre"] * 3 + ["post"] * 3
    assert 0 < chart.margin < 1


def test_draw_looks_lets_wide_intervals_run_out_of_the_axis(comparisons):
    chart = draw_looks(of(comparisons, "conversion"))
    first, last = chart.marks[0], chart.marks[-1]
    assert (first.low, first.high) == (0, 1)
    assert 0 < last.low < last.y < last.high < 1
    assert last.high - last.low > 0.15


def test_draw_looks_needs_two_of_them(comparisons):
    one = of(comparisons, "conversion")
    assert draw_looks(replace(one, looks=one.looks[:1])) is None


def test_render_memo_counts_all_data_once_in_the_methods(looked_at, comparisons):
    methods = [e.method for e in of(comparisons, "conversion").estimates]
    assert len(methods) == len(set(methods))
    memo = render_memo(looked_at)
    assert "look 6, repeated intervals" in memo.markdown
    assert "### Looks" in memo.markdown
    assert memo.html.count("by-look-") >= 2
    assert len(memo.document["estimates"]) == len(looked_at.estimates)


def test_name_place_takes_planned_units_for_no_schedule(comparisons):
    row = of(comparisons, "conversion").primary
    place = row.details["sequential"] | {"spending_time": 1.0}
    over = place | {"information_share": 1.01, "looks_planned": 14}
    early = replace(row, details={"sequential": over})
    assert "schedule" not in name_place(early)
    assert name_place(early).endswith("UTC), 101 % of the planned information")
    assert "100 % of the schedule" in name_place(replace(early, look=14))
