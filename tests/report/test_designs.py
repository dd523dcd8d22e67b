"""Memos of designs beyond the plain A/B: panels, arms that units chose, undated data."""

import re
from dataclasses import replace

import pytest

from exp_platform.checks.catalogue import CATALOGUE
from exp_platform.records import (
    Assignment,
    CheckResult,
    CheckStatus,
    EstimateRole,
    EstimateStatus,
    PanelPeriods,
    PretrendOutcome,
)
from exp_platform.report.appendix import describe_definitions
from exp_platform.report.comparisons import sort_comparisons
from exp_platform.report.gains import MethodGroup, MethodRow, list_refusals
from exp_platform.report.headline import describe_headline
from exp_platform.report.ledger import describe_ledger
from exp_platform.report.memo import render_memo
from exp_platform.report.observational import describe_observational
from exp_platform.report.trust import describe_trust
from exp_platform.report.views import explain_rows

YEARS = PanelPeriods("year", ("2003", "2004", "2005", "2006"), "2005")
NO_LIFT = {"relative_ci_lower": None, "relative_ci_upper": None}


@pytest.fixture
def panel(shippable):
    """Revenue of a staggered panel: one effect, two averages and the regression."""
    effect = replace(shippable.estimates[2], **NO_LIFT, role=EstimateRole.PRIMARY)
    methods = {
        "callaway_santanna_simple": EstimateRole.PRIMARY,
        "callaway_santanna_group": EstimateRole.SECONDARY,
        "twfe": EstimateRole.DIAGNOSTIC,
    }
    return replace(
        shippable,
        spec=replace(
            shippable.spec,
            assignment=Assignment.POLICY,
            panel=YEARS,
            plan=replace(shippable.spec.plan, metrics=shippable.spec.plan.metrics[1:2]),
        ),
        estimates=tuple(
            replace(effect, method=method, role=role)
            for method, role in methods.items()
        ),
        definitions={"revenue": shippable.definitions["revenue"]},
        choices={},
        checks=(),
        deltas=tuple(one for one in shippable.deltas if one.metric_name == "revenue"),
        pretrends=(replace(shippable.pretrends[1], role=EstimateRole.PRIMARY),),
    )


@pytest.fixture
def chosen(shippable):
    """Units chose: the raw comparison is refused, the adjusted ones stand beside."""
    plain = shippable.estimates[2]
    refused = replace(
        plain,
        **NO_LIFT,
        role=EstimateRole.DIAGNOSTIC,
        status=EstimateStatus.NOT_IDENTIFIED,
        reason="NOT_IDENTIFIED",
        difference=None,
        relative_lift=None,
        ci_lower=None,
        ci_upper=None,
        p_value=None,
    )
    adjusted = [
        replace(
            plain,
            method=method,
            role=EstimateRole.SECONDARY,
            difference=difference,
            ci_lower=0.11,
            ci_upper=0.47,
            details={
                "covariates": ["age", "town=north", "town=south"],
                "unadjusted_difference": 0.513,
                "share_outside": 0.01,
            },
        )
        for method, difference in (("regression_adjustment", 0.31), ("aipw", 0.29))
    ]
    return replace(
        shippable,
        spec=replace(
            shippable.spec,
            assignment=Assignment.SELF_SELECTED,
            plan=replace(shippable.spec.plan, metrics=shippable.spec.plan.metrics[1:2]),
        ),
        estimates=(refused, *adjusted),
        definitions={"revenue": shippable.definitions["revenue"]},
        choices={},
        deltas=(),
        pretrends=(),
    )


def test_memo_of_a_panel_speaks_of_its_own_periods(panel):
    memo = render_memo(panel)
    page = re.sub(r"<style>.*?</style>|<[^>]*>", "", memo.html, flags=re.DOTALL)
    for text in (memo.markdown, page):
        assert not re.search(r"\bdays?\b", text.split("7. How to reproduce")[0])
        assert "4 years, 2003 to 2006; the first units treated from 2005 on" in text
        assert "the delivered value of each unit and year" in text
    assert "| Year from the start | Side |" in memo.markdown
    assert "A/B" not in memo.markdown


def test_memo_of_a_staggered_panel_says_how_to_read_each_average(panel):
    memo = render_memo(panel).markdown
    assert "plain comparison" not in memo
    assert "Each cohort against units not yet treated" in memo
    assert "averaged within each cohort first" in memo
    assert "so it never decides" in memo


def test_headline_shows_the_difference_where_the_lift_has_no_interval(panel):
    tile = describe_headline(panel, sort_comparisons(panel)).tiles[0]
    assert (tile.value, tile.note) == ("+0.513", "95 %: 0.112 to 0.914")


@pytest.mark.parametrize("outcome", list(PretrendOutcome))
def test_pretrends_of_a_panel_say_what_was_tested_and_what_it_could_see(panel, outcome):
    test = replace(
        panel.pretrends[0],
        outcome=outcome,
        n_pre_days=2,
    )
    memo = render_memo(replace(panel, pretrends=(test,))).markdown
    assert "Two tests on the 2 years before the start" in memo
    assert "Corrected for there being two, p = 0.90" in memo
    assert "per unit and year is found four times in five" in memo


def test_headline_of_chosen_arms_is_the_adjusted_difference(chosen):
    tile = describe_headline(chosen, sort_comparisons(chosen)).tiles[0]
    assert "adjusted, observational" in tile.label
    assert tile.value == "+0.290"
    assert "Doubly robust (AIPW)" in tile.note


