"""One row of the router's table, and what rows of several designs ask of the facts."""

from collections.abc import Callable
from dataclasses import dataclass

from exp_platform.records import (
    Assignment,
    AssignmentFacts,
    EstimateRole,
    MetricType,
)

Predicate = Callable[[AssignmentFacts], bool]

MOST_ASTRAY = 0.01
"""Share of units that do not fit the design which still is a slip of the data."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        methods: for which the row answers.
        holds: whether it does, given the facts.
        role: of the chosen method; None = refused.
        reason: coded. explanation: one sentence for people.
    """

    methods: tuple[str, ...]
    holds: Predicate
    role: EstimateRole | None
    reason: str
    explanation: str


def came_by(assignment: Assignment) -> Predicate:
    """Do the facts say that units came to their arms this way?"""
    return lambda facts: facts.assignment is assignment


def has_fewer_clusters(least: int) -> Predicate:
    """Does an arm that was assigned by cluster have fewer of them?"""

    def holds(facts: AssignmentFacts) -> bool:
        """Are the clusters known, and some arm's too few?"""
        counts = (facts.n_clusters_control, facts.n_clusters_treatment)
        return any(count is not None and count < least for count in counts)

    return holds


def is_ratio(facts: AssignmentFacts) -> bool:
    """Is the metric a ratio of two outcomes?"""
    return facts.metric_type is MetricType.RATIO


def is_quantile(facts: AssignmentFacts) -> bool:
    """Is the metric a quantile?"""
    return facts.metric_type is MetricType.QUANTILE
