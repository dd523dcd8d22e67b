"""The normal figures of estimates: what SQL computes in its own way, for the twin.

SQL has no t distribution, so its p-values and intervals are normal. Here are the same
ones from Python's statistics, by another implementation of the normal distribution.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from exp_platform.records import Estimate
from exp_platform.stats.harm import is_resampled
from exp_platform.stats.lift import read_baseline
from exp_platform.stats.multiplicity import adjust_holm
from exp_platform.stats.proportion import POOLED_ERROR
from exp_platform.stats.repeated import widen_interval


@dataclass(frozen=True, slots=True)
class NormalFigures:
    """One estimate read as normal.

    Attributes:
        z: its statistic. largest_z: the largest |z| of its family.
        p_value: two-sided; `p_value_adjusted` after Holm, None = in no family.
        ci_lower, ci_upper: of the difference, at the estimate's alpha.
        lift_limits: Fieller's, at the same level; None where there are none.
        lift_leading: what is left of 1 in the quadratic of these limits; where it is
            not positive there are none, and towards 0 they are ill-conditioned.
        family_size: tests that were planned in the family.
    """

    z: float
    p_value: float
    ci_lower: float
    ci_upper: float
    lift_limits: tuple[float, float] | None = None
    lift_leading: float = 0.0
    p_value_adjusted: float | None = None
    family_size: int = 0
    largest_z: float = 0.0


def compute_normal_figures(
    estimates: Sequence[Estimate],
    *,
    goals: Collection[str] = (),
    family_size: int = 0,
) -> list[NormalFigures | None]:
    """What would each estimate say if its statistic were exactly normal?

    Args:
        estimates: of one fixed-horizon method per comparison.
        goals: metrics whose estimates on all units form the family of Holm.
        family_size: planned goals x arms; tests that could not be done still count.

    Returns:
        In the order of the estimates; None where there is no test.

    References:
        Holm (1979).
    """
    family = [
        i
        for i, e in enumerate(estimates)
        if _has_test(e) and e.segment == "all" and e.metric_name in goals
    ]
    z = [abs(estimates[i].statistic or 0.0) for i in family]
    p_values = 2 * ndtr(-np.array(z, dtype=float))
    adjusted = adjust_holm(p_values, family_size=family_size)
    by_place = dict(zip(family, adjusted.tolist(), strict=True))
    largest = max(z, default=0.0)
    return [
        _figures(e, by_place.get(i), max(family_size, len(family)), largest)
        for i, e in enumerate(estimates)
    ]


def _has_test(estimate: Estimate) -> bool:
    """The p of a bootstrapped row has no statistic that could be read as normal."""
    return (
        estimate.is_ok
        and not is_resampled(estimate)
        and not is_without_variance(estimate)
    )


def is_without_variance(estimate: Estimate) -> bool:
    """The arms do not vary though they differ: SQL has no test of it.

    Args:
        estimate: of any method.
    """
    return estimate.details.get("standard_error") == POOLED_ERROR


def _figures(
    estimate: Estimate, adjusted: float | None, family_size: int, largest_z: float
) -> NormalFigures | None:
    z, error = estimate.statistic, estimate.standard_error
    difference = estimate.difference
    if not _has_test(estimate) or z is None or error is None or difference is None:
        return None
    quantile = -float(ndtri(estimate.alpha / 2))
    half_width = quantile * error
    return NormalFigures(
        z=z,
        p_value=2 * float(ndtr(-abs(z))),
        ci_lower=difference - half_width,
        ci_upper=difference + half_width,
        lift_limits=_find_lift_limits(estimate, quantile),
        lift_leading=_find_leading(estimate, quantile),
        p_value_adjusted=adjusted,
        family_size=family_size,
        largest_z=largest_z,
    )


def _find_lift_limits(
    estimate: Estimate, quantile: float
) -> tuple[float, float] | None:
    row = widen_interval(estimate, quantile, is_normal=True)
    if row.relative_ci_lower is None or row.relative_ci_upper is None:
        return None
    return row.relative_ci_lower, row.relative_ci_upper


def _find_leading(estimate: Estimate, quantile: float) -> float:
    baseline = read_baseline(estimate)
    if baseline is None or not baseline.mean[0] > 0:
        return 0.0
    return 1 - quantile**2 * float(baseline.variance[0]) / float(baseline.mean[0]) ** 2
