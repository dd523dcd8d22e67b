"""Two numbers that should be one: how they are read, and what lies between them.

A departure is one rule of the metric that somebody may not have followed. Which rules
there are, and what a metric is without one of them, is not known here: `evaluate` says it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from itertools import combinations

from exp_platform.errors import UsageError

ALL_ARMS = ""
"""Stands for all arms together where a variant is named."""

FLOAT_ROOM = 1e-9
"""Relative; sums of the same doubles in another order differ by far less."""

_MOST_DIGITS = 60


class Statistic(StrEnum):
    """What a number says of a metric."""

    UNITS = "units"
    TOTAL = "total"
    DENOMINATOR = "denominator"
    MEAN = "mean"
    DIFFERENCE = "difference"
    LIFT = "lift"

    @property
    def is_of_pair(self) -> bool:
        """It compares a treatment with control."""
        return self in (Statistic.DIFFERENCE, Statistic.LIFT)


@dataclass(frozen=True, slots=True)
class ArmNumbers:
    """One arm of one metric.

    Attributes:
        n: units. total: sum of their values.
        denominator: sum below the line of a ratio; None = no ratio.
        quantile: order statistic of a quantile metric; None = none, or no values.
        is_quantile: the arm's value is that order statistic, and nothing adds up.
    """

    n: int
    total: float
    denominator: float | None = None
    quantile: float | None = None
    is_quantile: bool = False

    @property
    def mean(self) -> float | None:
        """What results call the arm's mean: mean, share, ratio or quantile."""
        if self.is_quantile:
            return self.quantile
        below = self.n if self.denominator is None else self.denominator
        return self.total / below if below > 0 else None


Numbers = Mapping[str, ArmNumbers]
Combination = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Printed:
    """A number as somebody wrote it down.

    Attributes:
        tolerance: half a unit of its last digit, or rounding of doubles if larger.
    """

    value: float
    tolerance: float

    def agrees(self, number: float | None) -> bool:
        """Could the number have been printed so?"""
        return number is not None and abs(number - self.value) <= self.tolerance


@dataclass(frozen=True, slots=True)
class Claim:
    """A reading of somebody else's number.

    Attributes:
        statistic: what it would be.
        numbers: by variant; all of them must be met at once.
    """

    statistic: Statistic
    numbers: Mapping[str, Printed]


