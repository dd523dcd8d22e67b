"""The mixture sequential probability ratio test: an always-valid test with a set prior.

The confidence sequence with its width chosen by the size of effects that matter instead
of by a planned number of units.
"""

import math
from collections.abc import Sequence

import numpy as np

from exp_platform.errors import ContractError
from exp_platform.records import Estimate, MetricTotals
from exp_platform.stats.group_sequential import Estimator
from exp_platform.stats.looks import LEAST_UNITS
from exp_platform.stats.mixture import track_mixture
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch

METHOD = "msprt"


def estimate_msprt(
    controls: Sequence[MetricTotals],
    treatments: Sequence[MetricTotals],
    settings: EstimateSettings,
    *,
    tau: float,
    estimator: Estimator = estimate_welch,
) -> tuple[Estimate, ...]:
    """Is there evidence for an effect of about the size tau, whenever one looks?

    Args:
        controls: totals over matured units at each look, cumulative, oldest first.
        treatments: the same of the compared arm.
        settings: metric, role, alpha over all looks, least units.
        tau: standard deviation of the effects mixed over, in units of the metric; set
            before the data, for instance the planned MDE.
        estimator: any estimator of one look.

    Returns:
        One row per look with always-valid p-values and intervals.

    Raises:
        ContractError: tau is not a positive number.

    Estimand:
        That of the estimator.

    Assumptions:
        As the confidence sequence.

    Outcomes:
        OK; the estimator's refusals; INSUFFICIENT_DATA with TOO_FEW_UNITS.

    References:
        Johari, Koomen, Pekelis and Walsh (2022), equations 9 to 11.
    """
    if not 0 < tau < math.inf:
        raise ContractError(
            "the mixture of an mSPRT has no width",
            found=f"tau {tau}",
            allowed="a positive number in units of the metric",
            next_step="set tau to the smallest effect that matters",
        )
    pairs = zip(controls, treatments, strict=True)
    base = [estimator(control, treatment, settings) for control, treatment in pairs]
    errors = np.array([e.standard_error or math.inf for e in base])
    ratio = np.maximum((tau / errors) ** 2, 1e-300)
    min_units = max(LEAST_UNITS, settings.min_units_per_arm)
    return track_mixture(base, ratio, METHOD, min_units=min_units, details={"tau": tau})
