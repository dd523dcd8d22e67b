"""The coded reasons of a decision, each with its meaning in words."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a decision came out as it did; the deciding one stands first."""

    SRM_FAILED = "SRM_FAILED"
    SQL_TWIN_FAILED = "SQL_TWIN_FAILED"
    KEYS_FAILED = "KEYS_FAILED"
    CROSSOVER_FAILED = "CROSSOVER_FAILED"
    MISSING_VALUES_FAILED = "MISSING_VALUES_FAILED"
    PRETREND_FAILED = "PRETREND_FAILED"
    CHECK_FAILED = "CHECK_FAILED"
    CHECK_NOT_RUN = "CHECK_NOT_RUN"
    NO_TREATMENT = "NO_TREATMENT"
    NOT_AN_EXPERIMENT = "NOT_AN_EXPERIMENT"
    METRIC_ERRORED = "METRIC_ERRORED"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
    NOT_IDENTIFIED = "NOT_IDENTIFIED"
    ESTIMATE_MISSING = "ESTIMATE_MISSING"
    AMBIGUOUS_PRIMARY = "AMBIGUOUS_PRIMARY"
    P_NOT_ADJUSTED = "P_NOT_ADJUSTED"
    GUARDRAIL_UNKNOWN = "GUARDRAIL_UNKNOWN"
    HARM_UNKNOWN = "HARM_UNKNOWN"
    GUARDRAIL_DEGRADED = "GUARDRAIL_DEGRADED"
    GOAL_DEGRADED = "GOAL_DEGRADED"
    GOAL_SUPERIOR = "GOAL_SUPERIOR"
    NOT_COMPLETE = "NOT_COMPLETE"
    NO_PLAN = "NO_PLAN"
    GOAL_WORSE = "GOAL_WORSE"
    DEGRADED_WITHIN_MARGIN = "DEGRADED_WITHIN_MARGIN"
    GUARDRAIL_INCONCLUSIVE = "GUARDRAIL_INCONCLUSIVE"
    NO_GOAL_EFFECT = "NO_GOAL_EFFECT"
    TOO_FEW_DAYS = "TOO_FEW_DAYS"
    PRETREND_MISSING = "PRETREND_MISSING"
    PRETREND_UNDERPOWERED = "PRETREND_UNDERPOWERED"
    PRETREND_NEGLIGIBLE = "PRETREND_NEGLIGIBLE"
    SENSITIVITY_NOT_RUN = "SENSITIVITY_NOT_RUN"
    SENSITIVITY_FAILED = "SENSITIVITY_FAILED"
    SEVERAL_SHIPPABLE_ARMS = "SEVERAL_SHIPPABLE_ARMS"
    OTHER_ARM_CHOSEN = "OTHER_ARM_CHOSEN"
    OTHER_ARM_OPEN = "OTHER_ARM_OPEN"


MEANINGS = {
    Reason.SRM_FAILED: "the arms were not split as planned",
    Reason.SQL_TWIN_FAILED: "SQL and Python disagree on the same test",
    Reason.KEYS_FAILED: "the analysis set has broken keys",
    Reason.CROSSOVER_FAILED: "too many units met several arms, or unequally many",
    Reason.MISSING_VALUES_FAILED: "values were lost in one arm more than in another",
    Reason.PRETREND_FAILED: "the arms were already moving apart before the start",
    Reason.CHECK_FAILED: "a trust check failed",
    Reason.CHECK_NOT_RUN: "a required trust check was not run",
    Reason.NO_TREATMENT: "the registry names no arm to compare with control",
    Reason.NOT_AN_EXPERIMENT: "units chose their arm: this is not an experiment",
    Reason.METRIC_ERRORED: "a required metric could not be computed",
    Reason.INSUFFICIENT_DATA: "a required metric has too little data",
    Reason.NOT_IDENTIFIED: "no method can answer the question from these data",
    Reason.ESTIMATE_MISSING: "a required estimate is not there",
    Reason.AMBIGUOUS_PRIMARY: "a metric has several primary estimates",
    Reason.P_NOT_ADJUSTED: "a goal's p-value was not corrected for the plan's family",
    Reason.GUARDRAIL_UNKNOWN: "a guardrail could not be judged against its margin",
    Reason.HARM_UNKNOWN: "a required metric was not tested for harm",
    Reason.GUARDRAIL_DEGRADED: "a guardrail got worse, beyond the harm error rate",
    Reason.GOAL_DEGRADED: "a goal got worse, beyond the harm error rate",
    Reason.GOAL_SUPERIOR: "a goal got better, after correction for all goals and arms",
    Reason.NOT_COMPLETE: "the data do not complete the plan yet",
    Reason.NO_PLAN: "the plan names no goal, so nothing was promised to be shipped on",
    Reason.GOAL_WORSE: "a goal is significantly worse",
    Reason.DEGRADED_WITHIN_MARGIN: "a guardrail is worse, proven inside its margin",
    Reason.GUARDRAIL_INCONCLUSIVE: "a guardrail is not proven inside its margin",
    Reason.NO_GOAL_EFFECT: "no goal is proven better",
    Reason.TOO_FEW_DAYS: "fewer than seven whole days were observed",
    Reason.PRETREND_MISSING: "a primary difference-in-differences has no pre-trend test",
    Reason.PRETREND_UNDERPOWERED: "a drift that matters could have gone unseen",
    Reason.PRETREND_NEGLIGIBLE: "there is a pre-trend, too small to matter",
    Reason.SENSITIVITY_NOT_RUN: "how robust the result is to unequal trends is not known",
    Reason.SENSITIVITY_FAILED: "0 is possible if trends differ after the start as much "
    "as before it",
    Reason.SEVERAL_SHIPPABLE_ARMS: "several arms may ship and no tie-break picks one",
    Reason.OTHER_ARM_CHOSEN: "the tie-break picked another arm",
    Reason.OTHER_ARM_OPEN: "another arm is not trusted or has something missing",
}
