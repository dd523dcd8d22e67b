"""Which method do the data allow? Every method is chosen or refused, with a reason.

The rules are one table, read from top to bottom; for each method the first row that
holds is its answer. There is no fall-back outside the table.
"""

from dataclasses import replace

from exp_platform.causal.adjusted_rules import (
    ADJUSTED,
    ADJUSTED_RULES,
    list_adjusted,
)
from exp_platform.causal.choice_rules import (
    MOST_ASTRAY,
    Rule,
    came_by,
    has_fewer_clusters,
    is_quantile,
    is_ratio,
)
from exp_platform.causal.novelty import METHOD as NOVELTY
from exp_platform.records import (
    Assignment,
    AssignmentFacts,
    Estimate,
    EstimateRole,
    EstimateStatus,
    MethodChoice,
    MetricTotals,
    PanelTotals,
)
from exp_platform.stats.bayes import METHOD as BAYES
from exp_platform.stats.bayes_binomial import METHOD as BETA_BINOMIAL
from exp_platform.stats.cluster import BOOTSTRAP_BELOW, FEWEST_CLUSTERS
from exp_platform.stats.cluster import METHOD as CLUSTER
from exp_platform.stats.draft import draft_estimate
from exp_platform.stats.quantile import METHOD as QUANTILE
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.tail import METHOD as TAIL

WELCH = "welch_t"
RATIO = "ratio_delta"
PROPORTION = "two_proportion_z"
CUPED = "cuped"
DID = "did_2x2"
EVENT_STUDY = "event_study"
RANDOMISATION = "did_randomisation"
STAGGERED = "callaway_santanna_simple"
AVERAGES = (
    "callaway_santanna_group",
    "callaway_santanna_dynamic",
    "callaway_santanna_calendar",
)
TWFE = "twfe"

HAS_FEW_CLUSTERS = has_fewer_clusters(BOOTSTRAP_BELOW)


def _is_clustered(facts: AssignmentFacts) -> bool:
    return None not in (facts.n_clusters_control, facts.n_clusters_treatment)


def _has_few_treated(facts: AssignmentFacts) -> bool:
    """The controls of several dates change over time: the estimator counts them."""
    count = facts.n_clusters_treatment
    return count is not None and count < FEWEST_CLUSTERS


def _is_policy_with_few(facts: AssignmentFacts) -> bool:
    return facts.assignment is Assignment.POLICY and HAS_FEW_CLUSTERS(facts)


def _has_declared_cuped(facts: AssignmentFacts) -> bool:
    is_usable = facts.has_covariate_data and not is_quantile(facts)
    return facts.declared_covariate and is_usable


AB = (WELCH, RATIO, QUANTILE)
BELIEFS = (BAYES, BETA_BINOMIAL)
BY_UNIT = (*AB, PROPORTION, CUPED, *BELIEFS, TAIL)
PANEL = (DID, EVENT_STUDY)
ONE_DATE = (*PANEL, RANDOMISATION)
SEVERAL_DATES = (STAGGERED, *AVERAGES, TWFE)
OVER_TIME = (*ONE_DATE, *SEVERAL_DATES)
DAILY = (*OVER_TIME, NOVELTY)
BY_DESIGN = (*BY_UNIT, CLUSTER, *DAILY)
ALL = (*BY_DESIGN, *ADJUSTED)

BESIDE = (*BELIEFS, TAIL, NOVELTY)
"""Other views of a randomised comparison; none of them ever decides."""

PRIMARY = EstimateRole.PRIMARY
SECONDARY = EstimateRole.SECONDARY
DIAGNOSTIC = EstimateRole.DIAGNOSTIC

