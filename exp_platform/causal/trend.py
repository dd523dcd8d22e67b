"""Tests of a whole vector of day contrasts: jointly, and for a straight line.

The covariance is itself estimated from finitely many clusters. Treating it as known
(chi-square) rejects too often; both tests here use the multivariate Welch degrees of
freedom and are exact in the normal case with equal covariances.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc, stdtr

from exp_platform.causal.contrasts import DayContrasts
from exp_platform.stats.inference import Array

COLLINEAR = 1e-10
"""Eigenvalues of the correlation matrix below this are taken for 0."""

ON_THE_PLANE = 1e-6
"""Deltas may leave the space of their covariance by so many standard errors."""

LEAST_DF = 4.0
"""Fewer denominator degrees of freedom than this are no basis for a test."""


@dataclass(frozen=True, slots=True)
class TrendTest:
    """A joint test of all contrasts and a test of their slope.

    Attributes:
        df_numerator: rank of the contrasts' covariance.
        df_denominator: of F, and of the slope's t.
        slope: change of the gap per day; slope_se its standard error.
    """

    f_statistic: float
    df_numerator: int
    df_denominator: float
    p_joint: float
    slope: float
    slope_se: float
    p_slope: float


def assess_trend(contrasts: DayContrasts) -> TrendTest | str:
    """Are all contrasts 0, and do they lie on a sloped line through the reference day?

    Joint: Hotelling's T2 as F(q, v - q + 1) x v q / (v - q + 1), with Krishnamoorthy
    and Yu's v for unequal covariances (Welch's df when q = 1). Slope: generalised least
    squares, with Rao's factor for the estimated covariance and t(v - q + 1).

    Args:
        contrasts: of days with some variance, at least one.

    Returns:
        The tests, or a reason: TOO_FEW_CLUSTERS, SINGULAR_COVARIANCE,
        INVALID_MOMENTS.

    References:
        Krishnamoorthy and Yu (2004); Rao (1967).
    """
    if not contrasts.is_finite:
        return "INVALID_MOMENTS"
    sizes = np.sqrt(contrasts.variances)
    scaled = contrasts.deltas / sizes
    values, vectors = np.linalg.eigh(contrasts.covariance / np.outer(sizes, sizes))
    is_used = values > COLLINEAR
    if np.any(np.abs(vectors[:, ~is_used].T @ scaled) > ON_THE_PLANE):
        return "SINGULAR_COVARIANCE"
    whitener = vectors[:, is_used] / np.sqrt(values[is_used])
    rank = int(is_used.sum())
    df = _multivariate_df(contrasts, whitener.T / sizes)
    left = df - rank + 1
    if left < LEAST_DF:
        return "TOO_FEW_CLUSTERS"
    deltas = whitener.T @ scaled
    distances = (contrasts.days - contrasts.reference_day) / sizes
    line = whitener.T @ distances
    if line @ line <= COLLINEAR * (distances @ distances):
        return "SINGULAR_COVARIANCE"
    return _test(deltas, line, rank=rank, df=df)


def _test(deltas: Array, line: Array, *, rank: int, df: float) -> TrendTest:
    """Both tests on whitened contrasts, whose covariance is the identity."""
    left = df - rank + 1
    hotelling, strength = float(deltas @ deltas), float(line @ line)
    slope = float(line @ deltas) / strength
    # What the line leaves over tells how far the estimated covariance is off.
    misfit = max(hotelling - slope**2 * strength, 0.0)
    error = float(np.sqrt((1 + misfit / df) * df / left / strength))
    f_statistic = hotelling * left / (df * rank)
    return TrendTest(
        f_statistic=f_statistic,
        df_numerator=rank,
        df_denominator=left,
        p_joint=float(fdtrc(rank, left, f_statistic)),
        slope=slope,
        slope_se=error,
        p_slope=float(2 * stdtr(left, -abs(slope / error))),
    )


def _multivariate_df(contrasts: DayContrasts, whitener: Array) -> float:
    """Degrees of freedom of the whitened covariance, a sum of two arms' parts."""
    total = 0.0
    for covariance, n_clusters in (
        (contrasts.control_covariance, contrasts.n_clusters_control),
        (contrasts.treatment_covariance, contrasts.n_clusters_treatment),
    ):
        part = whitener @ covariance @ whitener.T
        trace = float(np.trace(part))
        # Of one cluster that outweighs all others, nothing but rounding is left.
        left = max(n_clusters - 1, COLLINEAR)
        total += (float(np.sum(part * part)) + trace**2) / left
    rank = whitener.shape[0]
    return float((rank + rank**2) / total)
