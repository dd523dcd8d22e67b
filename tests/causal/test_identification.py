from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exp_platform.causal.adjusted_rules import OBSERVATIONAL
from exp_platform.causal.identification import (
    ALL,
    BESIDE,
    RULES,
    choose_methods,
    refuse_method,
)
from exp_platform.records import (
    Assignment,
    AssignmentFacts,
    EstimateRole,
    EstimateStatus,
    MetricTotals,
    MetricType,
)

RANDOMISED = AssignmentFacts(Assignment.RANDOMISED, MetricType.MEAN)
RICH = replace(RANDOMISED, has_pre_period=True, has_covariate_data=True)
POLICY = AssignmentFacts(
    Assignment.POLICY, MetricType.MEAN, has_policy_date=True, has_pre_period=True
)
PRIMARY, SECONDARY, DIAGNOSTIC = EstimateRole


def _lines(facts):
    """Those that may answer the question; the other views are tested on their own."""
    return {c.method: c for c in choose_methods(facts) if c.method not in BESIDE}


def _views(facts):
    found = {c.method: c for c in choose_methods(facts) if c.method in BESIDE}
    return {method: choice.role or choice.reason for method, choice in found.items()}


def _reasons(facts):
    return {m: c.reason for m, c in _lines(facts).items() if not c.is_chosen}


def _roles(facts):
    return {m: c.role for m, c in _lines(facts).items() if c.is_chosen}


def test_randomised_without_anything_else_is_the_plain_comparison():
    assert _roles(RANDOMISED) == {"welch_t": PRIMARY}
    assert _reasons(RANDOMISED) == {
        "two_proportion_z": "NOT_A_PROPORTION",
        "cuped": "NO_COVARIATE_DATA",
        "did_2x2": "NO_PRE_PERIOD",
        "event_study": "NO_PRE_PERIOD",
    }


def test_undeclared_covariate_stays_secondary():
    assert _roles(RICH) == {
        "welch_t": PRIMARY,
        "cuped": SECONDARY,
        "did_2x2": DIAGNOSTIC,
        "event_study": DIAGNOSTIC,
    }


def test_declared_covariate_makes_cuped_primary():
    roles = _roles(replace(RICH, declared_covariate=True))
    assert (roles["cuped"], roles["welch_t"]) == (PRIMARY, SECONDARY)


def test_declared_covariate_without_data_leaves_the_plain_comparison_in_charge():
    facts = replace(RANDOMISED, declared_covariate=True)
    assert _roles(facts) == {"welch_t": PRIMARY}
    assert _lines(facts)["welch_t"].reason == "RANDOMISED_WITHOUT_CUPED"
    assert _reasons(facts)["cuped"] == "NO_COVARIATE_DATA"


def test_proportion_has_its_own_test_beside():
    facts = replace(RANDOMISED, metric_type=MetricType.PROPORTION)
    assert _roles(facts) == {"welch_t": PRIMARY, "two_proportion_z": SECONDARY}


def test_ratio_is_adjusted_like_a_mean_but_has_no_panel():
    facts = replace(RICH, metric_type=MetricType.RATIO, declared_covariate=True)
    assert _roles(facts) == {"ratio_delta": SECONDARY, "cuped": PRIMARY}
    assert _reasons(facts) == {
        "two_proportion_z": "NOT_A_PROPORTION",
        "did_2x2": "RATIO_IN_PANEL",
        "event_study": "RATIO_IN_PANEL",
    }


def test_ratio_without_covariate_data_is_compared_by_the_delta_method():
    facts = replace(RANDOMISED, metric_type=MetricType.RATIO, declared_covariate=True)
    assert _roles(facts) == {"ratio_delta": PRIMARY}


def test_quantile_is_compared_by_its_order_statistics_only():
    facts = replace(RICH, metric_type=MetricType.QUANTILE, declared_covariate=True)
    assert _roles(facts) == {"quantile_woodruff": PRIMARY}
    assert _reasons(facts) == {
        "two_proportion_z": "NOT_A_PROPORTION",
        "cuped": "NOT_A_MEAN",
        "did_2x2": "NO_DAILY_VALUE",
        "event_study": "NO_DAILY_VALUE",
    }


