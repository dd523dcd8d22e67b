"""What single sections say."""

from dataclasses import replace

import pytest

from exp_platform.records import (
    Assignment,
    EstimateRole,
    EstimateStatus,
    LedgerStage,
    Outcome,
    PretrendOutcome,
    Verdict,
)
from exp_platform.report import gains, words
from exp_platform.report.appendix import describe_definitions, find_terms
from exp_platform.report.comparisons import sort_comparisons
from exp_platform.report.headline import describe_headline
from exp_platform.report.ledger import describe_ledger
from exp_platform.report.memo import render_memo
from exp_platform.report.pretrends import describe_pretrends
from exp_platform.report.results import (
    READING_WORDS,
    Reading,
    describe_results,
    describe_segments,
    read_direction,
)
from exp_platform.report.trust import describe_trust


def by_method(facts, metric_name):
    comparison = next(
        one for one in sort_comparisons(facts) if one.metric_name == metric_name
    )
    group = gains.compare_methods(comparison, facts.choices.get(metric_name, ()))
    return {row.method: row for row in group.rows}


def test_compare_methods_says_what_cuped_gained(shippable):
    rows = by_method(shippable, "revenue")
    assert "18 % narrower" in rows["CUPED"].verdict
    assert "49 % more units" in rows["CUPED"].verdict
    assert "64 % wider" in rows["Difference in differences"].verdict


@pytest.mark.parametrize(
    ("ratio", "words_found"),
    [
        (0.9996, "as wide as"),
        (1.1, "5 % wider"),
        (0.25, "50 % narrower"),
    ],
)
def test_describe_gain(shippable, ratio, words_found):
    estimate = replace(shippable.estimates[1], details={"variance_ratio": ratio})
    assert words_found in gains.describe_gain(estimate, shippable.estimates[2])


def test_compare_methods_gives_the_reason_of_a_refusal(shippable):
    rows = by_method(shippable, "conversion")
    assert rows["CUPED"].is_refused
    assert "declares no covariate" in rows["CUPED"].verdict
    assert "converts once" in rows["Difference in differences"].verdict


def test_compare_methods_refused_estimate_has_no_number(shippable):
    refused = replace(
        shippable.estimates[1],
        status=EstimateStatus.NOT_IDENTIFIED,
        reason="NO_COVARIATE_DATA",
        difference=None,
        ci_lower=None,
        ci_upper=None,
        relative_lift=None,
        relative_ci_lower=None,
        relative_ci_upper=None,
    )
    estimates = (refused, *shippable.estimates[2:])
    row = by_method(replace(shippable, estimates=estimates), "revenue")["CUPED"]
    assert row.is_refused
    assert row.difference == row.lift == "no number"
    assert "no value from before the exposure" in row.verdict


def test_compare_methods_did_alone_and_did_that_disagrees(shippable):
    did = shippable.estimates[3]
    alone = by_method(replace(shippable, estimates=(did,)), "revenue")
    assert alone["Difference in differences"].verdict.startswith("Change per unit")
    odd = replace(did, relative_ci_lower=-0.3, relative_ci_upper=-0.1)
    rows = by_method(
        replace(shippable, estimates=(*shippable.estimates[:3], odd)), "revenue"
    )
    assert "disagree" in rows["Difference in differences"].verdict


@pytest.mark.parametrize(
    ("planned", "until"),
    [(2000, "until 2,000 units are in"), (None, "without a registered end")],
)
def test_the_last_exposure_is_no_end(planned, until, shippable):
    spec = shippable.spec
    design = replace(
        spec.plan.sequential, has_end=False, planned_units=planned, clock="time"
    )
    spec = replace(spec, plan=replace(spec.plan, sequential=design))
    window = describe_headline(replace(shippable, spec=spec), ()).subtitle[0]
    assert f"on, {until}, exposures so far up to " in window
    assert " days)" not in window
    assert " days)" in describe_headline(shippable, ()).subtitle[0]


