from dataclasses import replace

import pytest

from exp_platform.records import EstimateRole
from exp_platform.report.memo import render_memo
from exp_platform.report.pretrends import describe_pretrends
from exp_platform.report.robustness import describe_robustness

FOUND = {
    "status": "OK",
    "reason": "",
    "period_days": 7,
    "n_pre": 1,
    "n_post": 2,
    "estimate": 0.3,
    "standard_error": 0.05,
    "breakdown_mbar": 2.5,
    "breakdown_m": 0.1,
    "relative_magnitudes": [
        {"bound": 0.5, "lower": 0.2, "upper": 0.4},
        {"bound": 1.0, "lower": 0.1, "upper": 0.5},
    ],
    "smoothness": [
        {"bound": 0.0, "lower": 0.15, "upper": 0.45},
        {"bound": 0.02, "lower": 0.05, "upper": 0.55},
    ],
}


def _note(facts, **changes):
    """The facts with a first goal that rests on parallel trends."""
    name = facts.pretrends[0].metric_name
    details = {"sensitivity": {**FOUND, **changes}}
    estimates = tuple(
        replace(e, details={**e.details, **details})
        if (e.metric_name, e.role) == (name, EstimateRole.PRIMARY)
        else e
        for e in facts.estimates
    )
    return replace(facts, estimates=estimates)


def test_robustness_stands_with_the_pretrends_of_its_metric(shippable):
    first, second = describe_pretrends(_note(shippable))[:2]
    decisive, breakdown = first.robustness.sentences
    assert "10.0 to 50.0 pp: it keeps its sign" in decisive
    assert "in one step of 7 days" in decisive
    assert breakdown == (
        "The conclusion breaks at 2.5 times that drift: from there on an effect of 0 is "
        "possible."
    )
    assert [row.bound for row in first.robustness.rows] == [
        "0.5 times the largest change before",
        "1 times the largest change before",
        "the straight line of before, continued",
        "a line that bends by 0.02 per step of 7 days",
    ]
    assert second.robustness.sentences == ()


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        (
            {"relative_magnitudes": [{"bound": 1.0, "lower": -0.1, "upper": 0.5}]},
            "an effect of 0 is possible",
        ),
        ({"breakdown_mbar": 0.0}, "0 is possible even with parallel trends"),
        ({"breakdown_mbar": 100.0}, "at more than 100 times"),
        ({"period_days": 1}, "drifts, in one day, by up to the most it did before"),
        (
            {"status": "INSUFFICIENT_DATA", "reason": "TOO_FEW_CLUSTERS"},
            "not known: too few clusters",
        ),
        ({"status": "METRIC_ERRORED"}, "not known: the metric could not be computed"),
    ],
)
def test_robustness_says_what_remains_possible(shippable, changes, phrase):
    view = describe_pretrends(_note(shippable, **changes))[0].robustness
    assert phrase in " ".join(view.sentences)
    assert bool(view.rows) == (changes.get("status") is None)


def test_robustness_of_an_estimate_without_trends_is_empty(shippable):
    estimate = shippable.estimates[0]
    assert describe_robustness(None, estimate, "day").sentences == ()
    assert describe_robustness(None, None, "day").rows == ()


def test_both_memos_show_the_bounds(shippable):
    memo = render_memo(_note(shippable))
    for text in (memo.markdown, memo.html):
        assert "If trends were not parallel." in text
        assert "the straight line of before, continued" in text
    plain = render_memo(shippable)
    assert "not parallel" not in plain.markdown