@pytest.mark.parametrize("kind", [MetricType.RETENTION, MetricType.FUNNEL])
def test_retention_and_funnel_are_shares_without_a_panel(kind):
    facts = replace(RICH, metric_type=kind)
    assert _roles(facts) == {
        "welch_t": PRIMARY,
        "two_proportion_z": SECONDARY,
        "cuped": SECONDARY,
    }
    assert _reasons(facts)["did_2x2"] == "NO_DAILY_VALUE"


def test_policy_date_is_difference_in_differences():
    assert _roles(POLICY) == {"did_2x2": PRIMARY, "event_study": DIAGNOSTIC}
    assert set(_reasons(POLICY).values()) == {"NOT_RANDOMISED"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"has_policy_date": False}, "NO_POLICY_DATE"),
        ({"has_pre_period": False}, "NO_PRE_PERIOD"),
        ({"is_dated": False}, "UNDATED"),
        ({"treatment_timings": 2}, "NEEDS_STAGGERED"),
        ({"metric_type": MetricType.RATIO}, "RATIO_IN_PANEL"),
        ({"n_clusters_control": 4, "n_clusters_treatment": 50}, "TOO_FEW_CLUSTERS"),
        ({"n_clusters_control": 50, "n_clusters_treatment": 4}, "TOO_FEW_CLUSTERS"),
    ],
)
def test_difference_in_differences_is_refused(change, reason):
    facts = replace(POLICY, **change)
    assert not {"did_2x2", "event_study"} & _roles(facts).keys()
    assert _reasons(facts)["did_2x2"] == reason
    assert _reasons(facts)["event_study"] == reason


FEW = {"n_clusters_control": 19, "n_clusters_treatment": 50}
STAGGERED = replace(POLICY, has_policy_date=False, treatment_timings=3)
AVERAGED = [
    "callaway_santanna_group",
    "callaway_santanna_dynamic",
    "callaway_santanna_calendar",
]


def test_few_clusters_are_bootstrapped_and_permuted():
    facts = replace(POLICY, **FEW)
    assert _roles(facts) == {
        "did_2x2": PRIMARY,
        "event_study": DIAGNOSTIC,
        "did_randomisation": DIAGNOSTIC,
    }
    lines = _lines(facts)
    assert lines["did_2x2"].reason == "FEW_CLUSTERS"
    assert "wild cluster bootstrap" in lines["did_2x2"].explanation
    assert lines["did_randomisation"].reason == "FEW_CLUSTERS"


def test_hardly_any_treated_cluster_leaves_randomisation_inference():
    facts = replace(POLICY, n_clusters_control=40, n_clusters_treatment=2)
    assert _roles(facts) == {"did_randomisation": DIAGNOSTIC}
    assert _reasons(facts)["did_2x2"] == "TOO_FEW_CLUSTERS"


def test_enough_clusters_or_none_need_no_randomisation_inference():
    many = replace(POLICY, n_clusters_control=40, n_clusters_treatment=40)
    assert "did_randomisation" not in _lines(many)
    assert "did_randomisation" not in _lines(POLICY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"has_policy_date": False}, "NO_POLICY_DATE"),
        ({"has_pre_period": False}, "NO_PRE_PERIOD"),
        ({"is_dated": False}, "UNDATED"),
        ({"treatment_timings": 2}, "NEEDS_STAGGERED"),
        ({"metric_type": MetricType.RATIO}, "RATIO_IN_PANEL"),
        ({"n_arms": 1}, "ONE_ARM"),
        ({"assignment": Assignment.SELF_SELECTED}, "NOT_IDENTIFIED"),
    ],
)
def test_randomisation_inference_is_refused(change, reason):
    facts = replace(POLICY, **FEW | change)
    assert _reasons(facts)["did_randomisation"] == reason


