"""Rows as arrays, before they become tables."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from exp_platform.synth.arrays import Flags, Floats, Ints

METRICS = ("sessions", "conversion", "revenue", "support_contacts")


@dataclass(frozen=True, slots=True)
class ExposureRows:
    """One entry per exposure event: user, arm met, instant."""

    user: Ints
    is_treatment: Flags
    at_ms: Ints

    def take(self, positions: np.ndarray) -> "ExposureRows":
        """The rows at these positions, or those flagged."""
        return ExposureRows(
            self.user[positions], self.is_treatment[positions], self.at_ms[positions]
        )

    def append(self, other: "ExposureRows") -> "ExposureRows":
        """These rows, then the others."""
        return ExposureRows(
            np.concatenate((self.user, other.user)),
            np.concatenate((self.is_treatment, other.is_treatment)),
            np.concatenate((self.at_ms, other.at_ms)),
        )


@dataclass(frozen=True, slots=True)
class OutcomeRows:
    """One entry per row.

    Attributes:
        user: position of the user. metric: position in METRICS.
        value: observed value.
        at_ms, received_ms: instant of the event and of its collection.
    """

    user: Ints
    metric: Ints
    value: Floats
    at_ms: Ints
    received_ms: Ints

    def take(self, positions: np.ndarray) -> "OutcomeRows":
        """The rows at these positions, or those flagged."""
        return OutcomeRows(*(getattr(self, f.name)[positions] for f in fields(self)))


def write_rows(
    metric: str, user: Ints, at_ms: Ints, delay_ms: Ints, value: Floats | None = None
) -> OutcomeRows:
    """Write rows of one metric; without values each is 1."""
    return OutcomeRows(
        user=user,
        metric=np.full(user.size, METRICS.index(metric)),
        value=np.ones(user.size) if value is None else value,
        at_ms=at_ms,
        received_ms=at_ms + delay_ms,
    )


def join_rows(parts: Sequence[OutcomeRows]) -> OutcomeRows:
    """Put rows below one another."""
    return OutcomeRows(
        *(
            np.concatenate([getattr(part, f.name) for part in parts])
            for f in fields(OutcomeRows)
        )
    )
