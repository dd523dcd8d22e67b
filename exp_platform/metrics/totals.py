"""Rows of the tables of totals as typed records."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

from exp_platform.records import AdjustmentTotals, MetricTotals, QuantileTotals

Key = tuple[str, str, str]

_NAMES = tuple(field.name for field in fields(MetricTotals))
_EXACT = ("n", "exact_sum", "min_value", "max_value", "n_immature", "n_missing")
# Moments are sums of doubles: how an engine groups them moves the last digits.
_RELATIVE = 1e-12


def read_totals(
    rows: Iterable[Mapping[str, Any]],
) -> dict[Key, MetricTotals]:
    """Totals by (metric, segment, variant).

    Args:
        rows: column -> value, as the SQL model returns them.
    """
    totals = (_read_row(row) for row in rows)
    return {(t.metric_name, t.segment, t.variant): t for t in totals}


def read_quantiles(rows: Iterable[Mapping[str, Any]]) -> dict[Key, QuantileTotals]:
    """Order statistics by (metric, segment, variant), from `metric_quantiles`."""
    names = [field.name for field in fields(QuantileTotals)]
    found = [QuantileTotals(**{name: row[name] for name in names}) for row in rows]
    return {(t.metric_name, t.segment, t.variant): t for t in found}


def read_adjustments(rows: Iterable[Mapping[str, Any]]) -> dict[Key, AdjustmentTotals]:
    """Moments with several covariates, from `metric_adjustments`.

    Args:
        rows: one per pair of columns; an arm with a single unit has no covariances and
            is left out.
    """
    arms: dict[Key, list[Mapping[str, Any]]] = {}
    for row in rows:
        key = (row["metric_name"], row["segment"], row["variant"])
        arms.setdefault(key, []).append(row)
    return {
        key: _read_adjustment(key, pairs)
        for key, pairs in arms.items()
        if all(pair["covariance"] is not None for pair in pairs)
    }


def _read_adjustment(key: Key, pairs: list[Mapping[str, Any]]) -> AdjustmentTotals:
    own = sorted(
        (pair for pair in pairs if pair["column_no"] == pair["other_column_no"]),
        key=lambda pair: int(pair["column_no"]),
    )
    numbers = [pair["column_no"] for pair in own]
    spread = {
        frozenset((pair["column_no"], pair["other_column_no"])): pair["covariance"]
        for pair in pairs
    }
    is_ratio = 1 in numbers
    return AdjustmentTotals(
        experiment_id=own[0]["experiment_id"],
        metric_name=key[0],
        variant=key[2],
        n=own[0]["n"],
        covariates=tuple(pair["column_name"] for pair in own[1 + is_ratio :]),
        means=tuple(pair["mean"] for pair in own),
        covariance=tuple(
            tuple(spread[frozenset((one, other))] for other in numbers)
            for one in numbers
        ),
        is_ratio=is_ratio,
        segment=key[1],
    )


def _read_row(row: Mapping[str, Any]) -> MetricTotals:
    """A null column has the record's default; mean and variance have none."""
    known = {name: row[name] for name in _NAMES if row.get(name) is not None}
    return MetricTotals(**{"mean": None, "variance": None, **known})


def read_cohorts(
    rows: Iterable[Mapping[str, Any]],
) -> dict[tuple[str, str], tuple[tuple[int, MetricTotals], ...]]:
    """Days at whose end units matured, with their totals, by (metric, variant).

    Args:
        rows: of `int_maturity_totals`, sorted by day.
    """
    cohorts: dict[tuple[str, str], list[tuple[int, MetricTotals]]] = {}
    for row in rows:
        key = (row["metric_name"], row["variant"])
        cohorts.setdefault(key, []).append((row["maturity_day"], _read_row(row)))
    return {key: tuple(days) for key, days in cohorts.items()}


