"""Columns of facts about units, as they were delivered, as numbers to adjust by."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from exp_platform.stats.inference import Array


def encode_covariates(
    columns: Mapping[str, Sequence[str | None]], n_units: int
) -> tuple[Array, tuple[str, ...]]:
    """Which numbers stand for the facts?

    A column of numbers stays one; where some are missing they take the mean of the
    others, and a second column says where (`NAME missing`). Every other column becomes
    one of 0 and 1 for each value but the most frequent (`NAME=VALUE`); a missing value
    is a value of its own.

    Args:
        columns: text by unit and name of the fact; None = unknown.
        n_units: number of units.

    Returns:
        Shape (n_units, k), and the k names.

    References:
        Imbens and Rubin (2015), section 12.2, on indicators of missing covariates.
    """
    parts: list[Array] = []
    names: list[str] = []
    for name, texts in columns.items():
        numbers = _read_numbers(texts)
        found = (
            _encode_levels(name, texts)
            if numbers is None
            else _encode_numbers(name, numbers)
        )
        parts += found.values()
        names += found
    matrix = np.column_stack(parts) if parts else np.empty((n_units, 0))
    return matrix, tuple(names)


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


def _encode_numbers(name: str, numbers: Array) -> dict[str, Array]:
    is_missing = np.isnan(numbers)
    if not is_missing.any():
        return {name: numbers}
    mean = float(numbers[~is_missing].mean())
    return {
        name: np.where(is_missing, mean, numbers),
        f"{name} missing": is_missing.astype(float),
    }


def _encode_levels(name: str, texts: Sequence[str | None]) -> dict[str, Array]:
    known = ["missing" if text is None else text for text in texts]
    counts = Counter(known)
    levels = sorted(counts, key=lambda level: (-counts[level], level))
    values = np.array(known, dtype=object)
    return {f"{name}={level}": (values == level).astype(float) for level in levels[1:]}
