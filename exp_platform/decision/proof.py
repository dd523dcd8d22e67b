"""What a row proves about a direction, valid at every look so far."""

from dataclasses import dataclass

from exp_platform.records import Direction, Estimate
from exp_platform.stats.harm import harm_p_value


@dataclass(frozen=True, slots=True)
class Proof:
    """Evidence of one row for and against a metric.

    Attributes:
        gain: difference in the good direction.
        better_p, worse_p: two-sided p-values of the two directions; 1 where the
            evidence points the other way.
        harm_p: one-sided p of "there is no harm".
    """

    gain: float
    better_p: float
    worse_p: float
    harm_p: float


def read_proof(
    estimate: Estimate, direction: Direction, *, is_complete: bool
) -> Proof | None:
    """What does a row with numbers prove?

    A row that was not followed over its looks is a test for the end alone: before it,
    it proves nothing.

    Args:
        estimate: a primary row, status OK.
        direction: which way is good.
        is_complete: the registered end is reached.

    Returns:
        None where harm was not tested.
    """
    is_increase = direction is Direction.INCREASE
    gain = (1.0 if is_increase else -1.0) * (estimate.difference or 0.0)
    if is_followed(estimate):
        place = estimate.details["sequential"]
        above, below = place.get("p_greater"), place.get("p_less")
        if None in (above, below, estimate.harm_p_value):
            return None
        better, worse = (above, below) if is_increase else (below, above)
        return Proof(gain, better, worse, estimate.harm_p_value or 0.0)
    harm_p = harm_p_value(estimate, direction)
    if harm_p is None or estimate.p_value is None:
        return None
    if not is_complete:
        return Proof(gain, 1.0, 1.0, 1.0)
    p_value = estimate.p_value
    return Proof(
        gain, p_value if gain > 0 else 1.0, p_value if gain < 0 else 1.0, harm_p
    )


def is_followed(estimate: Estimate) -> bool:
    """Is the row part of a sequence of looks?"""
    return "sequential" in estimate.details


def is_final(estimate: Estimate) -> bool:
    """Is nothing left to be tested: the end, or the planned units?"""
    return bool(estimate.details.get("sequential", {}).get("is_final", False))