def test_several_dates_are_compared_by_cohort():
    assert _roles(STAGGERED) == {
        "callaway_santanna_simple": PRIMARY,
        **dict.fromkeys(AVERAGED, SECONDARY),
        "twfe": DIAGNOSTIC,
    }
    assert _lines(STAGGERED)["callaway_santanna_simple"].reason == "STAGGERED"
    assert _lines(STAGGERED)["twfe"].reason == "STAGGERED"


def test_several_dates_of_a_randomised_rollout_are_diagnostic():
    facts = replace(STAGGERED, assignment=Assignment.RANDOMISED)
    roles = _roles(facts)
    assert roles["welch_t"] is PRIMARY
    assert {roles[name] for name in [*AVERAGED, "twfe"]} == {DIAGNOSTIC}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"has_pre_period": False}, "NO_PRE_PERIOD"),
        ({"is_dated": False}, "UNDATED"),
        ({"metric_type": MetricType.RATIO}, "RATIO_IN_PANEL"),
        ({"n_clusters_treatment": 4}, "TOO_FEW_CLUSTERS"),
        ({"n_arms": 1}, "ONE_ARM"),
        ({"assignment": Assignment.SELF_SELECTED}, "NOT_IDENTIFIED"),
    ],
)
def test_several_dates_are_refused(change, reason):
    facts = replace(STAGGERED, **change)
    for method in ("callaway_santanna_simple", *AVERAGED, "twfe"):
        assert _reasons(facts)[method] == reason


def test_controls_of_several_dates_are_counted_by_the_estimator():
    # Nobody is never treated: those treated later are the controls.
    facts = replace(STAGGERED, n_clusters_control=0, n_clusters_treatment=50)
    assert _roles(facts)["callaway_santanna_simple"] is PRIMARY


def test_one_date_needs_no_lines_on_several():
    assert "callaway_santanna_simple" not in _lines(POLICY)


def test_undated_randomised_data_keep_the_comparison():
    facts = replace(RICH, is_dated=False)
    assert _roles(facts) == {"welch_t": PRIMARY, "cuped": SECONDARY}


CHOSEN = replace(RICH, assignment=Assignment.SELF_SELECTED)


def test_self_selected_units_without_covariates_identify_nothing():
    reasons = _reasons(CHOSEN)
    assert [reasons.pop(name) for name in OBSERVATIONAL] == ["NO_COVARIATE_DATA"] * 2
    assert set(reasons.values()) == {"NOT_IDENTIFIED"}
    assert len(reasons) == 5


def test_self_selected_units_are_adjusted_and_nothing_is_primary():
    facts = replace(CHOSEN, n_covariates=2)
    assert _roles(facts) == dict.fromkeys(OBSERVATIONAL, SECONDARY)
    assert "no experiment" in _lines(facts)["aipw"].explanation


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (MetricType.RATIO, "RATIO_NOT_SUPPORTED"),
        (MetricType.QUANTILE, "NOT_A_MEAN"),
    ],
)
def test_only_means_are_adjusted(kind, reason):
    chosen = _reasons(replace(CHOSEN, n_covariates=1, metric_type=kind))
    assert [chosen[name] for name in OBSERVATIONAL] == [reason] * 2
    offered = replace(RANDOMISED, has_uptake=True, metric_type=kind)
    assert _reasons(offered)["cace"] == reason


def test_known_uptake_tells_of_compliers_beside_the_effect_of_assignment():
    roles = _roles(replace(RANDOMISED, has_uptake=True))
    assert roles == {"welch_t": PRIMARY, "cace": SECONDARY}
    clusters = {"n_clusters_control": 30, "n_clusters_treatment": 30}
    roles = _roles(replace(RANDOMISED, has_uptake=True, **clusters))
    assert roles["cluster_delta"] is PRIMARY
    assert roles["cace"] is SECONDARY
    assert "cace" not in _lines(RANDOMISED)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"assignment": Assignment.POLICY}, "NOT_RANDOMISED"),
        ({"share_uptake_unknown": 0.011}, "UPTAKE_UNKNOWN"),
        ({"n_arms": 1}, "ONE_ARM"),
        ({"n_clusters_control": 4, "n_clusters_treatment": 30}, "TOO_FEW_CLUSTERS"),
        (
            {
                "n_clusters_control": 30,
                "n_clusters_treatment": 30,
                "share_astray": 0.02,
            },
            "CLUSTERS_BROKEN",
        ),
    ],
)
def test_effect_on_compliers_is_refused(change, reason):
    facts = replace(RANDOMISED, has_uptake=True, **change)
    assert _reasons(facts)["cace"] == reason


