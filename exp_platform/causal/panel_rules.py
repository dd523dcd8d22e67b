"""Which method does a ready-made panel allow? What the router cannot know of it.

`identification` answers for what follows from the assignment. Here stand the methods
that need every unit's row; the table reads as the router's does.
"""

from collections.abc import Callable
from dataclasses import dataclass

from exp_platform.causal.identification import (
    AVERAGES,
    DID,
    EVENT_STUDY,
    OVER_TIME,
    PANEL,
    RANDOMISATION,
    STAGGERED,
    TWFE,
    choose_methods,
)
from exp_platform.records import AssignmentFacts, EstimateRole, MethodChoice
from exp_platform.stats.cluster import FEWEST_CLUSTERS

SYNTHETIC = "synthetic_control"
COHORTS = (STAGGERED, *AVERAGES)
BY_ROW = (RANDOMISATION, *COHORTS, TWFE, SYNTHETIC)
"""Methods that follow each unit over time."""

ORDER = (*PANEL, *BY_ROW)


@dataclass(frozen=True, slots=True)
class PanelFacts:
    """What a ready-made panel allows.

    Attributes:
        assignment: facts for the router; clusters are counted also when units were
            assigned one by one.
        is_cross_section: no unit is seen twice.
        has_empty_period: of repeated cross-sections: an arm has nobody in some period.
    """

    assignment: AssignmentFacts
    is_cross_section: bool
    has_empty_period: bool = False

    @property
    def is_staggered(self) -> bool:
        """Treatment began on several dates."""
        return self.assignment.treatment_timings > 1


@dataclass(frozen=True, slots=True)
class PanelRule:
    """One row: as `identification.Rule`, on the facts of a panel.

    Attributes:
        overrules: the row stands above the router's answer.
    """

    methods: tuple[str, ...]
    holds: Callable[[PanelFacts], bool]
    role: EstimateRole | None
    reason: str
    explanation: str
    overrules: bool = False


def _has_many_treated(facts: PanelFacts) -> bool:
    return (facts.assignment.n_clusters_treatment or 0) >= FEWEST_CLUSTERS


RULES: tuple[PanelRule, ...] = (
    PanelRule(
        BY_ROW,
        lambda facts: facts.is_cross_section,
        None,
        "REPEATED_CROSS_SECTIONS",
        "No unit is seen twice: a unit's own change is unknown.",
        overrules=True,
    ),
    PanelRule(
        (DID, EVENT_STUDY),
        lambda facts: facts.has_empty_period,
        None,
        "EMPTY_PERIOD",
        "An arm has nobody in some period: there is no gap between the arms in it.",
        overrules=True,
    ),
    PanelRule(
        BY_ROW,
        lambda facts: facts.assignment.n_arms <= 1,
        None,
        "ONE_ARM",
        "All units are treated on one date: nothing to compare them with.",
    ),
    PanelRule(
        (SYNTHETIC,),
        lambda facts: facts.is_staggered,
        None,
        "SEVERAL_DATES",
        "Treatment began on several dates: there is no one before for the mixture of "
        "donors to follow.",
    ),
    PanelRule(
        (SYNTHETIC,),
        _has_many_treated,
        None,
        "ENOUGH_CLUSTERS",
        f"There are {FEWEST_CLUSTERS} treated clusters or more: methods with a standard "
        "error are possible.",
    ),
    PanelRule(
        (SYNTHETIC,),
        lambda _: True,
        EstimateRole.SECONDARY,
        "FEW_TREATED",
        "Hardly any treated cluster: only a comparison with placebos is possible. It "
        "does not decide.",
    ),
    PanelRule(
        COHORTS,
        lambda _: True,
        EstimateRole.SECONDARY,
        "ONE_DATE",
        "Treatment began on one date: stands beside the 2x2 estimate, against the last "
        "period before treatment.",
    ),
    PanelRule(
        (TWFE,),
        lambda _: True,
        EstimateRole.DIAGNOSTIC,
        "ONE_DATE",
        "Treatment began on one date: the regression is the 2x2 estimate.",
    ),
)


def choose_panel_methods(facts: PanelFacts) -> tuple[MethodChoice, ...]:
    """Which methods does the panel allow, in which role, and why not the others?

    Args:
        facts: of one metric of the panel.

    Returns:
        One line per method that the design calls for, each method once.
    """
    routed = {
        choice.method: choice
        for choice in choose_methods(facts.assignment)
        if choice.method in OVER_TIME
    }
    methods = [m for m in ORDER if m in routed or m != RANDOMISATION]
    return tuple(_choose(method, facts, routed.get(method)) for method in methods)


def _choose(
    method: str, facts: PanelFacts, routed: MethodChoice | None
) -> MethodChoice:
    rules = [rule for rule in RULES if method in rule.methods and rule.holds(facts)]
    if routed is not None and not (rules and rules[0].overrules):
        return routed
    rule = rules[0]
    return MethodChoice(
        method=method,
        is_chosen=rule.role is not None,
        role=rule.role,
        reason=rule.reason,
        explanation=rule.explanation,
    )
