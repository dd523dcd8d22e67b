"""Totals of units, and of disjoint sets of them, without going back to rows.

The pairwise formulas add no large squares that cancel, so millions of units merge as
exactly as they were summed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Context, Decimal
from functools import reduce
from itertools import accumulate

import numpy as np

from exp_platform.errors import ContractError
from exp_platform.records import MetricTotals
from exp_platform.stats.inference import Array

COVARIANCES = (
    ("mean", "mean", "variance"),
    ("denominator_mean", "denominator_mean", "denominator_variance"),
    ("mean", "denominator_mean", "denominator_covariance"),
    ("covariate_mean", "covariate_mean", "covariate_variance"),
    ("mean", "covariate_mean", "covariate_covariance"),
    ("denominator_mean", "covariate_mean", "covariate_denominator_covariance"),
    ("mean", "new_share", "new_covariance"),
)
"""Two means and their covariance; a variance is the covariance with itself."""

MEANS = ("mean", "denominator_mean", "covariate_mean", "new_share")

DIGITS = Context(prec=60)
"""Sums have 38 digits; the default context would round them to 28."""


# Squares beyond the floats are infinite: the estimators refuse such moments.
@np.errstate(over="ignore", invalid="ignore")
def summarise_units(
    names: tuple[str, str, str],
    values: Array,
    *,
    denominator: Array | None = None,
    covariate: Array | None = None,
) -> MetricTotals:
    """Moments of one arm from its units, arrays of shape (n_units,).

    Args:
        names: experiment, metric and variant.
        values: one per unit, finite.
        denominator: of a ratio.
        covariate: from before exposure; NaN = unknown, counts as 0 and as a new unit.
    """
    columns = {"": values, "denominator_": denominator}
    if covariate is not None:
        is_new = np.isnan(covariate)
        columns["covariate_"] = np.where(is_new, 0.0, covariate)
        columns["new_"] = is_new.astype(float)
    known = {name: column for name, column in columns.items() if column is not None}
    n = len(values)
    means = {
        name: float(column.mean()) if n else None for name, column in known.items()
    }
    spread = np.cov(np.vstack(list(known.values()))) if n > 1 else None
    moments: dict[str, float] = {}
    for first, second, name in COVARIANCES:
        places = [_place(known, mean) for mean in (first, second)]
        if spread is not None and None not in places:
            moments[name] = float(np.atleast_2d(spread)[places[0], places[1]])
    blank = MetricTotals(
        *names,
        n,
        means[""],
        None,
        third_moment=float(((values - values.mean()) ** 3).mean()) if n else None,
        min_value=float(values.min()) if n else None,
        max_value=float(values.max()) if n else None,
        denominator_mean=means.get("denominator_"),
        covariate_mean=means.get("covariate_"),
        new_share=means.get("new_"),
    )
    return replace(blank, **moments)  # type: ignore[arg-type]


def _place(known: Mapping[str, Array], mean: str) -> int | None:
    """Row of the column that a mean belongs to."""
    prefix = "new_" if mean == "new_share" else mean.removesuffix("mean")
    return list(known).index(prefix) if prefix in known else None


def merge_totals(parts: Iterable[MetricTotals]) -> MetricTotals:
    """What are the moments of all units, given those of sets without a common unit?

    A part of the moments that one set has and another has not (a denominator, a
    covariate) is null in the whole; empty sets have no say in it.

    Args:
        parts: of one experiment, metric, arm and segment; at least one.

    Raises:
        ContractError: nothing to merge, or parts of different arms or metrics.

    References:
        Chan, Golub and LeVeque (1983); Pébay (2008), equation 2.1.
    """
    found = tuple(parts)
    if not found:
        raise ContractError(
            "there are no totals to merge", next_step="pass at least one set of units"
        )
    return reduce(_merge, found)


def accumulate_totals(parts: Iterable[MetricTotals]) -> tuple[MetricTotals, ...]:
    """What are the moments after each set of units is added to those before it?

    Args:
        parts: as `merge_totals`, the oldest set first.
    """
    return tuple(accumulate(parts, _merge))


def _merge(one: MetricTotals, other: MetricTotals) -> MetricTotals:
    _require_same(one, other)
    n_immature = one.n_immature + other.n_immature
    n_missing = one.n_missing + other.n_missing
    moments: dict[str, float | None] = {}
    if one.n and other.n:
        moments = {name: _mean(one, other, name) for name in MEANS}
        for first, second, name in COVARIANCES:
            moments[name] = _covariance(one, other, (first, second), name)
        moments["third_moment"] = _third_moment(one, other)
    else:
        known = one if one.n else other
        names = (*MEANS, *(name for _, _, name in COVARIANCES), "third_moment")
        moments = {name: getattr(known, name) for name in names}
    return MetricTotals(
        one.experiment_id,
        one.metric_name,
        one.variant,
        one.n + other.n,
        moments.pop("mean"),
        moments.pop("variance"),
        segment=one.segment,
        min_value=min(_known(one.min_value, other.min_value), default=None),
        max_value=max(_known(one.max_value, other.max_value), default=None),
        exact_sum=_exact_sum(one, other),
        n_immature=n_immature,
        n_missing=n_missing,
        **moments,
    )


def _require_same(one: MetricTotals, other: MetricTotals) -> None:
    ours, theirs = (
        (t.experiment_id, t.metric_name, t.variant, t.segment) for t in (one, other)
    )
    if ours != theirs:
        raise ContractError(
            "the totals of different sets cannot be merged",
            found=f"{ours} and {theirs}",
            allowed="one experiment, one metric, one arm, one segment",
            next_step="merge each arm's totals apart",
        )


def _mean(one: MetricTotals, other: MetricTotals, name: str) -> float | None:
    a, b = getattr(one, name), getattr(other, name)
    if a is None or b is None:
        return None
    return float(a + (b - a) * other.n / (one.n + other.n))


def _covariance(
    one: MetricTotals, other: MetricTotals, means: tuple[str, str], name: str
) -> float | None:
    """Sums of products add up, plus what lies between the two means."""
    gaps = []
    for mean in means:
        a, b = getattr(one, mean), getattr(other, mean)
        if a is None or b is None:
            return None
        gaps.append(b - a)
    inside = [_products(totals, name) for totals in (one, other)]
    products = _known(*inside)
    if len(products) < 2:
        return None
    n = one.n + other.n
    between = gaps[0] * gaps[1] * one.n * other.n / n
    return float((sum(products) + between) / (n - 1))


def _products(totals: MetricTotals, name: str) -> float | None:
    """Sum of products of deviations; a single unit has none."""
    value = getattr(totals, name)
    if totals.n == 1:
        return 0.0
    return None if value is None else value * (totals.n - 1)


def _third_moment(one: MetricTotals, other: MetricTotals) -> float | None:
    values = _known(one.mean, other.mean, one.third_moment, other.third_moment)
    squares = _known(_products(one, "variance"), _products(other, "variance"))
    if len(values) < 4 or len(squares) < 2:
        return None
    n, gap = one.n + other.n, values[1] - values[0]
    inside = one.n * values[2] + other.n * values[3]
    # Products, not a power: these overflow to infinity instead of raising.
    between = gap * gap * gap * one.n * other.n * (one.n - other.n) / n**2
    mixed = 3 * gap * (one.n * squares[1] - other.n * squares[0]) / n
    return (inside + between + mixed) / n


def _known(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]


def _exact_sum(one: MetricTotals, other: MetricTotals) -> str | None:
    """Decimal texts add exactly; a sum that was too large for one stays unknown."""
    texts = [totals.exact_sum for totals in (one, other) if totals.n]
    if not texts or None in texts:
        return None
    return str(reduce(DIGITS.add, (Decimal(text) for text in texts if text)))