def test_one_arm_has_nothing_to_compare():
    assert set(_reasons(replace(RICH, n_arms=1)).values()) == {"ONE_ARM"}


def test_cluster_randomised_units_are_not_independent():
    facts = replace(RICH, n_clusters_control=30, n_clusters_treatment=30)
    assert _reasons(facts)["welch_t"] == "NEEDS_CLUSTER_TOTALS"
    assert _reasons(facts)["cuped"] == "NEEDS_CLUSTER_TOTALS"
    assert _roles(facts) == {
        "cluster_delta": PRIMARY,
        "did_2x2": DIAGNOSTIC,
        "event_study": DIAGNOSTIC,
    }


@pytest.mark.parametrize(
    ("counts", "is_chosen", "reason"),
    [
        ((30, 20), True, "CLUSTERS_RANDOMISED"),
        ((30, 19), True, "FEW_CLUSTERS"),
        ((5, 30), True, "FEW_CLUSTERS"),
        ((4, 30), False, "TOO_FEW_CLUSTERS"),
    ],
)
@pytest.mark.parametrize("kind", MetricType)
def test_clusters_are_compared_by_their_sums(counts, is_chosen, reason, kind):
    facts = replace(
        RANDOMISED,
        metric_type=kind,
        n_clusters_control=counts[0],
        n_clusters_treatment=counts[1],
    )
    line = _lines(facts)["cluster_delta"]
    if kind is MetricType.QUANTILE and is_chosen:
        is_chosen, reason = False, "NOT_A_MEAN"
    assert (line.is_chosen, line.reason) == (is_chosen, reason)
    assert line.role is (PRIMARY if is_chosen else None)


def test_clusters_of_a_policy_are_not_compared_by_means():
    facts = replace(POLICY, n_clusters_control=30, n_clusters_treatment=30)
    assert _reasons(facts)["cluster_delta"] == "NOT_RANDOMISED"
    assert "cluster_delta" not in _lines(POLICY)


@pytest.mark.parametrize("facts", [RICH, POLICY])
@pytest.mark.parametrize(("share", "is_broken"), [(0.01, False), (0.011, True)])
def test_clusters_that_were_not_assigned_are_refused(facts, share, is_broken):
    facts = replace(
        facts, n_clusters_control=30, n_clusters_treatment=30, share_astray=share
    )
    reasons = _reasons(facts)
    for method in ("did_2x2", "event_study"):
        assert (reasons.get(method) == "CLUSTERS_BROKEN") is is_broken
    if facts.assignment is Assignment.RANDOMISED:
        assert (reasons.get("cluster_delta") == "CLUSTERS_BROKEN") is is_broken


def test_randomised_comparison_is_seen_from_other_sides():
    assert _views(RANDOMISED) == {
        "bayes_normal": SECONDARY,
        "tail_capped": DIAGNOSTIC,
        "novelty_trend": DIAGNOSTIC,
    }
    assert _views(replace(RANDOMISED, metric_type=MetricType.PROPORTION)) == {
        "bayes_normal": SECONDARY,
        "bayes_beta_binomial": SECONDARY,
        "novelty_trend": DIAGNOSTIC,
    }
    assert _views(replace(RANDOMISED, metric_type=MetricType.RATIO)) == {
        "bayes_normal": SECONDARY,
        "tail_capped": "RATIO_NOT_SUPPORTED",
        "novelty_trend": "RATIO_IN_PANEL",
    }


