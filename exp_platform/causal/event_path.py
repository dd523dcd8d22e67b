"""Event-study coefficients as the sensitivity bounds need them.

Periods are counted from the last one before the event (period 0, the reference). Days
may be gathered into longer periods: a bound on "the largest change between two periods
before the event" says little when a period is one noisy day.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from exp_platform.causal.contrasts import contrast_days
from exp_platform.records import GramTotals
from exp_platform.stats.inference import Array

REFERENCE = -1
"""The last period before the event, as a block number."""

WEEK = 7

MOST_PRE, MOST_POST = 13, 28
"""Periods before and after the event beyond which days are gathered."""


@dataclass(frozen=True, slots=True)
class EventPath:
    """Gaps between the arms against the reference period, and their covariance.

    Attributes:
        coefficients: shape (n_pre + n_post,), in order of time, the reference left out.
        covariance: shape (n_pre + n_post, n_pre + n_post).
        n_pre: coefficients before the reference.
        weights: of the post-period coefficients in the effect of interest, shape
            (n_post,).
        flat_reason: why a coefficient counts as without variance; "" = none does.
    """

    coefficients: Array
    covariance: Array
    n_pre: int
    weights: Array
    flat_reason: str = ""

    @property
    def n_post(self) -> int:
        """Periods after the event."""
        return self.coefficients.size - self.n_pre

    @property
    def estimate(self) -> float:
        """Effect of interest if trends ran exactly parallel."""
        return float(self.weights @ self.coefficients[self.n_pre :])

    @property
    def standard_error(self) -> float:
        """Of the estimate."""
        inside = self.covariance[self.n_pre :, self.n_pre :]
        return float(np.sqrt(self.weights @ inside @ self.weights))


def path_of(
    control: GramTotals, treatment: GramTotals, *, period_days: int
) -> EventPath:
    """The average effect after the event, and the path of the gap that leads to it.

    Args:
        control: daily means and cross-products of the untreated arm, with the last
            period before the event.
        treatment: the same days of the treated arm.
        period_days: days per period, counted from the event in both directions; an
            incomplete first period is left out, an incomplete last one counts by its
            days.

    References:
        Rambachan and Roth (2023), section 2.
    """
    arms = [gather_days(arm, period_days) for arm in (control, treatment)]
    blocks = [block for block in arms[0].days if block != REFERENCE]
    contrasts = contrast_days(arms[0], arms[1], blocks, reference_day=REFERENCE)
    post = np.array([block for block in blocks if block > REFERENCE])
    days = np.array([day for day in control.days if day >= 0])
    lengths = np.array([np.sum(days // period_days == block) for block in post])
    return EventPath(
        coefficients=contrasts.deltas,
        covariance=contrasts.covariance,
        n_pre=len(blocks) - post.size,
        weights=lengths / max(int(lengths.sum()), 1),
        flat_reason=contrasts.flat_reason if (contrasts.variances == 0).any() else "",
    )


def choose_period(days: tuple[int, ...], *, is_daily: bool = True) -> int:
    """How many of the totals' days make one period of the event study?

    Weeks when two whole ones lie before the event, and longer ones where more than 13
    would lie before it or more than 28 after: the cost grows with their number, and
    the largest of many noisy steps says little.

    Args:
        days: day numbers, 0 begins with the event.
        is_daily: they are days, not years or months, which have no weeks.
    """
    n_pre = sum(day < 0 for day in days)
    base = WEEK if is_daily and n_pre >= 2 * WEEK else 1
    ratios = (n_pre / MOST_PRE, (len(days) - n_pre) / MOST_POST)
    wanted = math.ceil(max(ratios) / base)
    return base * max(1, min(wanted, n_pre // (2 * base)))


def gather_path(path: EventPath, period: int) -> EventPath:
    """The same effect by longer periods, against the last of them before the event.

    Args:
        path: by single periods, all weights above 0.
        period: how many make one, at most half of those before the event; an
            incomplete first one is left out.
    """
    block = np.arange(-path.n_pre - 1, path.n_post) // period
    weights = np.concatenate([np.ones(path.n_pre + 1), path.weights])
    kept = [
        number
        for number in np.unique(block)
        if number >= 0 or np.sum(block == number) == period
    ]
    # The reference period's level is 0: its place among the levels is after n others.
    levels = np.insert(np.eye(path.coefficients.size), path.n_pre, 0.0, axis=0)
    rows = np.array(
        [
            np.average(
                levels[block == number], axis=0, weights=weights[block == number]
            )
            for number in kept
        ]
    )
    slopes = np.delete(rows, kept.index(REFERENCE), axis=0)
    slopes -= rows[kept.index(REFERENCE)]
    return EventPath(
        coefficients=slopes @ path.coefficients,
        covariance=slopes @ path.covariance @ slopes.T,
        n_pre=sum(bool(number < REFERENCE) for number in kept),
        weights=np.array([weights[block == n].sum() for n in kept if n > REFERENCE]),
        flat_reason=path.flat_reason,
    )


def gather_days(gram: GramTotals, period_days: int) -> GramTotals:
    """Totals of per-period averages: `days` become numbers of periods.

    Args:
        gram: daily means of one arm and their cross-products.
        period_days: days per period.
    """
    block = np.array(gram.days) // period_days
    kept = [
        number
        for number in np.unique(block)
        if number >= 0 or np.sum(block == number) == period_days
    ]
    shares = np.array([(block == number) / np.sum(block == number) for number in kept])
    shares = shares.reshape(len(kept), block.size)
    products = shares @ np.array(gram.score_gram) @ shares.T
    return replace(
        gram,
        days=tuple(int(number) for number in kept),
        means=tuple((shares @ np.array(gram.means)).tolist()),
        score_gram=tuple(tuple(row) for row in products.tolist()),
    )