def test_describe_headline_roll_back_leads_with_the_harm(shippable):
    harmed = replace(
        shippable.estimates[4], difference=80.0, p_value=1e-9, relative_lift=0.1
    )
    facts = replace(
        shippable,
        estimates=(*shippable.estimates[:4], harmed, *shippable.estimates[5:]),
        decisions=tuple(
            replace(one, outcome=Outcome.ROLL_BACK) for one in shippable.decisions
        ),
    )
    tiles = describe_headline(facts, sort_comparisons(facts)).tiles
    assert tiles[0].label == "page_load_time"
    assert tiles[1].label == "users analysed"


def test_read_direction_follows_the_metric_and_the_correction(shippable):
    lower_is_better = shippable.definitions["page_load_time"]
    higher_is_better = shippable.definitions["conversion"]
    estimate = shippable.estimates[0]
    assert read_direction(higher_is_better, estimate) is Reading.BETTER
    assert read_direction(lower_is_better, estimate) is Reading.WORSE
    corrected = replace(estimate, p_value_adjusted=0.2)
    assert read_direction(higher_is_better, corrected) is Reading.UNCLEAR
    assert read_direction(higher_is_better, None) is Reading.NO_NUMBER


def harm_revenue(facts, **changes):
    """Revenue is down, which two-sided correction leaves open and its harm test not."""
    down = {"difference": -0.3, "p_value": 0.027, "p_value_adjusted": 0.08}
    return replace(
        facts,
        estimates=tuple(
            replace(one, **{**down, **changes}) if one.metric_name == "revenue" else one
            for one in facts.estimates
        ),
        decisions=tuple(
            replace(one, outcome=Outcome.ROLL_BACK, details={"harmed": ["revenue"]})
            for one in facts.decisions
        ),
    )


def test_a_metric_that_the_harm_test_rolls_back_reads_worse(shippable):
    comparisons = sort_comparisons(harm_revenue(shippable))
    rows = {row.metric: row for row in describe_results(comparisons)}
    assert rows["revenue"].reading is Reading.HARMED
    assert rows["revenue"].reading_words == "worse (harm test)"
    assert rows["conversion"].reading is Reading.BETTER
    parts = {row.reading for row in describe_segments(comparisons)}
    assert Reading.HARMED not in parts


def test_harm_is_shown_in_the_table_the_pill_the_plot_and_the_tiles(shippable):
    memo = render_memo(harm_revenue(shippable))
    told = READING_WORDS[Reading.HARMED]
    row = next(s for s in memo.markdown.splitlines() if s.startswith("| revenue"))
    assert row.endswith(f"{told} |")
    assert f'<span class="pill worse">{told}</span>' in memo.html
    before = render_memo(shippable)
    for drawn in ('<g class="whisker worse">', '<rect class="dot worse"'):
        assert memo.html.count(drawn) > before.html.count(drawn)
    assert "- **Harm test**: " in memo.markdown
    facts = harm_revenue(shippable)
    tiles = describe_headline(facts, sort_comparisons(facts)).tiles
    assert tiles[0].label == "revenue"


def test_worse_by_the_usual_test_too_is_plainly_worse(shippable):
    facts = harm_revenue(shippable, p_value_adjusted=0.001)
    rows = {row.metric: row for row in describe_results(sort_comparisons(facts))}
    assert rows["revenue"].reading_words == "worse"


@pytest.mark.parametrize(
    ("crossing", "told"),
    [(2, "worse at look 2 (harm test)"), (4, "worse (harm test)")],
)
def test_harm_found_at_an_earlier_look_names_it(shippable, crossing, told):
    place = {"sequential": {"harm_crossing": crossing}}
    facts = harm_revenue(shippable, look=4, details=place)
    rows = {row.metric: row for row in describe_results(sort_comparisons(facts))}
    assert rows["revenue"].reading_words == told