@pytest.mark.parametrize(
    ("change", "views"),
    [
        ({"is_dated": False}, {"novelty_trend": "UNDATED"}),
        ({"n_arms": 1}, dict.fromkeys(("bayes_normal", "tail_capped"), "ONE_ARM")),
        (
            {"n_clusters_control": 30, "n_clusters_treatment": 30},
            dict.fromkeys(("bayes_normal", "tail_capped"), "NEEDS_CLUSTER_TOTALS"),
        ),
    ],
)
def test_other_sides_are_refused(change, views):
    found = _views(replace(RANDOMISED, **change))
    assert {method: found[method] for method in views} == views


@pytest.mark.parametrize("assignment", [Assignment.POLICY, Assignment.SELF_SELECTED])
def test_no_other_side_without_randomisation(assignment):
    assert _views(replace(RICH, assignment=assignment)) == {}


FACTS = st.builds(
    AssignmentFacts,
    assignment=st.sampled_from(Assignment),
    metric_type=st.sampled_from(MetricType),
    n_arms=st.integers(0, 4),
    has_policy_date=st.booleans(),
    has_pre_period=st.booleans(),
    has_covariate_data=st.booleans(),
    declared_covariate=st.booleans(),
    is_dated=st.booleans(),
    n_clusters_control=st.none() | st.integers(0, 60),
    n_clusters_treatment=st.none() | st.integers(0, 60),
    share_astray=st.floats(0, 1),
    treatment_timings=st.integers(1, 3),
    has_uptake=st.booleans(),
    share_uptake_unknown=st.floats(0, 1),
    n_covariates=st.integers(0, 2),
)


@given(facts=FACTS)
def test_every_method_gets_one_line_and_at_most_one_is_primary(facts):
    choices = choose_methods(facts)
    names = [choice.method for choice in choices]
    assert len(set(names)) == len(names)
    counts = (facts.n_clusters_control, facts.n_clusters_treatment)
    has_few = any(count is not None and count < 20 for count in counts)
    is_randomised = facts.assignment is Assignment.RANDOMISED
    several = 5 * (facts.treatment_timings > 1)
    is_clustered = None not in counts
    is_observed = facts.assignment is Assignment.SELF_SELECTED
    adjusted = 2 if is_observed else facts.has_uptake
    expected = 5 + 3 * is_randomised + is_clustered + has_few + several + adjusted
    assert len(names) == expected
    assert not any(c.role is PRIMARY for c in choices if c.method in BESIDE)
    assert all(choice.reason and choice.explanation for choice in choices)
    assert all((choice.role is not None) == choice.is_chosen for choice in choices)
    primary = [choice for choice in choices if choice.role is PRIMARY]
    assert len(primary) <= 1
    # Nothing stands beside or behind a missing primary but diagnostics; where units
    # chose their arm nothing is primary at all.
    assert not (primary and is_observed)
    if not primary and not is_observed:
        assert all(c.role in (None, DIAGNOSTIC) for c in choices)


def test_rules_only_name_known_methods():
    assert {method for rule in RULES for method in rule.methods} == set(ALL)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (RANDOMISED, EstimateStatus.INSUFFICIENT_DATA),
        (replace(RANDOMISED, assignment=Assignment.SELF_SELECTED), EstimateStatus.NOT_IDENTIFIED),
    ],
)  # fmt: skip
def test_refuse_method_is_a_row_without_numbers(facts, status, settings):
    arm = MetricTotals("exp_1", "spend", "control", 10, 1.0, 1.0)
    choice = _lines(facts)["did_2x2"]
    row = refuse_method(choice, arm, replace(arm, variant="new"), settings=settings)
    assert (row.status, row.reason, row.method) == (status, choice.reason, "did_2x2")
    assert row.estimand == "ATT"
    assert row.role is DIAGNOSTIC
    assert row.details["explanation"] == choice.explanation
    numbers = (row.difference, row.standard_error, row.p_value, row.relative_lift)
    assert not np.any([value is not None for value in numbers])
