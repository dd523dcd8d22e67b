"""Coded reasons for a missing number, as clauses that people read."""

_WORDS = {
    "TOO_FEW_UNITS": "too few units",
    "TOO_FEW_CLUSTERS": "too few clusters in an arm for an error that can be trusted",
    "NEEDS_WILD_BOOTSTRAP": "too few clusters for the usual test",
    "NO_PRE_PERIOD": "too few periods before the start",
    "NO_POST_PERIOD": "no period after the start",
    "EMPTY_PERIOD": "an arm has nobody in some period",
    "NO_CONTROLS": "no untreated unit to compare with",
    "ZERO_VARIANCE": "all units have the same value",
    "NO_RESIDUAL_VARIANCE": "the covariate explains the outcome completely: check that "
    "it is not the outcome itself",
    "PRECISION_LOST": "the values vary too little for their size",
    "DENOMINATOR_NEAR_ZERO": "the denominator is too close to 0",
    "NO_COVARIATE_DATA": "no value from before the exposure",
    "INVALID_MOMENTS": "the sums of the values make no sense",
    "NOT_A_PROPORTION": "the metric is not a yes or no per unit",
    "NOT_A_MEAN": "the metric is not a mean",
    "UNIT_FINER_THAN_ASSIGNMENT": "the units are finer than what was assigned",
    "NEEDS_CAP": "the values need a cap first",
    "TIED_QUANTILE": "too many units share the value at the quantile",
    "SINGULAR_COVARIANCE": "the periods cannot be told apart from each other",
    "NO_TOLERANCE": "it is not known how large a drift would matter",
    "WEAK_FIRST_STAGE": "the arm hardly changed who received the treatment",
    "REVERSED_FIRST_STAGE": "the arm made fewer units receive the treatment",
    "UPTAKE_UNKNOWN": "who received the treatment was not recorded",
    "POOR_OVERLAP": "too few units have a counterpart in the other arm",
    "COLLINEAR_COVARIATES": "the covariates repeat each other",
    "TOO_FEW_DONORS": "too few untreated units to mix a comparison from",
    "TOO_FEW_PRE_PERIODS": "too few periods before the start",
    "EXACT_PRE_FIT": "the mixture of untreated units meets the treated one exactly, so no "
    "error can be told",
    "POOR_PRE_FIT": "the mixture of untreated units does not follow the treated one "
    "before the start",
    "REPEATED_CROSS_SECTIONS": "no unit is seen twice",
    "NEEDS_STAGGERED": "treatment began on several dates",
    "NEEDS_CLUSTER_TOTALS": "sums by cluster are needed",
    "CLUSTERS_BROKEN": "the clusters are not what was assigned",
    "ONE_ARM": "only one arm has units",
    "NO_SEGMENT": "no segment has enough units",
    "ONE_SEGMENT": "only one segment has enough units",
    "TOO_FEW_DAYS": "too few days",
    "NO_DAILY_VALUE": "a unit has no value on a single day",
    "UNDATED": "the data have no dates",
    "NOT_RANDOMISED": "units were not assigned at random",
    "NOT_IDENTIFIED": "the data cannot tell the effect from other causes",
    "CONTROL_MEAN_NOT_POSITIVE": "control's mean is not above 0",
    "BASELINE_VARIANCE_MISSING": "how uncertain control's mean is, is not known",
    "NO_NORMAL_EFFECT": "there is no estimate to start from",
    "NO_ESTIMATE": "there is no estimate",
    "NO_MARGIN": "the plan has no margin",
    "MARGIN_NOT_POSITIVE": "the margin is not above 0",
    "MISSING_CELL": "an arm has no unit in some period",
    "NOT_ADJUSTED_FOR_LOOKS": "its test would hold for a single look, at the end",
    "RATIO_NOT_SUPPORTED": "not made for ratios",
}


def explain_refusal(reason: str) -> str:
    """A reason as a clause without a full stop; a code without words by its letters.

    >>> explain_refusal("UNDATED"), explain_refusal("NEW_CODE"), explain_refusal("")
    ('the data have no dates', 'new code', '')
    """
    return _WORDS.get(reason, reason.replace("_", " ").lower())
