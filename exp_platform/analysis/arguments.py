"""Arguments of the public functions: what is no number, no word or no count is named."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np

from exp_platform.errors import UsageError, did_you_mean


def check_alpha(alpha: float) -> None:
    """Refuse what is no error rate.

    Raises:
        UsageError: not between 0 and 1.
    """
    check_number("alpha", alpha, 0, 1)


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    is_closed: bool = False,
) -> None:
    """Refuse what is no finite number of a range.

    Args:
        name: of the argument.
        value: as given.
        low: end of the range that is outside of it, unless closed.
        high: the other end, always outside.
        is_closed: `low` itself is allowed.

    Raises:
        UsageError: text, NaN, an infinity, or a number outside.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if is_number and (low < value < high or (is_closed and value == low)):
        return
    what = f"{name} must lie between {low:g} and {high:g}"
    if math.isinf(high):
        least = "of at least" if is_closed else "above"
        what = f"{name} must be a finite number"
        what += "" if math.isinf(low) else f" {least} {low:g}"
    bracket = "[" if is_closed else "("
    raise UsageError(
        what, found=repr(value), allowed=f"a number in {bracket}{low:g}, {high:g})"
    )


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse what is no whole number from some number on.

    Args:
        name: of the argument.
        value: as given.
        least: the smallest that is allowed.

    Raises:
        UsageError: text, a fraction, or a smaller number.
    """
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or value < least:
        raise UsageError(
            f"{name} must be a whole number of at least {least}",
            found=repr(value),
            allowed=f"{least}, {least + 1}, ...",
        )


def check_word(name: str, word: str, known: Sequence[str]) -> None:
    """Refuse an option that does not exist.

    Raises:
        UsageError: not one of the known words.
    """
    if word not in known:
        raise UsageError(
            f"no {name} {word!r}",
            allowed=did_you_mean(word, known),
        )
