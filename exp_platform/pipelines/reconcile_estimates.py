"""Published estimates that are somebody else's number: an adjusted mean, another look."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from exp_platform.checks.reconciliation import ALL_ARMS, Printed
from exp_platform.records import Estimate

_FIELDS = ("control_mean", "treatment_mean", "difference", "relative_lift")


@dataclass(frozen=True, slots=True)
class EstimateMatch:
    """A field of a published estimate.

    Attributes:
        field: such as `difference`. look: None = not of a look.
    """

    method: str
    field: str
    treatment: str
    look: int | None
    number: float


def find_estimates(
    estimates: Iterable[Estimate], given: Mapping[str, Printed]
) -> tuple[EstimateMatch, ...]:
    """Where a single number stands among the estimates, the adjusted ones included.

    Args:
        estimates: of the metric.
        given: the other number at ALL_ARMS; numbers by arm are not looked for.
    """
    printed = given.get(ALL_ARMS)
    if printed is None:
        return ()
    found = [
        EstimateMatch(e.method, field, e.treatment, e.look, number)
        for e in estimates
        for field in _FIELDS
        if (number := getattr(e, field)) is not None and printed.agrees(number)
    ]
    return tuple(dict.fromkeys(found))
