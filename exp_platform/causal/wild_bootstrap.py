"""Wild cluster bootstrap of a 2x2 difference in differences, on cluster sums.

With few clusters CR1 errors and t(G - 1) reject too often. The bootstrap imposes the
null hypothesis, flips the residuals of whole clusters and compares studentised
differences. All it needs are sums by cluster; every statistic is a polynomial in the
effect under test, so that the interval costs no further draws.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.cluster_sums import ClusterSums
from exp_platform.causal.inversion import invert_test
from exp_platform.stats.inference import Array

Weights = Literal["rademacher", "webb"]

MOST_ENUMERATED = 13
"""Up to so many clusters all 2^G sign vectors are used."""

WEBB = np.sqrt([0.5, 1.0, 1.5])

EQUAL = 1e-9
"""Statistics closer than this, relatively, are ties; a tie counts as extreme."""


@dataclass(frozen=True, slots=True)
class WildBootstrap:
    """Test and interval of the difference between the arms' changes.

    Attributes:
        p_value: two-sided, symmetric. interval: effects with p > alpha; None when it
            has no end.
        n_draws: bootstrap samples. is_enumerated: they are all there are.
    """

    p_value: float
    interval: tuple[float, float] | None
    weights: Weights
    n_draws: int
    is_enumerated: bool


@dataclass(frozen=True, slots=True)
class _Sample:
    """Mean residual of one arm and its variance by draw, as powers of the effect b.

    Residuals under the null are A - b B.

    Attributes:
        mean: constant and slope, shape (n_draws,) each.
        variance: constant, slope and square, up to the small-sample factor.
    """

    mean: tuple[Array, Array]
    variance: tuple[Array, Array, Array]


@dataclass(frozen=True, slots=True)
class ClusterTest:
    """A bootstrap that was drawn: the p-value of any effect costs no further draws.

    Attributes:
        estimate, error: difference in changes, and its error up to a factor.
        n_draws: bootstrap samples. is_enumerated: they are all there are.
    """

    estimate: float
    error: float
    n_draws: int
    is_enumerated: bool
    _samples: tuple[_Sample, _Sample]
    _is_same: NDArray[np.bool_]

    def p_of(self, effect: float) -> float:
        """Two-sided, symmetric p-value of the hypothesis that the effect is this large."""
        found = np.square(_difference(self._samples, effect)) * self.error**2
        needed = (self.estimate - effect) ** 2 * _variance(self._samples, effect)
        count = int(np.sum(self._is_same | (found >= needed * (1 - EQUAL))))
        if self.is_enumerated:
            return count / self.n_draws
        return (count + 1) / (self.n_draws + 1)

    def p_above(self, effect: float) -> float:
        """One-sided p-value of the hypothesis that the effect is this large or smaller."""
        tail = self.p_of(effect) / 2
        return tail if self.estimate > effect else 1 - tail


def draw_bootstrap(
    control: ClusterSums,
    treatment: ClusterSums,
    *,
    weights: Weights = "rademacher",
    draws: int = 9999,
    seed: int = 0,
) -> ClusterTest:
    """Draw the bootstrap once, for the test of any effect.

    Args:
        control: cluster sums of the untreated arm.
        treatment: cluster sums of the treated arm.
        weights: Rademacher signs (all of them up to 13 clusters) or Webb's six points.
        draws: bootstrap samples when not all are used.
        seed: of the draws.
    """
    n_clusters = control.n_clusters + treatment.n_clusters
    is_enumerated = weights == "rademacher" and n_clusters <= MOST_ENUMERATED
    factors = (
        np.array(list(product((-1.0, 1.0), repeat=n_clusters)))
        if is_enumerated
        else _draw(weights, (draws, n_clusters), seed)
    )
    observed = _sample(control, treatment, np.ones((1, n_clusters)))
    return ClusterTest(
        estimate=float(_difference(observed, 0.0)[0]),
        error=float(np.sqrt(_variance(observed, 0.0)[0])),
        n_draws=len(factors),
        is_enumerated=is_enumerated,
        _samples=_sample(control, treatment, factors),
        # The data and their mirror tie with the data, whatever rounding says.
        _is_same=np.all(factors == factors[:, :1], axis=1)
        & (np.abs(factors[:, 0]) == 1),
    )


def bootstrap_clusters(
    control: ClusterSums,
    treatment: ClusterSums,
    *,
    alpha: float = 0.05,
    weights: Weights = "rademacher",
    draws: int = 9999,
    seed: int = 0,
) -> WildBootstrap:
    """Is the difference in changes more than whole clusters' noise would make?

    Args:
        control: cluster sums of the untreated arm.
        treatment: cluster sums of the treated arm.
        alpha: two-sided error rate of the interval.
        weights: Rademacher signs (all of them up to 13 clusters) or Webb's six points.
        draws: bootstrap samples when not all are used.
        seed: of the draws.

    Estimand:
        As `did.estimate_did`.

    Assumptions:
        Clusters are independent and their errors roughly symmetric. With very few
        treated clusters among many the test is conservative, not liberal.

    References:
        Cameron, Gelbach and Miller (2008); MacKinnon and Webb (2018); Webb (2023).
    """
    test = draw_bootstrap(control, treatment, weights=weights, draws=draws, seed=seed)
    step = 2 * test.error
    return WildBootstrap(
        p_value=test.p_of(0.0),
        interval=invert_test(test.p_of, test.estimate, step=step, alpha=alpha),
        weights=weights,
        n_draws=test.n_draws,
        is_enumerated=test.is_enumerated,
    )


def _draw(weights: Weights, shape: tuple[int, int], seed: int) -> Array:
    random = np.random.default_rng(seed)
    signs = random.choice([-1.0, 1.0], size=shape)
    if weights == "rademacher":
        return signs
    return np.asarray(signs * random.choice(WEBB, size=shape))


def _sample(
    control: ClusterSums, treatment: ClusterSums, factors: Array
) -> tuple[_Sample, _Sample]:
    """Both arms' weighted residuals under the null 'effect b': A - b B by cluster."""
    arms = (control, treatment)
    n = sum(float(arm.units.sum()) for arm in arms)
    mean = sum(float(arm.changes.sum()) for arm in arms) / n
    share = float(treatment.units.sum()) / n
    first = _weigh(control, factors[:, : control.n_clusters], mean, -share)
    second = _weigh(treatment, factors[:, control.n_clusters :], mean, 1 - share)
    return first, second