RULES: tuple[Rule, ...] = (
    Rule(
        ALL,
        lambda facts: facts.n_arms <= 1,
        None,
        "ONE_ARM",
        "There is only one arm with units: nothing to compare it with.",
    ),
    Rule(
        BY_DESIGN,
        came_by(Assignment.SELF_SELECTED),
        None,
        "NOT_IDENTIFIED",
        "Units chose their variant: those who chose differ, and a comparison made for "
        "an experiment cannot tell that from an effect.",
    ),
    Rule(
        (*BY_UNIT, CLUSTER),
        came_by(Assignment.POLICY),
        None,
        "NOT_RANDOMISED",
        "Treatment came by policy or roll-out, not by chance: the arms may differ "
        "without it.",
    ),
    Rule(
        (CLUSTER, *ONE_DATE),
        lambda facts: facts.share_astray > MOST_ASTRAY,
        None,
        "CLUSTERS_BROKEN",
        f"More than {MOST_ASTRAY:.0%} of the units have no cluster, or one that lies "
        "mostly in another arm: it is not what was assigned.",
    ),
    Rule(
        (*BY_UNIT, CLUSTER, *PANEL),
        has_fewer_clusters(FEWEST_CLUSTERS),
        None,
        "TOO_FEW_CLUSTERS",
        f"An arm has fewer than {FEWEST_CLUSTERS} clusters: no standard error can be "
        "trusted.",
    ),
    Rule(
        SEVERAL_DATES,
        _has_few_treated,
        None,
        "TOO_FEW_CLUSTERS",
        f"Fewer than {FEWEST_CLUSTERS} clusters are treated: no standard error can be "
        "trusted.",
    ),
    Rule(
        BY_UNIT,
        _is_clustered,
        None,
        "NEEDS_CLUSTER_TOTALS",
        "Treatment was assigned by cluster: standard errors by unit would be too "
        "small.",
    ),
    Rule(
        (CLUSTER,),
        is_quantile,
        None,
        "NOT_A_MEAN",
        "The metric is a quantile: it does not follow from sums by cluster.",
    ),
    Rule(
        (CLUSTER,),
        HAS_FEW_CLUSTERS,
        PRIMARY,
        "FEW_CLUSTERS",
        f"Whole clusters were randomised, fewer than {BOOTSTRAP_BELOW} in an arm: "
        "tested by a wild cluster bootstrap.",
    ),
    Rule(
        (CLUSTER,),
        came_by(Assignment.RANDOMISED),
        PRIMARY,
        "CLUSTERS_RANDOMISED",
        "Whole clusters were randomised: their sums are compared, each cluster one "
        "observation.",
    ),
    Rule(
        (PROPORTION,),
        lambda facts: not facts.metric_type.is_share,
        None,
        "NOT_A_PROPORTION",
        "The metric is not a yes or no per unit.",
    ),
    Rule(
        (PROPORTION,),
        came_by(Assignment.RANDOMISED),
        SECONDARY,
        "PROPORTION",
        "Randomised yes-or-no metric: the pooled z test stands beside the t test.",
    ),
    Rule(
        (CUPED, *BELIEFS, TAIL),
        is_quantile,
        None,
        "NOT_A_MEAN",
        "The metric is a quantile: it has no mean to adjust, to believe in or to cap.",
    ),
    Rule(
        (CUPED,),
        lambda facts: not facts.has_covariate_data,
        None,
        "NO_COVARIATE_DATA",
        "No value from before exposure, or the same one for all units: nothing to adjust "
        "with.",
    ),
    Rule(
        (CUPED,),
        lambda facts: facts.declared_covariate,
        PRIMARY,
        "COVARIATE_DECLARED",
        "Randomised, and the plan declares a covariate: the adjusted estimate decides.",
    ),
    Rule(
        (CUPED,),
        lambda facts: not facts.declared_covariate,
        SECONDARY,
        "COVARIATE_NOT_DECLARED",
        "Randomised with a covariate that the plan did not declare: shown, but it "
        "does not decide.",
    ),
    Rule(
        BELIEFS,
        came_by(Assignment.RANDOMISED),
        SECONDARY,
        "RANDOMISED",
        "Randomised: what to believe about the same effect, given a prior. A "
        "probability to win alone decides nothing.",
    ),
    Rule(
        (TAIL,),
        is_ratio,
        None,
        "RATIO_NOT_SUPPORTED",
        "The metric is a ratio: a unit has no value of its own to cap.",
    ),
    Rule(
        (TAIL,),
        came_by(Assignment.RANDOMISED),
        DIAGNOSTIC,
        "RANDOMISED",
        "Shows what the most extreme units carry; the cap comes from the data, so it "
        "does not decide.",
    ),
    Rule(
        AB,
        _has_declared_cuped,
        SECONDARY,
        "CUPED_IS_PRIMARY",
        "Randomised; the plan declares a covariate, so the unadjusted estimate stands "
        "beside CUPED.",
    ),
    Rule(
        AB,
        lambda facts: facts.declared_covariate,
        PRIMARY,
        "RANDOMISED_WITHOUT_CUPED",
        "Randomised; CUPED was declared but refused, so the unadjusted estimate decides.",
    ),
    Rule(
        AB,
        came_by(Assignment.RANDOMISED),
        PRIMARY,
        "RANDOMISED",
        "Randomised: the arms differ by chance and treatment alone.",
    ),
    Rule(
        DAILY,
        lambda facts: not facts.is_dated,
        None,
        "UNDATED",
        "The data have no dates: there is no before and after.",
    ),
    Rule(
        DAILY,
        is_ratio,
        None,
        "RATIO_IN_PANEL",
        "The metric is a ratio: it has no value per unit and day.",
    ),
    Rule(
        DAILY,
        lambda facts: not facts.metric_type.has_daily_value,
        None,
        "NO_DAILY_VALUE",
        "A unit has no value of this metric on a single day, so there is no panel.",
    ),
    Rule(
        (NOVELTY,),
        came_by(Assignment.RANDOMISED),
        DIAGNOSTIC,
        "RANDOMISED",
        "Shows whether the effect wears off or grows with days since exposure.",
    ),
    Rule(
        ONE_DATE,
        lambda facts: (
            facts.assignment is Assignment.POLICY and not facts.has_policy_date
        ),
        None,
        "NO_POLICY_DATE",
        "The registry has no date on which the policy took effect.",
    ),
    Rule(
        OVER_TIME,
        lambda facts: not facts.has_pre_period,
        None,
        "NO_PRE_PERIOD",
        "Units were not observed before the event.",
    ),
    Rule(
        ONE_DATE,
        lambda facts: facts.treatment_timings > 1,
        None,
        "NEEDS_STAGGERED",
        "Treatment began on several dates: a single before and after would compare "
        "treated units with treated ones.",
    ),
    Rule(
        (RANDOMISATION,),
        HAS_FEW_CLUSTERS,
        DIAGNOSTIC,
        "FEW_CLUSTERS",
        "Few clusters: the difference among those of other choices of treated "
        "clusters. It assumes one effect for all, so it does not decide.",
    ),
    Rule(
        OVER_TIME,
        came_by(Assignment.RANDOMISED),
        DIAGNOSTIC,
        "RANDOMISED",
        "Randomised with a pre-period: shown as a check, it does not decide.",
    ),
    Rule(
        (DID,),
        _is_policy_with_few,
        PRIMARY,
        "FEW_CLUSTERS",
        f"Policy or roll-out on one date, an arm with fewer than {BOOTSTRAP_BELOW} "
        "clusters: tested by a wild cluster bootstrap; valid if trends run parallel.",
    ),
    Rule(
        (DID,),
        came_by(Assignment.POLICY),
        PRIMARY,
        "POLICY_DATE",
        "Policy or roll-out on one date, with a pre-period: valid if trends run "
        "parallel.",
    ),
    Rule(
        (EVENT_STUDY,),
        came_by(Assignment.POLICY),
        DIAGNOSTIC,
        "POLICY_DATE",
        "Shows the effect over time, and the trends before it.",
    ),
    Rule(
        (STAGGERED,),
        came_by(Assignment.POLICY),
        PRIMARY,
        "STAGGERED",
        "Treatment began on several dates: each cohort is compared with units not yet "
        "treated; valid if trends run parallel.",
    ),
    Rule(
        AVERAGES,
        came_by(Assignment.POLICY),
        SECONDARY,
        "STAGGERED",
        "The same effects by cohort and period, averaged in another way.",
    ),
    Rule(
        (TWFE,),
        came_by(Assignment.POLICY),
        DIAGNOSTIC,
        "STAGGERED",
        "With several dates this regression compares treated units with treated ones: "
        "shown with its weights, it never decides.",
    ),
    *ADJUSTED_RULES,
)