def test_a_goal_that_stands_against_shipping_reads_worse(shippable):
    facts = harm_revenue(shippable, look=4, details={"sequential": {}})
    goals = [{"metric_name": "revenue", "is_worse": True}]
    facts = replace(
        facts,
        decisions=tuple(
            replace(one, outcome=Outcome.REVIEW, details={"goals": goals})
            for one in facts.decisions
        ),
    )
    rows = {row.metric: row for row in describe_results(sort_comparisons(facts))}
    assert rows["revenue"].reading.tone == "worse"
    assert rows["revenue"].reading_words == "worse (before correction)"
    assert rows["conversion"].reading is Reading.BETTER
    estimates = tuple(
        replace(one, details={"sequential": {"first_crossing": 2}})
        for one in facts.estimates
    )
    rows = describe_results(sort_comparisons(replace(facts, estimates=estimates)))
    told = {row.metric: row.reading_words for row in rows}
    assert told["revenue"] == "worse at look 2 (before correction)"


@pytest.mark.parametrize(
    ("status", "reading"),
    [("NON_INFERIOR", Reading.UNCORRECTED), ("NOT_SHOWN", Reading.UNCLEAR)],
)
def test_a_guardrail_worse_inside_its_margin_reads_worse(shippable, status, reading):
    guardrail = {"metric_name": "page_load_time", "is_degraded": True, "status": status}
    facts = replace(
        shippable,
        estimates=tuple(replace(one, p_value=0.06) for one in shippable.estimates),
        decisions=tuple(
            replace(one, details={"guardrails": [guardrail]})
            for one in shippable.decisions
        ),
    )
    rows = {row.metric: row for row in describe_results(sort_comparisons(facts))}
    assert rows["page_load_time"].reading is reading


def test_describe_results_guardrail_words(shippable):
    rows = {row.metric: row for row in describe_results(sort_comparisons(shippable))}
    assert rows["page_load_time"].guardrail == "stays inside it (p < 0.001)"
    assert rows["page_load_time"].margin == "2 %"
    untested = tuple(replace(one, details={}) for one in shippable.estimates)
    rows = describe_results(sort_comparisons(replace(shippable, estimates=untested)))
    assert rows[2].guardrail == "unknown, not tested"


def test_describe_results_planned_metric_without_estimate(shippable):
    rows = describe_results(sort_comparisons(replace(shippable, estimates=())))
    assert len(rows) == len(shippable.spec.plan.metrics)
    assert all(row.why_no_number == "not estimated in this run" for row in rows)


def test_describe_trust_worst_first(untrusted):
    section = describe_trust(untrusted)
    assert [row.status_words for row in section.problems] == [
        "failed",
        "not run",
        "warned",
    ]
    assert section.answer == "No."
    assert section.summary == "5 of 8 checks passed, 1 failed, 1 warned, 1 not run."
    assert section.problems[0].impact == "1.32 pp of conversion"
    assert section.problems[0].value == "6.36 %"
    assert section.problems[0].threshold == "0.2 % and p < 0.001"
    assert section.problems[1].impact == "not bounded"
    assert "nothing can be shipped" in section.problems[1].next_step


def test_describe_trust_thresholds_stand_on_the_scale_of_their_rule(shippable):
    novelty = replace(
        shippable.checks[0],
        check_name="NOVELTY",
        subject="revenue:treatment",
        value=0.0029,
        threshold=0.041,
        impact=0.0074,
        impact_unit="revenue per day",
    )
    row = describe_trust(replace(shippable, checks=(novelty,))).passed[0]
    assert (row.subject, row.value, row.threshold) == ("revenue", "0.0029", "p = 0.041")
    assert row.impact == "0.0074 EUR per day"


def test_describe_trust_without_checks(shippable):
    facts = replace(shippable, checks=(), verdict=Verdict.CAUTION)
    assert describe_trust(facts).summary == "No check was run."


@pytest.mark.parametrize(
    ("outcome", "phrase"),
    [
        (PretrendOutcome.HOLDS, "moved in parallel"),
        (PretrendOutcome.UNDERPOWERED, "too weak to rule out one that matters"),
        (PretrendOutcome.NEGLIGIBLE, "does not matter"),
        (PretrendOutcome.FAILED, "drifted apart"),
    ],
)
def test_describe_pretrends_outcomes(shippable, outcome, phrase):
    primary = EstimateRole.PRIMARY
    test = replace(shippable.pretrends[0], outcome=outcome, role=primary)
    view = describe_pretrends(replace(shippable, pretrends=(test,)))[0]
    text = " ".join(view.sentences)
    assert phrase in text
    assert "four times in five" in text
    assert [day.interval for day in view.days].count("reference day") == 1
    assert [mark.kind for mark in view.chart.marks].count("post") == 7