@dataclass(frozen=True, slots=True)
class Option:
    """A departure that may be combined with others.

    Attributes:
        code: its name.
        group: departures of one group exclude each other; "" = none.
        is_alone: it is not tried together with others.
    """

    code: str
    group: str = ""
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Departures that lead from our number to the other one."""

    claim: Claim
    combination: Combination


@dataclass(frozen=True, slots=True)
class Search:
    """What was tried, and what was found.

    Attributes:
        explanations: of the smallest size at which there is one; all of that size.
        n_tried: combinations evaluated, the empty one included.
        size: departures in the largest combination tried.
    """

    explanations: tuple[Explanation, ...]
    n_tried: int
    size: int


def read_printed(text: str) -> Printed:
    """A number with the room that its digits leave.

    Args:
        text: digits with a point, an exponent or a percent sign: 12.50, 1.2e6, 4.1%.

    Raises:
        UsageError: it is no number.

    >>> read_printed("12.50").agrees(12.504)
    True
    """
    written = text.strip()
    is_share = written.endswith("%")
    digits = written.removesuffix("%").strip()
    try:
        number = Decimal(digits)
    except InvalidOperation:
        raise _no_number(text) from None
    exponent = number.as_tuple().exponent
    is_plain = len(digits) <= _MOST_DIGITS and "_" not in digits
    if not is_plain or not isinstance(exponent, int) or abs(number.adjusted()) > 300:
        raise _no_number(text)
    scale = 0.01 if is_share else 1.0
    value = float(number) / 100 if is_share else float(number)
    # a number right between two digits may be off by a last bit
    room = 0.5 * scale * 10.0**exponent * (1 + FLOAT_ROOM)
    return measure_exactly(value, room=room)


def measure_exactly(value: float, *, room: float = 0.0) -> Printed:
    """A number that is known to its last digit, but for the order of a sum.

    Args:
        value: the number.
        room: how far off it may be; rounding of doubles if that is more.
    """
    return Printed(value, max(room, FLOAT_ROOM * abs(value)))


def _no_number(text: str) -> UsageError:
    return UsageError(
        "this is not a number",
        found=repr(text)[:80],
        allowed="digits with a point for decimals: 12.50, 1.2e6, 4.1%",
        next_step="write it without blanks and without marks between thousands",
    )


def find_number(
    numbers: Numbers, statistic: Statistic, variant: str, *, control: str
) -> float | None:
    """One number of a metric; None where it does not exist.

    Args:
        numbers: every arm's.
        statistic: which.
        variant: of this arm, or ALL_ARMS; a comparison is of a treatment.
        control: the arm that a treatment is compared with.
    """
    arm = _pool(numbers) if variant == ALL_ARMS else numbers[variant]
    if statistic.is_of_pair:
        return _compare(arm.mean, numbers[control].mean, statistic)
    found = {
        Statistic.UNITS: float(arm.n),
        Statistic.TOTAL: None if arm.is_quantile else arm.total,
        Statistic.DENOMINATOR: arm.denominator,
        Statistic.MEAN: arm.mean,
    }
    return found[statistic]


def _compare(
    mean: float | None, base: float | None, statistic: Statistic
) -> float | None:
    """Treatment minus control, or that in shares of a positive control."""
    if mean is None or base is None:
        return None
    if statistic is Statistic.DIFFERENCE:
        return mean - base
    return (mean - base) / base if base > 0 else None


def _pool(numbers: Numbers) -> ArmNumbers:
    arms = list(numbers.values())
    below = [arm.denominator for arm in arms if arm.denominator is not None]
    return ArmNumbers(
        n=sum(arm.n for arm in arms),
        total=sum(arm.total for arm in arms),
        denominator=sum(below) if below else None,
        is_quantile=any(arm.is_quantile for arm in arms),
    )


def is_met(claim: Claim, numbers: Numbers, *, control: str) -> bool:
    """Are these the numbers that were claimed?"""
    return all(
        printed.agrees(find_number(numbers, claim.statistic, variant, control=control))
        for variant, printed in claim.numbers.items()
    )


def find_nearest(claims: Sequence[Claim], numbers: Numbers, *, control: str) -> Claim:
    """The reading whose numbers lie nearest to ours, relative to their size.

    Args:
        claims: at least one.
        numbers: ours.
        control: the control arm.
    """

    def distance(claim: Claim) -> float:
        """How far a claim's printed numbers lie from these."""
        parts = [
            _relative_gap(
                printed.value,
                find_number(numbers, claim.statistic, variant, control=control),
            )
            for variant, printed in claim.numbers.items()
        ]
        return max(parts)

    return min(claims, key=distance)


def _relative_gap(theirs: float, ours: float | None) -> float:
    if ours is None:
        return float("inf")
    size = max(abs(theirs), abs(ours))
    return abs(theirs - ours) / size if size > 0 else 0.0


def find_explanations(
    claims: Sequence[Claim],
    options: Sequence[Option],
    evaluate: Callable[[Combination], Numbers],
    *,
    control: str,
    depth: int,
) -> Search:
    """The smallest combinations of departures that give the numbers claimed.

    All combinations of a size are tried before the next size, so nothing larger than
    needed is found, and of several equally small ones none is preferred. That a
    combination gives the number does not prove that it was the cause.

    Args:
        claims: readings of the other number; each is as good as another.
        options: departures in the order in which they are applied.
        evaluate: the metric's numbers under a combination.
        control: the control arm.
        depth: departures in the largest combination.
    """
    n_tried = 0
    for size in range(depth + 1):
        found = []
        for combination in _combine(options, size):
            numbers = evaluate(combination)
            n_tried += 1
            found += [
                Explanation(claim, combination)
                for claim in claims
                if is_met(claim, numbers, control=control)
            ]
        if found:
            return Search(tuple(found), n_tried, size)
    return Search((), n_tried, depth)


def _combine(options: Sequence[Option], size: int) -> Iterator[Combination]:
    """Those that do not exclude each other, in the order given."""
    for chosen in combinations(options, size):
        groups = [option.group for option in chosen if option.group]
        is_lonely = size > 1 and any(option.is_alone for option in chosen)
        if len(set(groups)) == len(groups) and not is_lonely:
            yield tuple(option.code for option in chosen)
