"""Why a design gives no number, beside the reasons every estimator shares."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from exp_platform.records import Estimate
from exp_platform.stats.draft import keep_finite, status_of


class DesignRefusal(StrEnum):
    """A lack of the data that a design rests on.

    WEAK_FIRST_STAGE: assignment hardly moves the uptake. REVERSED_FIRST_STAGE: it
    lowers the uptake. POOR_OVERLAP: units of one arm have no counterpart in the other.
    COLLINEAR_COVARIATES: a covariate follows from the others. The rest: what a
    synthetic control was to be made from.
    """

    WEAK_FIRST_STAGE = "WEAK_FIRST_STAGE"
    REVERSED_FIRST_STAGE = "REVERSED_FIRST_STAGE"
    POOR_OVERLAP = "POOR_OVERLAP"
    COLLINEAR_COVARIATES = "COLLINEAR_COVARIATES"
    TOO_FEW_DONORS = "TOO_FEW_DONORS"
    TOO_FEW_PRE_PERIODS = "TOO_FEW_PRE_PERIODS"
    POOR_PRE_FIT = "POOR_PRE_FIT"
    EXACT_PRE_FIT = "EXACT_PRE_FIT"


def refuse_design(
    draft: Estimate, reason: str, details: Mapping[str, Any] | None = None
) -> Estimate:
    """The row with the reason and without numbers.

    Args:
        draft: row with names and counts.
        reason: a `DesignRefusal` or a `Refusal`.
        details: what was found.
    """
    return replace(
        draft,
        status=status_of(reason),
        reason=str(reason),
        details=keep_finite(details or {}),
    )
