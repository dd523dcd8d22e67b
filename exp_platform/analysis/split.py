"""Did the arms get the units that were planned for them?"""

from collections.abc import Mapping, Sequence
from typing import Any

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.pipelines.frames import read_labels, to_arrow
from exp_platform.stats.srm import SplitSequence, SplitTest, assess_split, track_split


def check_srm(
    data: Any, weights: Mapping[str, float] | None = None, *, variant: str | None = None
) -> SplitTest:
    """Is there a sample ratio mismatch? Chi-square, looking once.

    Args:
        data: units by arm, or a frame with one row per unit.
        weights: planned shares by arm, on any scale; None = equal.
        variant: column of the frame with the arm.

    Returns:
        Observed and expected units in the order of `weights` (of `data` without), and
        the p-value: exact where an arm expects fewer than 5 units.

    Raises:
        UsageError: an arm that was not planned, or a frame without its column.
        ContractError: a negative count, or a share that is not positive.
    """
    counts = data if isinstance(data, Mapping) else _count(data, variant)
    shares = weights or dict.fromkeys(counts, 1.0)
    return assess_split(_order(counts, shares), list(shares.values()))


def track_srm(
    looks: Sequence[Mapping[str, int]], weights: Mapping[str, float] | None = None
) -> SplitSequence:
    """The same, looking as often as one likes: an e-value at every look.

    Args:
        looks: cumulative units by arm, the oldest look first.
        weights: planned shares by arm, on any scale; None = equal.

    Returns:
        The e-values, and the p-value that holds at all looks.

    Raises:
        UsageError: an arm that was not planned.
        ContractError: a negative count, or a share that is not positive.
    """
    arms = dict.fromkeys(arm for look in looks for arm in look)
    shares = weights or dict.fromkeys(arms, 1.0)
    return track_split([_order(look, shares) for look in looks], list(shares.values()))


def _count(frame: Any, variant: str | None) -> dict[str, int]:
    import numpy as np

    if variant is None:
        raise UsageError(
            "a frame needs variant", allowed="variant=COLUMN, or counts by arm"
        )
    arms, counts = np.unique(read_labels(to_arrow(frame), variant), return_counts=True)
    return dict(zip(arms.tolist(), counts.tolist(), strict=True))


def _order(counts: Mapping[str, int], shares: Mapping[str, float]) -> list[int]:
    for arm in counts:
        if arm not in shares:
            raise UsageError(
                f"no share is planned for the arm {arm!r}",
                allowed=did_you_mean(str(arm), [str(one) for one in shares]),
            )
    return [int(counts.get(arm, 0)) for arm in shares]
