"""Units seen on many days: correlated noise, and daily totals drawn without units."""

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike

from exp_platform.pipelines.calibration.gate import Array
from exp_platform.pipelines.calibration.moments import Moments, draw_joint
from exp_platform.records import GramTotals

NAMES = ("simulated", "metric")


def draw_ar1(random: Generator, shape: tuple[int, ...], rho: float = 0.8) -> Array:
    """Stationary autoregressive noise along the last axis, variance 1."""
    noise: Array = random.standard_normal(shape)
    noise[..., 1:] *= np.sqrt(1 - rho**2)
    for day in range(1, shape[-1]):
        noise[..., day] += rho * noise[..., day - 1]
    return noise


def ar1_covariance(days: int, rho: float = 0.8) -> Array:
    """Covariance of the days of such noise."""
    place = np.arange(days)
    return np.asarray(rho ** np.abs(place[:, None] - place))


def draw_daily(
    random: Generator,
    runs: int,
    n: int,
    days: range,
    *,
    rho: float = 0.8,
    mean: ArrayLike = 0.0,
    sd: float = 1.0,
) -> Moments:
    """Daily means and covariances of n units with AR(1) noise.

    Args:
        random: source.
        runs: experiments.
        n: units of the arm.
        days: numbers relative to the event.
        rho: correlation of a unit's neighbouring days.
        mean: of every day, a number or shape (n_days,).
        sd: of a unit's value on a day.
    """
    centre = np.broadcast_to(np.asarray(mean, dtype=float), (len(days),))
    covariance = sd**2 * ar1_covariance(len(days), rho)
    return draw_joint(random, runs, n, mean=centre, covariance=covariance)


def list_grams(daily: Moments, days: range, variant: str) -> list[GramTotals]:
    """One record per experiment; every unit is its own cluster."""
    products = (daily.n - 1) * daily.covariances
    return [
        GramTotals(
            *NAMES,
            variant,
            n=daily.n,
            n_clusters=daily.n,
            days=tuple(days),
            means=tuple(means),
            score_gram=tuple(map(tuple, gram)),
        )
        for means, gram in zip(daily.means.tolist(), products.tolist(), strict=True)
    ]


def draw_arms(
    random: Generator,
    runs: int,
    sizes: tuple[int, int],
    days: range,
    *,
    rho: float = 0.8,
    drift: ArrayLike = 0.0,
) -> list[tuple[GramTotals, GramTotals]]:
    """Control, and treatment whose daily means have moved by `drift`."""
    control = draw_daily(random, runs, sizes[0], days, rho=rho)
    treatment = draw_daily(random, runs, sizes[1], days, rho=rho, mean=drift)
    arms = (
        list_grams(control, days, "control"),
        list_grams(treatment, days, "treatment"),
    )
    return list(zip(*arms, strict=True))
