"""When may an effect be told for those who complied, or for units that chose their arm?

Rows of the router's table, see `identification`. Neither method ever decides: the first
answers another question than what shipping does, the second is no experiment.
"""

from exp_platform.causal.choice_rules import (
    MOST_ASTRAY,
    Rule,
    came_by,
    has_fewer_clusters,
    is_quantile,
    is_ratio,
)
from exp_platform.records import Assignment, AssignmentFacts, EstimateRole
from exp_platform.stats.cluster import FEWEST_CLUSTERS

COMPLIERS = "cace"
REGRESSION = "regression_adjustment"
AIPW = "aipw"
OBSERVATIONAL = (REGRESSION, AIPW)
ADJUSTED = (COMPLIERS, *OBSERVATIONAL)


def list_adjusted(facts: AssignmentFacts) -> tuple[str, ...]:
    """Methods of this table that the design calls for.

    Args:
        facts: how treatment was assigned and what was observed.
    """
    if facts.assignment is Assignment.SELF_SELECTED:
        return OBSERVATIONAL
    return (COMPLIERS,) if facts.has_uptake else ()


ADJUSTED_RULES: tuple[Rule, ...] = (
    Rule(
        (COMPLIERS,),
        lambda facts: facts.assignment is not Assignment.RANDOMISED,
        None,
        "NOT_RANDOMISED",
        "Assignment was not random, so it cannot stand in for the treatment that was "
        "received.",
    ),
    Rule(
        ADJUSTED,
        is_ratio,
        None,
        "RATIO_NOT_SUPPORTED",
        "The metric is a ratio: a unit has no value of its own.",
    ),
    Rule(
        ADJUSTED,
        is_quantile,
        None,
        "NOT_A_MEAN",
        "The metric is a quantile: this method is about means.",
    ),
    Rule(
        (COMPLIERS,),
        lambda facts: facts.share_astray > MOST_ASTRAY,
        None,
        "CLUSTERS_BROKEN",
        f"More than {MOST_ASTRAY:.0%} of the units have no cluster, or one that lies "
        "mostly in another arm: it is not what was assigned.",
    ),
    Rule(
        (COMPLIERS,),
        has_fewer_clusters(FEWEST_CLUSTERS),
        None,
        "TOO_FEW_CLUSTERS",
        f"An arm has fewer than {FEWEST_CLUSTERS} clusters: no standard error can be "
        "trusted.",
    ),
    Rule(
        (COMPLIERS,),
        lambda facts: facts.share_uptake_unknown > MOST_ASTRAY,
        None,
        "UPTAKE_UNKNOWN",
        f"For more than {MOST_ASTRAY:.0%} of the units it is not known whether they "
        "received the treatment.",
    ),
    Rule(
        (COMPLIERS,),
        came_by(Assignment.RANDOMISED),
        EstimateRole.SECONDARY,
        "UPTAKE_KNOWN",
        "Randomised, and it is known who received the treatment: the effect on those "
        "who took it because of their arm. Assignment must work through the treatment "
        "alone, and nobody may do the opposite of their arm. The effect of assignment "
        "decides.",
    ),
    Rule(
        OBSERVATIONAL,
        lambda facts: facts.n_covariates == 0,
        None,
        "NO_COVARIATE_DATA",
        "Units chose their variant, and there is no fact from before the choice to "
        "adjust by.",
    ),
    Rule(
        OBSERVATIONAL,
        came_by(Assignment.SELF_SELECTED),
        EstimateRole.SECONDARY,
        "ADJUSTED_FOR_COVARIATES",
        "Units chose their variant: compared as if they had the same covariates. Valid "
        "only if nothing else drives both choice and outcome, which no data can show: "
        "this is no experiment, and nothing ships on it.",
    ),
)
