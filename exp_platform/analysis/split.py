"""Did the arms get the units that were planned for them?"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from exp_platform.analysis.arguments import check_number
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
        UsageError: an arm that was not planned, a frame without its column, units that
            are no whole numbers of 0 or more, or a share that is not positive.
    """
    if isinstance(data, Mapping):
        counts = data
    else:
        counts, weights = _count(data, variant), name_shares(weights)
    shares = read_weights(weights, counts)
    if not shares:
        raise UsageError(
            "there are no arms", allowed="units by arm, as {'a': 1, 'b': 1}"
        )
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
        UsageError: as `check_srm`; units that fall from look to look, or an arm that
            is missing after it was there.
    """
    if not isinstance(looks, Sequence) or not all(
        isinstance(look, Mapping) for look in looks
    ):
        raise UsageError(
            "looks are not units by arm",
            found=repr(looks)[:80],
            allowed="a list of mappings, as [{'a': 10, 'b': 12}, ...]",
        )
    arms = dict.fromkeys(arm for look in looks for arm in look)
    shares = read_weights(weights, arms)
    cumulative = [_order(look, shares) for look in looks]
    for place, (before, after) in enumerate(pairwise(looks), start=2):
        _require_growth(before, after, place)
    return track_split(cumulative, list(shares.values()))


def _require_growth(
    before: Mapping[str, int], after: Mapping[str, int], place: int
) -> None:
    for arm, units in before.items():
        if arm not in after or after[arm] < units:
            raise UsageError(
                f"the units of the arm {arm!r} fall",
                where=f"look {place}",
                found=f"{units}, then {after.get(arm, 'nothing')}",
                allowed="cumulative units, of every arm at every look",
            )


def read_weights(
    weights: Mapping[str, float] | None, arms: Iterable[str]
) -> dict[str, float]:
    """Planned shares by arm, equal where none are given.

    Args:
        weights: as given, on any scale.
        arms: the arms there are.

    Raises:
        UsageError: no mapping, or a share that is not positive.
    """
    if weights is not None and not isinstance(weights, Mapping):
        raise UsageError(
            "weights are no shares by arm",
            found=repr(weights)[:80],
            allowed="a mapping, as {'a': 1, 'b': 1}",
        )
    shares = dict(weights or dict.fromkeys(arms, 1.0))
    for arm, share in shares.items():
        check_number(f"the share of the arm {arm!r}", share, 0)
    return shares


def name_shares(weights: Any) -> Any:
    """The same shares by the arms' names as a frame's are read: numbers as text.

    Args:
        weights: as given.
    """
    if not isinstance(weights, Mapping):
        return weights
    return {str(arm): share for arm, share in weights.items()}


def find_share(shares: Mapping[str, float], arm: str) -> float:
    """Planned share of an arm.

    Args:
        shares: from `read_weights`.
        arm: by name.

    Raises:
        UsageError: none was planned.
    """
    if arm not in shares:
        raise UsageError(
            f"no share is planned for the arm {arm!r}",
            allowed=did_you_mean(str(arm), [str(one) for one in shares]),
        )
    return shares[arm]


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
        find_share(shares, arm)
        check_number(f"the units of the arm {arm!r}", counts[arm], 0, is_closed=True)
        if counts[arm] != int(counts[arm]):
            raise UsageError(
                f"the units of the arm {arm!r} are no whole number",
                found=repr(counts[arm]),
                allowed="units that were counted",
            )
    return [int(counts.get(arm, 0)) for arm in shares]