DATA_ARE_MISSING = frozenset(
    {
        "ONE_ARM",
        "EMPTY_PERIOD",
        "TOO_FEW_CLUSTERS",
        "NEEDS_CLUSTER_TOTALS",
        "NO_COVARIATE_DATA",
        "NO_PRE_PERIOD",
        "UNDATED",
        "UPTAKE_UNKNOWN",
    }
)
"""Refusals that more or other data could lift; the rest are NOT_IDENTIFIED."""


def choose_methods(facts: AssignmentFacts) -> tuple[MethodChoice, ...]:
    """Which methods do the data allow, in which role, and why are the others refused?

    Args:
        facts: how treatment was assigned and what was observed.

    Returns:
        One line per method that the design calls for, in a fixed order: the comparison
        of means (`welch_t`, for a ratio `ratio_delta`; where clusters were assigned also
        `cluster_delta`) or of quantiles (`quantile_woodruff`), `two_proportion_z`,
        `cuped`, `did_2x2`, `event_study`; for a randomised one `bayes_normal`, for its
        proportions `bayes_beta_binomial` and for all else `tail_capped`, and
        `novelty_trend`; with fewer than 20 clusters in an arm `did_randomisation`; with
        several treatment dates the four `callaway_santanna_*` and `twfe`; where it is
        known who received the treatment `cace`; where units chose their arm
        `regression_adjustment` and `aipw`.
    """
    methods = [_choose_comparison(facts), PROPORTION, CUPED, *PANEL]
    if facts.assignment is Assignment.RANDOMISED:
        is_share = facts.metric_type.is_share
        methods += [BAYES, BETA_BINOMIAL if is_share else TAIL, NOVELTY]
    if _is_clustered(facts):
        methods.insert(1, CLUSTER)
    if HAS_FEW_CLUSTERS(facts):
        methods.append(RANDOMISATION)
    if facts.treatment_timings > 1:
        methods += SEVERAL_DATES
    methods += list_adjusted(facts)
    return tuple(_choose(method, facts) for method in methods)