def test_describe_pretrends_of_a_drift_beside_no_estimate(shippable):
    primary, failed = EstimateRole.PRIMARY, PretrendOutcome.FAILED
    test = replace(shippable.pretrends[0], outcome=failed, role=primary, tolerance=None)
    view = describe_pretrends(replace(shippable, pretrends=(test,)))[0]
    assert view.sentences[0].endswith("nobody can say how much matters.")
    assert "no number" not in " ".join(view.sentences)


def test_describe_pretrends_without_test_or_numbers(shippable, insufficient):
    views = describe_pretrends(replace(shippable, pretrends=()))
    assert views[0].sentences == ("No pre-trend test was made for this metric.",)
    view = describe_pretrends(insufficient)[0]
    assert view.chart is None
    assert view.sentences == ("It could not be tested: too few units.",)


def test_describe_ledger_counts_losses(shippable):
    section = describe_ledger(shippable)
    assert section.arms == ("control", "treatment")
    assert section.rows[1].cells[0].lost == "24 lost (0.185 %)"
    assert section.rows[-1].cells[0].lost == "none lost"
    assert section.summary == "25,429 of 25,861 units (98.3 %) are in the analysis."
    assert section.quarantine[0] == ("MISSING_USER_ID", "41")


def test_describe_ledger_tells_who_stays_and_what_each_metric_lacks(shippable):
    def stage(name, order, units, **rest):
        return LedgerStage(name, order, "control", units, **rest)

    ledger = (
        stage("exposed", 1, 100),
        stage("valid", 2, 90),
        stage("deduplicated", 3, 90),
        stage("not_bot", 4, 80, is_exclusion=False),
        stage("not_crossover", 5, 90, is_exclusion=False),
        stage("in_analysis", 6, 90),
        stage("in_metric", 7, 90, metric_name="full"),
        stage("in_metric", 7, 45, metric_name="half"),
        stage("in_metric", 7, 90, metric_name="other"),
    )
    section = describe_ledger(replace(shippable, ledger=ledger))
    assert [(row.stage, row.cells[0].lost) for row in section.rows] == [
        ("Exposed, as delivered", ""),
        ("With a valid row", "10 lost (10.0 %)"),
        ("Not a bot", "10 others stay in (11.1 %)"),
        ("Met one arm only", "none lost"),
        ("In the analysis", "none lost"),
        ("With a value of half", "45 lost (50.0 %)"),
    ]
    assert section.summary == "90 of 100 units (90.0 %) are in the analysis."


def test_describe_ledger_without_stages(shippable):
    section = describe_ledger(replace(shippable, ledger=()))
    assert section.summary == "No unit ledger was made in this run."


def test_describe_headline_explains_coded_reasons(untrusted):
    headline = describe_headline(untrusted, sort_comparisons(untrusted))
    assert headline.decision.reasons == ("the arms were not split as planned",)
    assert headline.arms == ()
    assert headline.tiles[0].value == "not trusted"


def test_describe_definitions_names_version_and_hash(shippable):
    row = describe_definitions(shippable)[1]
    assert row.hash == shippable.definitions["revenue"].definition_hash
    assert row.computed == (
        "sum of outcome revenue; from the first exposure until 7 days after it; "
        "capped at 2000 per unit; covariate revenue_14d: as the value, from outcome "
        "revenue, in the 14 days before the first exposure"
    )


def test_find_terms_only_those_used():
    terms = dict(find_terms("Two arms, p = 0.02, and a guardrail."))
    assert list(terms) == ["Arm", "Guardrail", "p"]


