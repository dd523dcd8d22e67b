"""The tables that stand beside the decision."""

from dataclasses import replace

import pytest

from exp_platform.records import EstimateRole, EstimateStatus
from exp_platform.report import render_memo
from exp_platform.report.arms import describe_arms
from exp_platform.report.beliefs import describe_beliefs, format_probability
from exp_platform.report.comparisons import sort_comparisons
from exp_platform.report.novelty import describe_novelty
from exp_platform.report.segments import describe_interactions
from exp_platform.report.tails import describe_tails

NONE = {
    "difference": None,
    "ci_lower": None,
    "ci_upper": None,
    "relative_lift": None,
    "relative_ci_lower": None,
    "relative_ci_upper": None,
    "p_value": None,
    "status": EstimateStatus.INSUFFICIENT_DATA,
}


def add(facts, *rows):
    return replace(facts, estimates=(*facts.estimates, *rows))


def belief(facts, **changes):
    details = {
        "prior_mean": 0.0,
        "prior_sd": 0.3,
        "scale": "relative",
        "probability_to_beat": 0.9993,
        "expected_loss": 1e-9,
        "expected_loss_control": 0.11,
        "sensitivity": [{"probability_to_beat": p} for p in (0.67, 0.953, 0.95)],
    }
    row = replace(
        facts.estimates[1],
        method="bayes_normal",
        role=EstimateRole.SECONDARY,
        p_value=None,
        p_value_adjusted=None,
    )
    return replace(row, details={**details, **changes})


def tail(facts, **changes):
    details = {
        "threshold": 66.3,
        "n_above": [8, 17],
        "plain_difference": 0.66,
        "carried": 0.03,
        "carried_share": 0.045,
        "shift": 0.4,
    }
    row = replace(facts.estimates[1], method="tail_capped")
    return replace(row, role=EstimateRole.DIAGNOSTIC, details={**details, **changes})


def trend(facts, slope=-0.05, p_value=0.01):
    days = [
        {
            "day": day,
            "effect": 0.5 + slope * day,
            "standard_error": 0.1,
            "ci_lower": 0.3,
            "ci_upper": 0.7,
            "p_value": 0.001,
        }
        for day in range(5)
    ]
    row = replace(facts.estimates[1], method="novelty_trend", difference=slope)
    row = replace(row, role=EstimateRole.DIAGNOSTIC, p_value=p_value)
    return replace(row, details={"first_day": 1, "days": days})


def interaction(facts, **changes):
    row = replace(
        facts.estimates[0],
        method="segment_interaction",
        segment="device",
        role=EstimateRole.DIAGNOSTIC,
        difference=0.004,
        p_value=0.03,
        p_value_adjusted=0.06,
        relative_p_value=0.2,
        details={"i_squared": 0.5, "left_out": {"device=tv": "TOO_FEW_UNITS"}},
    )
    return replace(row, **changes)


def rows_of(view):
    return [[cell.text for cell in row.cells] for row in view.rows]


def test_describe_beliefs_shows_the_range_over_priors(shippable):
    view = describe_beliefs(sort_comparisons(add(shippable, belief(shippable))))
    ((prior, chance, spread, lift, loss, kept),) = rows_of(view)
    assert prior == "lift 0 \N{PLUS-MINUS SIGN} 30 %"
    assert (chance, spread) == ("> 99.9 %", "67.0 % to 95.3 %")
    assert (lift[0], loss, kept) == ("+", "< 0.0001 %", "11.0 %")


def test_describe_beliefs_prefers_the_exact_posterior_of_a_share(shippable):
    normal = replace(belief(shippable), metric_name="conversion")
    exact = replace(
        normal,
        method="bayes_beta_binomial",
        details={
            "prior_events": 0.5,
            "prior_non_events": 0.5,
            "probability_to_beat": 0.4,
            "expected_loss": 0.002,
            "expected_loss_control": 0.001,
            "sensitivity": [],
        },
    )
    view = describe_beliefs(sort_comparisons(add(shippable, normal, exact)))
    ((prior, chance, spread, _, loss, _),) = rows_of(view)
    assert prior.startswith("Beta(0.5,")
    assert (chance, spread, loss) == ("40.0 %", "no number", "0.2 pp")
    refused = replace(exact, **NONE, reason="TOO_FEW_UNITS")
    (row,) = describe_beliefs(sort_comparisons(add(shippable, normal, refused))).rows
    assert row.cells[0].text.startswith("lift")


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "> 99.9 %"), (0.0, "< 0.1 %"), (0.5, "50.0 %"), (None, "no number")],
)
def test_format_probability_is_never_certain(share, text):
    assert format_probability(share) == text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, "hardly any"),
        ({"shift": 1.25, "carried_share": 0.8}, "80 %, 1.2 standard errors"),
        ({"shift": -2.0, "carried_share": -0.5}, "it speaks against the rest, 2.0"),
        ({"shift": 2.0, "carried_share": None}, "it speaks against the rest, 2.0"),
    ],
)
def test_describe_tails_says_what_the_tail_carries(shippable, change, words):
    view = describe_tails(sort_comparisons(add(shippable, tail(shippable, **change))))
    ((cap, above, plain, carried, _, _, reading),) = rows_of(view)
    assert (cap, above, plain, carried) == ("66.3", "8, 17", "+0.660", "+0.030")
    assert reading.startswith(words)


