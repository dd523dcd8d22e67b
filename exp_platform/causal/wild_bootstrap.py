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
    """Weighted sums of one arm's residuals A - b B, for every draw.

    Attributes:
        n: units. first, second: sums of w A and w B, shape (n_draws,).
        sized: sums of w A n_g and w B n_g, shape (n_draws, 2).
        squares: sums of w^2 A^2, w^2 A B and w^2 B^2, shape (n_draws, 3).
        size_squares: sum of n_g^2.
    """

    n: float
    first: Array
    second: Array
    sized: Array
    squares: Array
    size_squares: float


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
    residual, slope = arm.changes - mean * arm.units, treated * arm.units
    both = np.column_stack([residual, slope])
    squares = np.column_stack([residual**2, residual * slope, slope**2])
    sums = factors @ both
    return _Sample(
        n=float(arm.units.sum()),
        first=sums[:, 0],
        second=sums[:, 1],
        sized=factors @ (both * arm.units[:, None]),
        squares=factors**2 @ squares,
        size_squares=float(arm.units @ arm.units),
    )


def _difference(samples: tuple[_Sample, _Sample], effect: float) -> Array:
    """Bootstrap difference less the effect under test, for every draw."""
    means = [(arm.first - effect * arm.second) / arm.n for arm in samples]
    return np.asarray(means[1] - means[0])


def _variance(samples: tuple[_Sample, _Sample], effect: float) -> Array:
    """Its cluster-robust variance, up to the small-sample factor."""
    total = np.zeros(samples[0].first.shape)
    for arm in samples:
        mean = (arm.first - effect * arm.second) / arm.n
        sized = arm.sized @ np.array([1.0, -effect])
        squares = arm.squares @ np.array([1.0, -2 * effect, effect**2])
        within = squares - 2 * mean * sized + mean**2 * arm.size_squares
        total += np.maximum(within, 0.0) / arm.n**2
    return total
