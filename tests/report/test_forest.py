"""The forest plot's positions and its text form."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.records import MarginScale
from exp_platform.report.comparisons import sort_comparisons
from exp_platform.report.forest import draw_forest, draw_segments, write_forest
from exp_platform.report.memo import render_memo
from exp_platform.report.results import Reading
from exp_platform.report.scale import choose_ticks, fit_scale


def draw(facts):
    has_arms = len(facts.spec.treatments) > 1
    return draw_forest(sort_comparisons(facts), has_arms=has_arms)


def test_draw_forest_goals_first_and_inside_the_plot(shippable):
    chart = draw(shippable)
    assert [row.label for row in chart.rows] == [
        "conversion",
        "revenue",
        "page_load_time",
        "refund_rate",
        "sessions",
    ]
    for row in chart.rows:
        assert 0 <= row.low <= row.point <= row.high <= 1
    assert chart.rows[0].reading is Reading.BETTER
    assert chart.rows[2].reading is Reading.UNCLEAR


def test_a_long_interval_ends_inside_the_picture(shippable):
    lift = {
        "relative_lift": -0.00458,
        "relative_ci_lower": -0.00895,
        "relative_ci_upper": -0.0002,
    }
    estimates = tuple(replace(one, **lift) for one in shippable.estimates)
    page = render_memo(replace(shippable, estimates=estimates)).html
    wide = re.search(
        r'<svg class="chart wide" viewBox="0 0 920 .*?</svg>', page, re.DOTALL
    )
    found = re.findall(
        r'<text class="value" x="([\d.]+)"[^>]*>([^<]*)<tspan[^>]*>([^<]*)<', wide[0]
    )
    assert len(found) == 5
    for place, text, interval in found:
        # as wide as Chromium draws them
        assert float(place) + 9.0 * len(text) + 8 + 7.2 * len(interval) <= 920


def test_draw_forest_margin_stands_on_the_harmful_side(shippable):
    rows = {row.label: row for row in draw(shippable).rows}
    assert rows["page_load_time"].margin > draw(shippable).zero
    assert rows["conversion"].margin is None


def test_draw_forest_absolute_margin_is_put_on_the_scale_of_lifts(shippable):
    plan = shippable.spec.plan
    relative = next(row for row in draw(shippable).rows if row.label == "refund_rate")
    metrics = tuple(
        replace(one, margin=0.2 * 0.0212, margin_scale=MarginScale.ABSOLUTE)
        if one.metric_name == "refund_rate"
        else one
        for one in plan.metrics
    )
    spec = replace(shippable.spec, plan=replace(plan, metrics=metrics))
    absolute = next(
        row
        for row in draw(replace(shippable, spec=spec)).rows
        if row.label == "refund_rate"
    )
    assert absolute.margin == pytest.approx(relative.margin, abs=1e-4)


def test_draw_forest_one_huge_interval_runs_off_the_chart(shippable):
    estimates = tuple(
        replace(one, relative_ci_lower=-50.0, relative_ci_upper=50.0)
        if one.metric_name == "sessions"
        else one
        for one in shippable.estimates
    )
    rows = draw(replace(shippable, estimates=estimates)).rows
    assert rows[-1].is_cut_low
    assert rows[-1].is_cut_high
    assert rows[0].high - rows[0].low > 0.05


def test_draw_forest_without_numbers(insufficient):
    assert draw(insufficient) is None


def test_draw_forest_several_arms_stand_under_their_metric(three_arms):
    rows = draw(three_arms).rows
    assert [(row.label, row.is_head) for row in rows] == [
        ("visit", True),
        ("Mens E-Mail", False),
        ("Womens E-Mail", False),
        ("spend", True),
        ("Mens E-Mail", False),
        ("Womens E-Mail", False),
    ]


def test_write_forest_lines_up(shippable):
    comparisons = sort_comparisons(shippable)
    text = write_forest(draw_forest(comparisons, has_arms=False))
    lines = text.splitlines()
    assert lines[0].startswith("  conversion")
    assert len({line.index("●") for line in lines[2:5]}) <= 3
    zero = lines[0].index("┊")
    assert lines[1][zero] == "┊"
    axis = next(line for line in lines if "0 %" in line and "●" not in line)
    assert abs(axis.index("0 %") - zero) <= 1
    segments = write_forest(draw_segments(comparisons, has_arms=False))
    assert segments.splitlines()[0] == "conversion  (Goal, higher is better)"


@given(st.lists(st.floats(-1e6, 1e6), max_size=8))
def test_fit_scale_holds_zero_and_every_value(values):
    scale = fit_scale(values)
    assert all(scale.holds(value) for value in [0.0, *values])
    ticks = choose_ticks(scale)
    assert 1 <= len(ticks) <= 7
    assert all(scale.holds(tick) for tick in ticks)