def compare_quantiles(
    ours: Mapping[Key, QuantileTotals], theirs: Mapping[Key, QuantileTotals]
) -> list[str]:
    """Where two builds of the same order statistics differ, in words.

    They are values of the data, so they must be equal; the error of the share may
    differ by 1e-12 of its size.
    """
    found = _only_in_one(ours, theirs)
    for key in sorted(ours.keys() & theirs.keys()):
        one, other = ours[key], theirs[key]
        for name in (field.name for field in fields(QuantileTotals)):
            a, b = getattr(one, name), getattr(other, name)
            is_error = name == "share_error" and None not in (a, b)
            if a != b and not (is_error and math.isclose(a, b, rel_tol=_RELATIVE)):
                found.append(f"{' / '.join(key)}: {name} is {a!r} and {b!r}")
    return found


def compare_adjustments(
    ours: Mapping[Key, AdjustmentTotals], theirs: Mapping[Key, AdjustmentTotals]
) -> list[str]:
    """Where two builds of the same moments with covariates differ, in words.

    A mean may differ by 1e-12 of itself or of the spread, a covariance by 1e-12 of the
    product of the standard deviations.
    """
    found = _only_in_one(ours, theirs)
    for key in sorted(ours.keys() & theirs.keys()):
        one, other = ours[key], theirs[key]
        label = " / ".join(key)
        if (one.n, one.covariates) != (other.n, other.covariates):
            found.append(f"{label}: {one.n} units and {other.n}, or other covariates")
            continue
        spread = [math.sqrt(max(row[i], 0.0)) for i, row in enumerate(one.covariance)]
        sizes = [max(abs(m), s) for m, s in zip(one.means, spread, strict=True)]
        pairs = list(zip(one.means, other.means, sizes, strict=True))
        for i, row in enumerate(one.covariance):
            room = [spread[i] * s for s in spread]
            pairs += zip(row, other.covariance[i], room, strict=True)
        if any(abs(a - b) > _RELATIVE * size for a, b, size in pairs):
            found.append(f"{label}: a mean or a covariance differs")
    return found


def _only_in_one(ours: Mapping[Key, Any], theirs: Mapping[Key, Any]) -> list[str]:
    return [
        f"{' / '.join(key)}: only in one of the two"
        for key in sorted(ours.keys() ^ theirs.keys())
    ]


def compare_totals(
    ours: Mapping[Key, MetricTotals], theirs: Mapping[Key, MetricTotals]
) -> list[str]:
    """Where two builds of the same totals differ, in words; empty = nowhere.

    Counts, extremes and fixed-point sums must be equal. A moment may differ by 1e-12
    of its size; that of a covariance is the product of the standard deviations.
    """
    found = _only_in_one(ours, theirs)
    for key in sorted(ours.keys() & theirs.keys()):
        found += [
            f"{' / '.join(key)}: {text}" for text in _differ(ours[key], theirs[key])
        ]
    return found


def _differ(one: MetricTotals, other: MetricTotals) -> Iterator[str]:
    sizes = _sizes(one)
    for name in _NAMES:
        a, b = getattr(one, name), getattr(other, name)
        if a == b:
            continue
        if name in _EXACT or isinstance(a, str) or a is None or b is None:
            yield f"{name} is {a} and {b}"
        elif abs(a - b) > _RELATIVE * max(abs(a), abs(b), sizes.get(name, 0.0)):
            yield f"{name} is {a!r} and {b!r}"


def _sizes(totals: MetricTotals) -> dict[str, float]:
    """What a moment is measured by: a mean by the spread, a covariance by both."""
    value = math.sqrt(totals.variance or 0.0)
    below = math.sqrt(totals.denominator_variance or 0.0)
    before = math.sqrt(totals.covariate_variance or 0.0)
    return {
        "mean": value,
        "third_moment": value**3,
        "denominator_mean": below,
        "denominator_covariance": value * below,
        "covariate_mean": before,
        "covariate_covariance": value * before,
        "covariate_denominator_covariance": below * before,
        "new_covariance": value,
    }
