"""Arms drawn as moments: many experiments at once, without their units."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from exp_platform.pipelines.calibration.gate import Array
from exp_platform.stats.adjustment import Covariates
from exp_platform.stats.welch import Arm

BLOCK = 4_000_000
"""Units drawn at a time: some 100 MB."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sample moments of one arm's columns in many experiments.

    Attributes:
        n: units of the arm.
        means: shape (runs, k).
        covariances: divisor n - 1, shape (runs, k, k).
    """

    n: int
    means: Array
    covariances: Array

    @property
    def arm(self) -> Arm:
        """The first column as an arm."""
        runs = len(self.means)
        return Arm(
            np.full(runs, float(self.n)), self.means[:, 0], self.covariances[:, 0, 0]
        )

    @property
    def covariates(self) -> Covariates:
        """The other columns as covariates of the first."""
        return Covariates(
            self.means[:, 1:], self.covariances[:, 1:, 1:], self.covariances[:, 0, 1:]
        )


@dataclass(frozen=True, slots=True)
class Skewed:
    """Mean, variance and third central moment (divisor n) in many experiments."""

    n: int
    mean: Array
    variance: Array
    third: Array

    @property
    def arm(self) -> Arm:
        """Without the third moment."""
        return Arm(np.full(self.mean.size, float(self.n)), self.mean, self.variance)


def draw_normal(
    random: Generator, runs: int, n: int, *, mean: float = 0.0, sd: float = 1.0
) -> Arm:
    """Exact draws of the moments of n normal values."""
    means = mean + sd / np.sqrt(n) * random.standard_normal(runs)
    variances = sd**2 * random.chisquare(n - 1, runs) / (n - 1)
    return Arm(np.full(runs, float(n)), means, variances)


def draw_joint(
    random: Generator,
    runs: int,
    n: int,
    *,
    mean: ArrayLike,
    covariance: ArrayLike,
) -> Moments:
    """Exact draws of the moments of n values of a joint normal distribution.

    Means are normal, covariances Wishart by Bartlett's decomposition.

    Args:
        random: source.
        runs: experiments.
        n: units of the arm, at least 2.
        mean: shape (k,).
        covariance: shape (k, k), positive definite.
    """
    root = np.linalg.cholesky(np.asarray(covariance, dtype=float))
    k = len(root)
    means = np.asarray(mean) + random.standard_normal((runs, k)) @ root.T / np.sqrt(n)
    if n > k:
        factor = np.tril(random.standard_normal((runs, k, k)), -1)
        for j in range(k):
            factor[:, j, j] = np.sqrt(random.chisquare(n - 1 - j, runs))
    else:
        factor = random.standard_normal((runs, k, n - 1))
    scores = root @ factor
    products = scores @ np.swapaxes(scores, 1, 2)
    return Moments(n, means, products / (n - 1))


def draw_revenue(
    random: Generator, runs: int, n: int, *, buyers: float = 0.1, spread: float = 1.2
) -> Skewed:
    """Revenue of n visitors: most spend nothing, buyers a lognormal amount.

    Args:
        random: source.
        runs: experiments.
        n: visitors of the arm.
        buyers: share of visitors who buy.
        spread: of the logarithm of an amount.
    """
    counts = random.binomial(n, buyers, runs)
    sums = np.zeros((3, runs))
    step = max(1, int(BLOCK / (n * buyers)))
    for start in range(0, runs, step):
        chosen = slice(start, start + step)
        place = np.repeat(np.arange(counts[chosen].size), counts[chosen])
        amounts = random.lognormal(0.0, spread, place.size)
        for power in range(3):
            weights = amounts ** (power + 1)
            sums[power, chosen] = np.bincount(place, weights, counts[chosen].size)
    mean, square, cube = sums / n
    variance = (square - mean**2) * n / (n - 1)
    return Skewed(n, mean, variance, cube - 3 * mean * square + 2 * mean**3)


def draw_units(runs: int, units: int) -> list[int]:
    """Sizes of the blocks in which so many runs of so many units are drawn."""
    step = max(1, BLOCK // units)
    return [min(step, runs - start) for start in range(0, runs, step)]