def test_memo_of_chosen_arms_never_leads_with_the_raw_gap(chosen):
    memo = render_memo(chosen)
    assert "+0.513" not in memo.markdown.split("## 3. Results")[0]
    section = memo.markdown.split("## 3. Results")[1].split("## 4.")[0]
    assert "Raw gap (not an effect)" in section
    assert section.index("+0.290") < section.index("+0.513")
    assert "| Role |" not in section
    assert "no number" not in section


def test_describe_observational_names_covariates_as_declared(chosen):
    view = describe_observational(sort_comparisons(chosen))
    assert "(age, town (3 levels))" in view.lead


def test_explain_rows_collapses_reasons_and_names_arms_where_they_differ():
    rows = [
        ("the data have no dates", "visit", "b"),
        ("the data have no dates", "spend", "b"),
        ("too few units", "clicks", "b"),
        ("the data have no dates", "clicks", "c"),
    ]
    assert explain_rows(rows) == (
        "No number for visit, spend and clicks (c): the data have no dates.",
        "No number for clicks (b): too few units.",
    )


def test_list_refusals_tells_a_reason_once():
    def refuse(metric, *methods):
        rows = tuple(
            MethodRow(name, "refused", "", "", "", "", "Refused: no dates.", True)
            for name in methods
        )
        return MethodGroup(metric, "b", "", rows)

    groups = (refuse("visit", "CUPED", "DiD"), refuse("spend", "CUPED", "DiD"))
    assert list_refusals(groups) == (
        ("CUPED and DiD for visit and spend", "Refused: no dates."),
    )


def test_memo_writes_every_negative_number_with_a_minus_sign(panel):
    worse = tuple(
        replace(one, difference=-0.5, ci_lower=-0.9, ci_upper=-0.1, relative_lift=-0.1)
        for one in panel.estimates
    )
    memo = render_memo(replace(panel, estimates=worse)).markdown
    body = memo.split("## 7.")[0].replace("```text", "")
    assert not re.search(r"(?<![\w-])-\d", body)
    assert "\N{MINUS SIGN}0.500 (\N{MINUS SIGN}0.900 to" in body


def test_undated_ledger_leaves_out_stages_of_events(shippable):
    undated = replace(shippable.spec, is_dated=False)
    lossless = tuple(replace(one, n_units=100) for one in shippable.ledger)
    stages = [
        row.stage
        for row in describe_ledger(
            replace(shippable, ledger=lossless, spec=undated)
        ).rows
    ]
    assert "Not a bot" not in stages
    assert "Exposed inside the window" not in stages
    dated = [
        row.stage for row in describe_ledger(replace(shippable, ledger=lossless)).rows
    ]
    assert "Not a bot" in dated


def test_headline_of_chosen_arms_gives_one_reason(chosen):
    decisions = tuple(
        replace(one, reasons=("NOT_AN_EXPERIMENT", "ESTIMATE_MISSING"))
        for one in chosen.decisions
    )
    facts = replace(chosen, decisions=decisions)
    head = describe_headline(facts, sort_comparisons(facts))
    assert head.decision.reasons == (
        "units chose their arm: this is not an experiment",
    )


def test_definitions_of_undated_data_have_no_window(shippable):
    dated = {row.name: row.computed for row in describe_definitions(shippable)}
    assert "exposure" in dated["revenue"]
    undated = replace(shippable, spec=replace(shippable.spec, is_dated=False))
    told = {row.name: row.computed for row in describe_definitions(undated)}
    assert "exposure" not in told["revenue"]
    assert told["revenue"].endswith("covariate revenue, as delivered")


def test_trust_gives_each_advice_once(panel):
    check = CheckResult(
        "shops", "PRETREND", CheckStatus.WARNED, "PRETREND_UNDERPOWERED", "Unseen."
    )
    checks = tuple(replace(check, subject=name) for name in ("sales", "visits"))
    trust = describe_trust(replace(panel, checks=checks))
    ((problem, step),) = trust.steps
    assert problem == "Pre-trend: sales and visits"
    assert step == CATALOGUE["PRETREND"].next_step


@pytest.mark.parametrize(
    ("name", "reason", "is_run_again"),
    [
        ("SQL_TWIN", "NO_ESTIMATES", False),
        ("SQL_TWIN", "SKIPPED", True),
        ("PRETREND", "TOO_FEW_CLUSTERS", False),
        ("NOVELTY", "TOO_FEW_DAYS", False),
        ("NOVELTY", "SKIPPED", True),
        ("OUTLIER", "NO_MOMENTS", False),
        ("SKEWNESS", "NO_MOMENTS", False),
        ("DUPLICATES", "NOT_COUNTED", True),
    ],
)
def test_trust_does_not_ask_to_run_what_cannot_be_run(
    panel, name, reason, is_run_again
):
    check = CheckResult(
        "shops", name, CheckStatus.NOT_RUN, reason, "It was not made.", can_fail=True
    )
    ((_, step),) = describe_trust(replace(panel, checks=(check,))).steps
    assert step.startswith("Run the step") is is_run_again
    assert step.endswith("Until then nothing can be shipped.")


def test_explain_rows_names_the_arm_without_a_number_beside_one_that_has_it():
    rows = [("", "y", "b"), ("too few units", "y", "c"), ("", "z", "b")]
    assert explain_rows(rows) == ("No number for y (c): too few units.",)