def _weigh(arm: ClusterSums, factors: Array, mean: float, treated: float) -> _Sample:
    """Sums of w A, w B, and of their squares within the arm, for every draw."""
    n, units = float(arm.units.sum()), arm.units
    residual, slope = arm.changes - mean * units, treated * units
    first, second = factors @ residual / n, factors @ slope / n
    sized, sized_slope = factors @ (residual * units), factors @ (slope * units)
    squares = factors**2 @ np.column_stack([residual**2, residual * slope, slope**2])
    total = float(units @ units)
    variance = (
        squares[:, 0] - 2 * first * sized + first**2 * total,
        2
        * (
            first * sized_slope
            + second * sized
            - squares[:, 1]
            - first * second * total
        ),
        squares[:, 2] - 2 * second * sized_slope + second**2 * total,
    )
    constant, linear, square = (part / n**2 for part in variance)
    return _Sample((first, -second), (constant, linear, square))


def _difference(samples: tuple[_Sample, _Sample], effect: float) -> Array:
    """Bootstrap difference less the effect under test, for every draw."""
    control, treatment = (arm.mean[0] + effect * arm.mean[1] for arm in samples)
    return np.asarray(treatment - control)


def _variance(samples: tuple[_Sample, _Sample], effect: float) -> Array:
    """Its cluster-robust variance, up to the small-sample factor."""
    control, treatment = (
        # Rounding may leave a little less than 0.
        np.maximum(constant + effect * (slope + effect * square), 0.0)
        for constant, slope, square in (arm.variance for arm in samples)
    )
    return np.asarray(control + treatment)