def test_humanise_codes():
    assert words.humanise("SRM_FAILED") == "SRM failed"
    assert words.humanise("TOO_FEW_UNITS") == "Too few units"
    assert words.humanise("Already words") == "Already words"
    assert words.humanise("") == ""


def test_describe_pretrends_of_a_diagnostic_does_not_speak_of_power(shippable):
    view = describe_pretrends(shippable)[0]
    text = " ".join(view.sentences)
    assert "balance before exposure" in text
    assert "Power" not in text


@pytest.mark.parametrize(
    ("change", "is_said"),
    [
        ({"source": "file:trial.csv"}, True),
        ({"source": "synthetic"}, False),
        ({"source": ""}, False),
        ({"source": "file:x.csv", "assignment": Assignment.SELF_SELECTED}, False),
        ({"source": "file:x.csv", "assignment": Assignment.POLICY}, False),
    ],
)
def test_memo_says_who_declared_that_arms_were_random(change, is_said, shippable):
    facts = replace(shippable, spec=replace(shippable.spec, **change))
    memo = render_memo(facts)
    words = "assigned at random (declared by the importer, not verified)"
    for text in (memo.markdown.replace("\\", ""), memo.html):
        assert (words in text) is is_said
        assert ("none of them can prove it" in text) is is_said


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        (Assignment.RANDOMISED, "users assigned at random by cluster (city)"),
        (Assignment.SELF_SELECTED, "users chose their arm: not an experiment"),
    ],
)
def test_memo_says_that_clusters_were_assigned(assignment, words, shippable):
    spec = replace(shippable.spec, cluster="city", assignment=assignment)
    facts = replace(shippable, spec=spec)
    subtitle = describe_headline(facts, sort_comparisons(facts)).subtitle
    assert words in subtitle


def test_tile_of_a_metric_without_a_lift_shows_the_difference(shippable):
    changed = tuple(
        replace(one, relative_lift=None, relative_ci_lower=None, relative_ci_upper=None)
        for one in shippable.estimates
    )
    facts = replace(shippable, estimates=changed)
    comparisons = sort_comparisons(facts)
    tile = describe_headline(facts, comparisons).tiles[0]
    row = describe_results(comparisons)[0]
    assert (tile.value, tile.note) == (
        row.difference,
        f"95 %: {row.difference_interval}",
    )


def test_a_metric_that_no_method_answers_says_why(shippable):
    refused = tuple(
        replace(
            one,
            role=EstimateRole.DIAGNOSTIC,
            status=EstimateStatus.NOT_IDENTIFIED,
            reason="NOT_IDENTIFIED",
            difference=None,
        )
        for one in shippable.estimates
    )
    facts = replace(shippable, estimates=refused)
    comparisons = sort_comparisons(facts)
    words = "cannot be answered"
    rows = describe_results(comparisons)
    assert words in {row.why_no_number for row in rows}
    assert describe_headline(facts, comparisons).tiles[0].note == words


def test_describe_headline_leads_with_the_arm_that_ships(three_arms):
    *arms, overall = three_arms.decisions
    overall = replace(overall, details={"arm": "Womens E-Mail"})
    facts = replace(three_arms, decisions=(*arms, overall))
    tiles = describe_headline(facts, sort_comparisons(facts)).tiles
    labels = [tile.label for tile in tiles[:2]]
    assert labels == ["visit, Womens E-Mail", "visit, Mens E-Mail"]


@pytest.mark.parametrize(
    ("above", "below", "words"),
    [(0.006, 0.4, "better at look 6"), (0.4, 0.006, "no clear effect")],
)
def test_describe_results_reads_an_earlier_look_as_what_it_is(
    shippable, above, below, words
):
    place = {"first_crossing": 6, "p_greater": above, "p_less": below}
    row = replace(
        shippable.estimates[0],
        difference=0.001,
        p_value_adjusted=0.006,
        look=15,
        details={"sequential": place},
    )
    facts = replace(shippable, estimates=(row, *shippable.estimates[1:]))
    found = describe_results(sort_comparisons(facts))[0]
    assert (found.metric, found.reading_words) == (row.metric_name, words)