@pytest.mark.parametrize(
    ("slope", "p_value", "reading"),
    [
        (-0.05, 0.01, "fades"),
        (0.05, 0.01, "grows"),
        (0.05, 0.2, "no clear trend"),
    ],
)
def test_describe_novelty_reads_the_slope(shippable, slope, p_value, reading):
    facts = add(shippable, trend(shippable, slope, p_value))
    view = describe_novelty(sort_comparisons(facts))
    assert rows_of(view)[0][-1] == reading
    assert [cell.note for cell in view.rows[0].cells[:2]] == ["day 1", "day 4"]
    (chart,) = view.charts
    assert chart.event is None
    assert len(chart.marks) == 5


def test_describe_interactions_counts_what_was_left_out(shippable):
    facts = add(shippable, interaction(shippable))
    view = describe_interactions(sort_comparisons(facts))
    ((attribute, spread, share, *ps, reading),) = rows_of(view)
    assert (attribute, spread, share) == ("device", "0.4 pp", "50.0 %")
    assert ps == ["0.03", "0.06", "0.20"]
    assert reading == "no sign of it"
    assert view.rows[0].cells[0].note == "without device=tv"
    sure = interaction(shippable, p_value_adjusted=0.01)
    view = describe_interactions(sort_comparisons(add(shippable, sure)))
    assert rows_of(view)[0][-1] == "they differ"


def test_describe_interactions_of_one_level_has_no_number(shippable):
    row = interaction(shippable, **NONE, reason="ONE_SEGMENT")
    (shown,) = describe_interactions(sort_comparisons(add(shippable, row))).rows
    assert shown.why_no_number == (
        "device: only one segment has enough units; no number for device=tv"
    )


def test_describe_arms_puts_holm_beside_dunnett(three_arms):
    rows = [
        replace(e, method="dunnett", role=EstimateRole.SECONDARY, p_value_adjusted=0.04)
        for e in three_arms.estimates[:2]
    ]
    view = describe_arms(sort_comparisons(add(three_arms, *rows)))
    assert [(row.metric, row.arm) for row in view.rows] == [
        ("visit", "Mens E-Mail"),
        ("visit", "Womens E-Mail"),
    ]
    assert [cells[2:] for cells in rows_of(view)] == [["0.04", "< 0.001"]] * 2


def test_views_are_no_other_methods_and_no_segments(shippable):
    rows = [belief(shippable), tail(shippable), trend(shippable)]
    facts = add(shippable, *rows, interaction(shippable))
    plain, more = (sort_comparisons(one) for one in (shippable, facts))
    for before, after in zip(plain, more, strict=True):
        assert after.estimates == before.estimates
        assert after.segments == before.segments
    assert sum(len(one.views) for one in more) == 4


def test_memo_has_every_view_and_none_without_rows(shippable):
    rows = [belief(shippable), tail(shippable), trend(shippable)]
    memo = render_memo(add(shippable, *rows, interaction(shippable)))
    titles = (
        "Do effects differ between segments?",
        "What to believe, given a prior",
        "What the most extreme units carry",
        "Does the effect last?",
    )
    plain = render_memo(shippable)
    for title in titles:
        assert f"### {title}" in memo.markdown or title in memo.markdown
        assert f"<h3>{title}</h3>" in memo.html
        assert title not in plain.markdown
    assert "by-day-1" in memo.html
    assert "counted from the exposure" in memo.html


def test_refused_view_is_shown_with_its_reason(shippable):
    row = replace(tail(shippable), **NONE, reason="TOO_FEW_UNITS")
    memo = render_memo(add(shippable, row))
    told = "No number for revenue: too few units."
    assert told in memo.markdown
    assert f">{told}<" in memo.html
