"""From a p-value of every effect to the interval of effects that are not rejected."""

from collections.abc import Callable

DOUBLINGS = 40
BISECTIONS = 60


def invert_test(
    p_of: Callable[[float], float], centre: float, *, step: float, alpha: float
) -> tuple[float, float] | None:
    """Ends of the set of effects with p > alpha around the estimate.

    Args:
        p_of: p-value of the hypothesis that the effect is this large; 1 at the centre.
        centre: the estimate.
        step: first distance from it, e.g. two standard errors, above 0.
        alpha: two-sided error rate.

    Returns:
        The interval; None when it has no end: so few arrangements that none can be
        rejected.
    """
    ends = [_find_end(p_of, centre, sign * step, alpha) for sign in (-1.0, 1.0)]
    lower, upper = ends
    return None if lower is None or upper is None else (lower, upper)


def _find_end(
    p_of: Callable[[float], float], centre: float, step: float, alpha: float
) -> float | None:
    inside, outside = centre, centre + step
    for _ in range(DOUBLINGS):
        if p_of(outside) <= alpha:
            break
        inside, step = outside, 2 * step
        outside = centre + step
    else:
        return None
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        if middle in (inside, outside):
            break
        if p_of(middle) <= alpha:
            outside = middle
        else:
            inside = middle
    return outside
