"""Tests, intervals and corrections: totals in, estimates and assessments out."""

from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.guardrail import GuardrailStatus, assess_guardrail
from exp_platform.stats.harm import harm_p_value
from exp_platform.stats.multiplicity import adjust_bh, adjust_estimates, adjust_holm
from exp_platform.stats.outlier import assess_outliers
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.skewness import assess_skewness
from exp_platform.stats.srm import assess_split, track_split
from exp_platform.stats.welch import estimate_welch

__all__ = [
    "EstimateSettings",
    "GuardrailStatus",
    "adjust_bh",
    "adjust_estimates",
    "adjust_holm",
    "assess_guardrail",
    "assess_outliers",
    "assess_skewness",
    "assess_split",
    "estimate_cuped",
    "estimate_proportions",
    "estimate_ratio",
    "estimate_welch",
    "harm_p_value",
    "track_split",
]
