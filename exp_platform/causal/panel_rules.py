"""Which method does a ready-made panel allow? The router's rows for whole panels.

`did_2x2` and `event_study` are answered by `identification`; what needs every unit's
row, or several treatment dates, is answered here. The table reads as the router's does.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from exp_platform.causal.clusters import FEWEST_CLUSTERS
from exp_platform.causal.identification import (
    DID,
    EVENT_STUDY,
    PANEL,
    choose_methods,
)
from exp_platform.records import AssignmentFacts, EstimateRole, MethodChoice
from exp_platform.stats.draft import Refusal

SIMPLE = "callaway_santanna_simple"
AVERAGES = (
    "callaway_santanna_group",
    "callaway_santanna_dynamic",
    "callaway_santanna_calendar",
)
TWFE = "twfe"
SYNTHETIC = "synthetic_control"
WHOLE = (SIMPLE, *AVERAGES, TWFE, SYNTHETIC)


@dataclass(frozen=True, slots=True)
class PanelFacts:
    """What a ready-made panel allows.

    Attributes:
        assignment: facts for the router; clusters are counted also when units were
            assigned one by one.
        is_cross_section: no unit is seen twice.
    """

    assignment: AssignmentFacts
    is_cross_section: bool

    @property
    def is_staggered(self) -> bool:
        """Treatment began on several dates."""
        return self.assignment.treatment_timings > 1


@dataclass(frozen=True, slots=True)
class PanelRule:
    """One row: as `identification.Rule`, on the facts of a panel."""

    methods: tuple[str, ...]
    holds: Callable[[PanelFacts], bool]
    role: EstimateRole | None
    reason: str
    explanation: str


def _has_many_treated(facts: PanelFacts) -> bool:
    return (facts.assignment.n_clusters_treatment or 0) >= FEWEST_CLUSTERS


RULES: tuple[PanelRule, ...] = (
    PanelRule(
        WHOLE,
        lambda facts: facts.is_cross_section,
        None,
        "REPEATED_CROSS_SECTIONS",
        "No unit is seen twice: a unit's own change is unknown.",
    ),
    PanelRule(
        WHOLE,
        lambda facts: facts.assignment.n_arms <= 1,
        None,
        "ONE_ARM",
        "All units are treated on one date: nothing to compare them with.",
    ),
    PanelRule(
        (DID,),
        lambda facts: facts.is_staggered,
        None,
        "NEEDS_STAGGERED",
        "Treatment began on several dates: a single before and after would compare "
        "treated units with treated ones.",
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
        lambda facts: not facts.is_staggered,
        EstimateRole.SECONDARY,
        "FEW_TREATED",
        "Hardly any treated cluster: only a comparison with placebos is possible. It "
        "does not decide.",
    ),
    PanelRule(
        (SIMPLE,),
        lambda facts: facts.is_staggered,
        EstimateRole.PRIMARY,
        "STAGGERED",
        "Treatment began on several dates: each cohort is compared with units not yet "
        "treated. Valid if trends run parallel.",
    ),
    PanelRule(
        AVERAGES,
        lambda facts: facts.is_staggered,
        EstimateRole.SECONDARY,
        "STAGGERED",
        "The same effects by cohort and period, averaged in another way.",
    ),
    PanelRule(
        (SIMPLE, *AVERAGES),
        lambda facts: not facts.is_staggered,
        EstimateRole.SECONDARY,
        "ONE_DATE",
        "Treatment began on one date: stands beside the 2x2 estimate, against the last "
        "period before treatment.",
    ),
    PanelRule(
        (TWFE,),
        lambda facts: facts.is_staggered,
        EstimateRole.DIAGNOSTIC,
        "STAGGERED",
        "With several dates this regression compares treated units with treated ones: "
        "shown with its weights, never on its own.",
    ),
    PanelRule(
        (TWFE,),
        lambda facts: not facts.is_staggered,
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
        The router's lines on panel methods (`did_2x2`, `event_study` and what else it
        knows), then those of this table, each method once.
    """
    routed = [
        _allow_bootstrap(choice, facts)
        for choice in choose_methods(facts.assignment)
        if choice.method in {*PANEL, *WHOLE}
    ]
    known = {choice.method for choice in routed}
    routed += [_choose(method, facts) for method in WHOLE if method not in known]
    order = (DID, EVENT_STUDY, *WHOLE)
    return tuple(sorted(routed, key=lambda choice: order.index(choice.method)))


def _allow_bootstrap(choice: MethodChoice, facts: PanelFacts) -> MethodChoice:
    """With every unit's row at hand, few clusters do not rule out a 2x2 estimate."""
    needed = Refusal.NEEDS_WILD_BOOTSTRAP.value
    if (choice.method, choice.reason) != (DID, needed) or facts.is_cross_section:
        return choice
    if facts.is_staggered:
        return _choose(DID, facts)
    return replace(
        choice,
        is_chosen=True,
        role=EstimateRole.PRIMARY,
        reason="WILD_BOOTSTRAP",
        explanation="Policy on one date, an arm with 5 to 19 clusters: p-value and "
        "interval are those of a wild cluster bootstrap.",
    )


def _choose(method: str, facts: PanelFacts) -> MethodChoice:
    rule = next(r for r in RULES if method in r.methods and r.holds(facts))
    return MethodChoice(
        method=method,
        is_chosen=rule.role is not None,
        role=rule.role,
        reason=rule.reason,
        explanation=rule.explanation,
    )