def _choose_comparison(facts: AssignmentFacts) -> str:
    """The plain comparison of two arms."""
    if is_quantile(facts):
        return QUANTILE
    return RATIO if is_ratio(facts) else WELCH


def _choose(method: str, facts: AssignmentFacts) -> MethodChoice:
    rule = next(r for r in RULES if method in r.methods and r.holds(facts))
    return MethodChoice(
        method=method,
        is_chosen=rule.role is not None,
        role=rule.role,
        reason=rule.reason,
        explanation=rule.explanation,
    )


def refuse_method(
    choice: MethodChoice,
    control: MetricTotals | PanelTotals,
    treatment: MetricTotals | PanelTotals,
    *,
    settings: EstimateSettings,
) -> Estimate:
    """The row of a refused method: names, the reason and no numbers.

    Args:
        choice: a line of `choose_methods` that is not chosen.
        control: any totals of the control arm.
        treatment: any totals of the treatment arm.
        settings: metric, alpha; the role is diagnostic, as it can decide nothing.
    """
    is_missing = choice.reason in DATA_ARE_MISSING
    return replace(
        draft_estimate(choice.method, control, treatment, settings),
        status=EstimateStatus.INSUFFICIENT_DATA
        if is_missing
        else EstimateStatus.NOT_IDENTIFIED,
        role=EstimateRole.DIAGNOSTIC,
        estimand="ATT" if choice.method in OVER_TIME else "ATE",
        reason=choice.reason,
        details={"explanation": choice.explanation},
    )
