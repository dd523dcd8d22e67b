"""Plain words for coded values, so that a memo reads like prose.

A code without words of its own is shown as its own letters, never dropped.
"""

from exp_platform.records import (
    CheckStatus,
    EstimateRole,
    EstimateStatus,
    MetricRole,
    Outcome,
    PretrendOutcome,
    Verdict,
)

OUTCOME_TITLES = {
    Outcome.SHIP: "Ship it",
    Outcome.ROLL_BACK: "Roll it back",
    Outcome.KEEP_RUNNING: "Keep it running",
    Outcome.REVIEW: "Review before deciding",
}
OUTCOME_MEANINGS = {
    Outcome.SHIP: "The evidence supports releasing this change.",
    Outcome.ROLL_BACK: "The one-sided test for harm is past its level: undo this change.",
    Outcome.KEEP_RUNNING: "There is not enough evidence yet; let the test go on.",
    Outcome.REVIEW: "The rules do not settle this; a person has to look.",
}
VERDICT_TITLES = {
    Verdict.TRUSTED: "Trusted",
    Verdict.CAUTION: "Caution",
    Verdict.DO_NOT_USE: "Do not use",
}
CHECK_STATUS_WORDS = {
    CheckStatus.PASSED: "passed",
    CheckStatus.WARNED: "warned",
    CheckStatus.FAILED: "failed",
    CheckStatus.NOT_RUN: "not run",
}
ROLE_TITLES = {
    MetricRole.GOAL: "Goal",
    MetricRole.GUARDRAIL: "Guardrail",
    MetricRole.MONITOR: "Monitor",
}
ESTIMATE_ROLE_WORDS = {
    EstimateRole.PRIMARY: "decides",
    EstimateRole.SECONDARY: "stands beside",
    EstimateRole.DIAGNOSTIC: "diagnostic",
}
STATUS_WORDS = {
    EstimateStatus.OK: "ok",
    EstimateStatus.INSUFFICIENT_DATA: "too little data",
    EstimateStatus.NOT_IDENTIFIED: "cannot be answered",
    EstimateStatus.METRIC_ERRORED: "the metric could not be computed",
}
PRETREND_TITLES = {
    PretrendOutcome.HOLDS: "Parallel",
    PretrendOutcome.UNDERPOWERED: "Not enough power to tell",
    PretrendOutcome.NEGLIGIBLE: "Drift too small to matter",
    PretrendOutcome.FAILED: "Not parallel",
}
STAGE_TITLES = {
    "assigned": "Assigned to an arm",
    "exposed": "Exposed, as delivered",
    "valid": "With a valid row",
    "deduplicated": "Without copies of rows",
    "resolved": "Known as one unit",
    "in_window": "Exposed inside the window",
    "not_bot": "Not a bot",
    "not_crossover": "Met one arm only",
    "in_panel": "In the panel, as delivered",
    "untreated_at_first": "Not treated from the first period on",
    "in_analysis": "In the analysis",
}
_METHOD_TITLES = {
    "ab": "A/B",
    "welch_t": "A/B (Welch t)",
    "two_proportion_z": "A/B (two proportions)",
    "ratio_delta": "A/B (ratio, delta method)",
    "quantile_woodruff": "A/B (quantile, Woodruff)",
    "cluster_delta": "A/B (by cluster, delta method)",
    "cuped": "CUPED",
    "did": "Difference in differences",
    "did_2x2": "Difference in differences",
    "event_study": "Event study",
    "did_randomisation": "Difference in differences (randomisation inference)",
    "callaway_santanna_simple": "Callaway-Sant'Anna (all cohorts and periods)",
    "callaway_santanna_group": "Callaway-Sant'Anna (by cohort)",
    "callaway_santanna_dynamic": "Callaway-Sant'Anna (by time since treatment)",
    "callaway_santanna_calendar": "Callaway-Sant'Anna (by period)",
    "twfe": "Two-way fixed effects",
    "bayes_normal": "Bayesian, normal prior on the lift",
    "bayes_beta_binomial": "Bayesian, beta-binomial",
    "tail_capped": "Top 0.1 % of units capped",
    "novelty_trend": "Trend over days since exposure",
    "segment_interaction": "Differences between segments",
    "dunnett": "Several arms together (Dunnett)",
    "cace": "Effect on compliers",
    "regression_adjustment": "Regression adjustment (Lin)",
    "aipw": "Doubly robust (AIPW)",
}
_INITIALISMS = {"srm", "cuped", "did", "sql", "ab", "aa", "mde"}


def title_method(method: str) -> str:
    """A method's name for people."""
    return _METHOD_TITLES.get(method.lower(), humanise(method))


def title_stage(stage: str, metric_name: str = "") -> str:
    """A ledger stage's name for people."""
    if metric_name:
        return f"With a value of {metric_name}"
    return STAGE_TITLES.get(stage, humanise(stage))


def humanise(code: str) -> str:
    """Letters of a code as words: GUARDRAIL_DEGRADED is Guardrail degraded."""
    if not ("_" in code or code.isupper()):
        return code[:1].upper() + code[1:]
    words = [_word(word) for word in code.split("_") if word]
    return " ".join([words[0][:1].upper() + words[0][1:], *words[1:]]) if words else ""


def _word(word: str) -> str:
    lowered = word.lower()
    if lowered == "did":
        return "DiD"
    return lowered.upper() if lowered in _INITIALISMS else lowered
