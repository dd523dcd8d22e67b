"""Several arms against one control: Dunnett's simultaneous test and intervals.

The arms' differences share the control mean, so their correlations are products
lambda_i lambda_j, and the joint probability is one integral (two with t).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import gammaln, ndtr

from exp_platform.errors import ContractError
from exp_platform.records import Estimate
from exp_platform.stats.boundary import Sides
from exp_platform.stats.inference import Array
from exp_platform.stats.quadrature import legendre_nodes
from exp_platform.stats.repeated import normal_statistic, widen_interval

NODES = 80

NODES_PER_STEP = 2.0

REACH = 9.0
"""The shared control is integrated over so many standard errors on each side."""

LEAST_SPREAD = 0.01
"""Loadings nearer to 1 than this allows count as this: a control arm of less than a
ten-thousandth of the units."""

BISECTIONS = 60


def exceed_largest(
    critical: Array, loadings: Array, *, df: float = np.inf, sides: Sides = 2
) -> Array:
    """How probable is it that any of the arms' statistics exceeds `critical`?

    Args:
        critical: shape (n_values,).
        loadings: lambda of each arm, shape (n_arms,); sqrt of the share of the
            control's variance in the variance of the difference.
        df: degrees of freedom of one pooled variance; infinite = normal.
        sides: 1 looks above only.

    References:
        Dunnett (1955), equation 4; Dunnett (1964) for unequal sizes.
    """
    values = np.asarray(critical, dtype=float)
    if np.isinf(df):
        return _exceed(values, loadings, sides)
    scales, weights = _chi_nodes(df)
    outside = _exceed((values[:, None] * scales).ravel(), loadings, sides)
    return np.asarray(outside.reshape(values.size, -1) @ weights)


def critical_dunnett(
    loadings: Array, alpha: float, *, df: float = np.inf, sides: Sides = 2
) -> float:
    """Beyond which value does any of the arms' statistics fall with probability alpha?

    Args:
        loadings: lambda of each arm, shape (n_arms,).
        alpha: error rate over all arms.
        df: degrees of freedom, infinite = normal.
        sides: 1 or 2.
    """
    low, high = 0.0 if sides == 2 else -8.0, 8.0
    if np.isfinite(df):
        high = 200.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        chance = exceed_largest(np.array([middle]), loadings, df=df, sides=sides)[0]
        low, high = (middle, high) if chance > alpha else (low, middle)
    return (low + high) / 2


def adjust_dunnett(estimates: Sequence[Estimate]) -> tuple[Estimate, ...]:
    """The arms' rows with p-values and intervals that hold for all arms together.

    Statistics enter as normal z; the correlations come from the variance of the control
    mean in `details`. Rows without a number stay, and count as arms that cannot reject.

    Args:
        estimates: one metric by one method, one row per compared arm, one control.

    Raises:
        ContractError: rows of different metrics, methods, segments or controls.

    References:
        Dunnett (1955, 1964); Hasler and Hothorn (2008) for unequal variances.
    """
    _require_family(estimates)
    loadings = np.array([_loading(e) for e in estimates if e.is_ok])
    if not loadings.size:
        return tuple(estimates)
    # An arm without a number is planned for as the least favourable, an unrelated one.
    loadings = np.append(loadings, np.zeros(len(estimates) - loadings.size))
    critical = critical_dunnett(loadings, estimates[0].alpha)
    return tuple(_adjust(e, loadings, critical) for e in estimates)


def _adjust(estimate: Estimate, loadings: Array, critical: float) -> Estimate:
    z = normal_statistic(estimate)
    if z is None:
        return estimate
    p_value = min(1.0, float(exceed_largest(np.array([abs(z)]), loadings)[0]))
    row = widen_interval(estimate, critical)
    details = {**estimate.details, "critical_value": critical, "interval": "dunnett"}
    return replace(row, p_value_adjusted=p_value, details=details)


def _loading(estimate: Estimate) -> float:
    error, shared = estimate.standard_error, estimate.details.get("baseline_variance")
    if not error or shared is None:
        return 0.0
    return float(np.sqrt(min(1.0, shared / error**2)))


def _require_family(estimates: Sequence[Estimate]) -> None:
    kinds = {
        (e.metric_name, e.method, e.segment, e.control, e.alpha) for e in estimates
    }
    arms = [e.treatment for e in estimates]
    if len(kinds) == 1 and len(set(arms)) == len(arms):
        return
    raise ContractError(
        "these rows are not several arms against one control",
        found=f"{len(kinds)} kinds of rows, arms {arms}",
        allowed="one metric, method, segment, control and alpha; each arm once",
        next_step="pass the rows of one metric",
    )


def _exceed(critical: Array, loadings: Array, sides: Sides) -> Array:
    """P(any statistic beyond critical) for known variances, shape (n_values,).

    Sums log(1 - tail) over arms, so that small probabilities keep their digits.
    """
    spreads = np.sqrt(np.maximum(1 - loadings**2, LEAST_SPREAD**2))
    shared, mass = _normal_nodes(float(spreads.min()))
    log_inside = np.zeros((critical.size, shared.size))
    with np.errstate(divide="ignore"):
        for loading, spread in zip(loadings, spreads, strict=True):
            tail = ndtr((loading * shared - critical[:, None]) / spread)
            if sides == 2:
                tail += ndtr((-loading * shared - critical[:, None]) / spread)
            log_inside += np.log1p(-np.minimum(tail, 1.0))
    return np.asarray(-np.expm1(log_inside) @ mass)


def _normal_nodes(narrowest: float) -> tuple[Array, Array]:
    """Nodes of a standard normal, dense enough for steps of this width."""
    points, weights = legendre_nodes(NODES + NODES_PER_STEP * 2 * REACH / narrowest)
    shared = REACH * points
    mass = REACH * weights * np.exp(-(shared**2) / 2) / np.sqrt(2 * np.pi)
    return shared, mass


def _chi_nodes(df: float) -> tuple[Array, Array]:
    """Nodes of s = sqrt(chi-square / df) with their probabilities."""
    spread = 1 / np.sqrt(2 * df)
    low, high = max(0.0, 1 - 10 * spread), 1 + 14 * spread
    points, weights = legendre_nodes(NODES)
    s = low + (high - low) * (points + 1) / 2
    log_density = (
        np.log(2)
        + df / 2 * np.log(df / 2)
        - gammaln(df / 2)
        + (df - 1) * np.log(s)
        - df * s**2 / 2
    )
    return s, (high - low) / 2 * weights * np.exp(log_density)
