"""Columns of facts about units, as they were delivered, as numbers to adjust by."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exp_platform.stats.inference import Array

LEAST_OF_A_VALUE = 5
"""Units that an arm needs of a value for a column of its own: one for each fold."""

MOST_UNADJUSTED = 0.05
"""Share of all units up to which values that are too rare have no column at all."""

RARE = "rare values"


@dataclass(frozen=True, slots=True)
class EncodedCovariates:
    """Numbers to adjust by.

    Attributes:
        values: shape (n_units, k).
        names: of the k columns.
        too_rare: units of each value without a column of its own, by `NAME=VALUE` or
            `NAME missing`.
    """

    values: Array
    names: tuple[str, ...]
    too_rare: Mapping[str, int]


def encode_covariates(
    columns: Mapping[str, Sequence[str | None]], is_treated: NDArray[np.bool_]
) -> EncodedCovariates:
    """Which numbers stand for the facts?

    A column of numbers stays one; where some are missing they take the mean of the
    others, and a second column says where (`NAME missing`). Every other column becomes
    one of 0 and 1 for each value but the most frequent (`NAME=VALUE`); a missing value
    is a value of its own.

    No model can tell a value apart that an arm has hardly a unit of. With fewer than 5
    such values share one column (`NAME=rare values`); where even that has fewer, its
    units, at most 5 % of all, count as the most frequent value. Missing numbers that
    are as rare are left at the mean.

    Args:
        columns: text by unit and name of the fact; None = unknown.
        is_treated: arm of each unit, shape (n_units,).

    References:
        Imbens and Rubin (2015), section 12.2, on indicators of missing covariates.
    """
    parts: list[Array] = []
    names: list[str] = []
    too_rare: dict[str, int] = {}
    for name, texts in columns.items():
        numbers = _read_numbers(texts)
        if numbers is None:
            found, rare = _encode_levels(name, texts, is_treated)
        else:
            found, rare = _encode_numbers(name, numbers, is_treated)
        parts += found.values()
        names += found
        too_rare |= rare
    matrix = np.column_stack(parts) if parts else np.empty((len(is_treated), 0))
    return EncodedCovariates(matrix, tuple(names), too_rare)


Found = tuple[dict[str, Array], dict[str, int]]


def _read_numbers(texts: Sequence[str | None]) -> Array | None:
    """NaN where unknown; None where some known text is no finite number."""
    found = np.full(len(texts), math.nan)
    for i, text in enumerate(texts):
        if text is None:
            continue
        try:
            found[i] = float(text)
        except ValueError:
            return None
        if not math.isfinite(found[i]):
            return None
    return None if np.isnan(found).all() else found


def _encode_numbers(name: str, numbers: Array, is_treated: NDArray[np.bool_]) -> Found:
    is_missing = np.isnan(numbers)
    if not is_missing.any():
        return {name: numbers}, {}
    filled = {name: np.where(is_missing, numbers[~is_missing].mean(), numbers)}
    label = f"{name} missing"
    if _is_rare(is_missing, is_treated) and is_missing.mean() <= MOST_UNADJUSTED:
        return filled, {label: int(is_missing.sum())}
    return {**filled, label: is_missing.astype(float)}, {}


def _encode_levels(
    name: str, texts: Sequence[str | None], is_treated: NDArray[np.bool_]
) -> Found:
    known = ["missing" if text is None else text for text in texts]
    counts = Counter(known)
    levels = sorted(counts, key=lambda level: (-counts[level], level))
    values = np.array(known, dtype=object)
    inside = {f"{name}={level}": values == level for level in levels[1:]}
    rare = {label: at for label, at in inside.items() if _is_rare(at, is_treated)}
    together = np.any([np.zeros(len(known), np.bool_), *rare.values()], axis=0)
    is_shared = not _is_rare(together, is_treated)
    if not is_shared and together.mean() > MOST_UNADJUSTED:
        rare = {}
    kept = {label: at for label, at in inside.items() if label not in rare}
    if is_shared:
        label = f"{name}={RARE}"
        kept[label] = together | kept.get(label, together)
    numbers = {label: at.astype(float) for label, at in kept.items()}
    return numbers, {label: int(at.sum()) for label, at in rare.items()}


def _is_rare(at: NDArray[np.bool_], is_treated: NDArray[np.bool_]) -> bool:
    """An arm has too few of these units."""
    n_treated = int((at & is_treated).sum())
    return min(n_treated, int(at.sum()) - n_treated) < LEAST_OF_A_VALUE
