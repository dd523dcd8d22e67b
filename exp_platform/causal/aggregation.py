"""Averages of group-time effects: simple, by cohort, by event time, by calendar time.

Every average is a smooth function of the effects and of the cohorts' shares; its error
follows from their joint covariance by the delta method.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.group_times import GroupTimes
from exp_platform.stats.inference import Array

Aggregation = Literal["simple", "group", "dynamic", "calendar"]
AGGREGATIONS: tuple[Aggregation, ...] = ("simple", "group", "dynamic", "calendar")

BAND_DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class AveragedEffects:
    """An overall effect and the rows it is made of.

    Attributes:
        at: cohort, event time or period of each row, shape (n_rows,); none for the
            simple average.
        estimates: of the rows. covariance: shape (n_rows, n_rows).
        n_clusters: treated clusters behind each row.
        overall: the summary effect. overall_variance: of it.
        treated_mean: of the treated under treatment, averaged as the summary effect.
    """

    kind: Aggregation
    at: Array
    estimates: Array
    covariance: Array
    n_clusters: NDArray[np.int64]
    overall: float
    overall_variance: float
    treated_mean: float


@dataclass(frozen=True, slots=True)
class _Average:
    """A value and its gradient by effects and shares, shape (n_effects + n_groups,)."""

    value: float
    gradient: Array


def average_effects(group_times: GroupTimes, kind: Aggregation) -> AveragedEffects:
    """The effect of treatment, averaged over cohorts and periods in one of four ways.

    Args:
        group_times: effects by cohort and period, with at least one after treatment.
        kind: simple (all effects after treatment, by share of cohort); group (each
            cohort's mean over time, then by share); dynamic (by time since treatment,
            rows before it included, then the mean of rows from 0 on); calendar (by
            period, then the mean).

    References:
        Callaway and Sant'Anna (2021), equations 3.4 to 3.11.
    """
    found = group_times
    everything = np.flatnonzero(found.is_post)
    if kind == "simple":
        overall = _by_share(found, everything)
        rows: list[_Average] = []
        at, members = np.empty(0), []
    else:
        keys, of_rows, use = _keys(found, kind)
        at = np.unique(keys[use])
        members = [np.flatnonzero((keys == key) & use) for key in at]
        rows = [of_rows(found, one) for one in members]
        overall = _summarise(found, kind, at, rows)
    gradients = np.array([row.gradient for row in rows]).reshape(
        len(rows), found.covariance.shape[0]
    )
    return AveragedEffects(
        kind=kind,
        at=at,
        estimates=np.array([row.value for row in rows]),
        covariance=gradients @ found.covariance @ gradients.T,
        n_clusters=np.array([_clusters(found, one) for one in members], dtype=np.int64),
        overall=overall.value,
        overall_variance=float(overall.gradient @ found.covariance @ overall.gradient),
        # By effects, the gradient of an average is its weights.
        treated_mean=float(
            overall.gradient[: found.estimates.size] @ found.treated_means
        ),
    )


def find_band(covariance: Array, *, alpha: float = 0.05, seed: int = 0) -> float:
    """Critical value of a band that holds all rows at once.

    The largest studentised deviation under the multiplier bootstrap with normal
    multipliers: given the data its draws are exactly normal with this covariance, so
    they are drawn from it.

    Args:
        covariance: of the rows, shape (n_rows, n_rows); rows without variance are left
            out.
        alpha: error rate of the whole band.
        seed: of the draws.

    References:
        Callaway and Sant'Anna (2021), algorithm 1; Montiel Olea and
        Plagborg-Moller (2019).
    """
    sizes = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    is_used = sizes > 0
    if not np.any(is_used):
        return float("nan")
    inside = covariance[np.ix_(is_used, is_used)]
    values, vectors = np.linalg.eigh(inside / np.outer(sizes[is_used], sizes[is_used]))
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    draws = np.random.default_rng(seed).standard_normal((BAND_DRAWS, root.shape[0]))
    largest = np.max(np.abs(draws @ root.T), axis=1)
    return float(np.quantile(largest, 1 - alpha))


def _keys(
    found: GroupTimes, kind: Aggregation
) -> tuple[Array, Callable[..., _Average], NDArray[np.bool_]]:
    """What rows are keyed by, how a row is averaged, and which effects count."""
    if kind == "group":
        return found.cohorts, _by_mean, found.is_post
    if kind == "dynamic":
        every = np.ones(found.cohorts.shape, dtype=bool)
        return found.periods - found.cohorts, _by_share, every
    return found.periods, _by_share, found.is_post


def _summarise(
    found: GroupTimes, kind: Aggregation, at: Array, rows: list[_Average]
) -> _Average:
    if kind != "group":
        chosen = [row for key, row in zip(at, rows, strict=True) if key >= 0]
        chosen = chosen if kind == "dynamic" else rows
        return _Average(
            float(np.mean([row.value for row in chosen])),
            np.mean([row.gradient for row in chosen], axis=0),
        )
    places = [int(np.flatnonzero(found.groups == group)[0]) for group in at]
    shares = found.shares[places]
    values = np.array([row.value for row in rows])
    value = float(shares @ values / shares.sum())
    gradient = shares @ np.array([row.gradient for row in rows]) / shares.sum()
    gradient[found.estimates.size + np.array(places)] += (values - value) / shares.sum()
    return _Average(value, gradient)


def _by_share(found: GroupTimes, members: NDArray[np.int64]) -> _Average:
    """Mean of some effects, each weighted by its cohort's share."""
    places = np.searchsorted(found.groups, found.cohorts[members])
    shares, values = found.shares[places], found.estimates[members]
    value = float(shares @ values / shares.sum())
    gradient = np.zeros(found.covariance.shape[0])
    gradient[members] = shares / shares.sum()
    np.add.at(gradient, found.estimates.size + places, (values - value) / shares.sum())
    return _Average(value, gradient)


def _by_mean(found: GroupTimes, members: NDArray[np.int64]) -> _Average:
    gradient = np.zeros(found.covariance.shape[0])
    gradient[members] = 1 / members.size
    return _Average(float(np.mean(found.estimates[members])), gradient)


def _clusters(found: GroupTimes, members: Iterable[np.int64]) -> int:
    cohorts = np.unique(found.cohorts[list(members)])
    return int(found.group_clusters[np.isin(found.groups, cohorts)].sum())
