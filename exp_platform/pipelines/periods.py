"""Periods of a ready-made panel: labels as delivered, and the instants they stand for.

A label is mapped to the instant its period begins with. The mapping depends on the
labels alone, so that the same panel always gives the same rows.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from exp_platform.errors import UsageError

FIRST_STEP = datetime(2000, 1, 1, tzinfo=UTC)
"""Instant of the first period when periods are plain numbers; one day per step."""

NEVER = frozenset({"", "never", "none", "null", "na", "nan", "inf", "-inf", "infinity"})
"""How files say that a unit was never treated, beside a null and (below the first
period) 0 and negative numbers."""

_YEARS = (1970, 2199)
_MOST_STEPS = 70_000
"""Days that instants have room for after `FIRST_STEP`."""
_MONTH = re.compile(r"(\d{4})-(\d{1,2})")
_QUARTER = re.compile(r"(\d{4})[- ]?Q([1-4])|Q([1-4])[- ]?(\d{4})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Periods:
    """A panel's periods in order.

    Attributes:
        grain: what a label is: year, month, quarter, date or step (a plain number).
        labels: as delivered. starts: instants they begin with, UTC.
        numbers: of the period, by every label that was delivered for it.
    """

    grain: str
    labels: tuple[str, ...]
    starts: tuple[datetime, ...]
    numbers: Mapping[str, int] = field(default_factory=dict)

    def place(self, value: str | None, where: str = "") -> int | None:
        """Number of the first period that begins at or after a value; None = never.

        Args:
            value: as delivered.
            where: it stands, for the error.

        Raises:
            UsageError: the value is neither a label of this grain nor a date.
        """
        instant = self.read(value, where)
        if instant is None:
            return None
        number = bisect_left(self.starts, instant)
        return number if number < len(self.starts) else None

    def read(self, value: str | None, where: str = "") -> datetime | None:
        """The instant a value stands for; None = never.

        Args:
            value: as delivered.
            where: it stands, for the error.

        Raises:
            UsageError: the value is neither a label of this grain nor a date.
        """
        word = (value or "").strip()
        if word.lower() in NEVER or self._is_zero(word):
            return None
        self._require_zone(word, value, where)
        first = min(map(_whole, self.labels)) if self.grain == "step" else 0
        instant = _READERS[self.grain](word, first)
        # A plain number has no place in the calendar that a date could be compared with.
        if instant is None and self.grain != "step":
            instant = _read_date(word, 0)
        if instant is None:
            raise UsageError(
                "not a period of this panel, nor a date",
                where=where,
                found=repr(value),
                allowed=f"a {self.grain} like {self.labels[0]}, "
                + ("" if self.grain == "step" else "an ISO date, ")
                + "or nothing",
                next_step="correct it there",
            )
        return instant

    def _require_zone(self, word: str, value: str | None, where: str) -> None:
        """A date of no zone lies hours beside periods that begin at a zone's midnight."""
        if self.grain != "date" or not any(map(_has_zone, self.labels)):
            return
        is_utc = all(start.time() == time.min for start in self.starts)
        if is_utc or _read_date(word, 0) is None or _has_zone(word):
            return
        raise UsageError(
            "a date without a time zone beside periods that have one",
            where=where,
            found=repr(value),
            allowed=f"an instant like {self.labels[0]}",
            next_step="write it as the instant at which the period begins, with its "
            "offset; or turn the periods into plain dates",
        )

    def _is_zero(self, word: str) -> bool:
        """A number at or below 0 says `never`, unless periods themselves go there."""
        try:
            number = float(word)
        except ValueError:
            return False
        lowest = min(map(_whole, self.labels)) if self.grain == "step" else 1
        return number <= 0 < lowest


def read_periods(labels: Iterable[str], where: str) -> Periods:
    """Which instants do these labels stand for?

    Labels of one instant, as 2004-03 and 200403, are one period.

    Args:
        labels: distinct, in any order; whole numbers without a fraction.
        where: they stand, for the error.

    Raises:
        UsageError: labels of no known kind, or of several; numbers too far apart.
    """
    found = sorted(set(labels))
    if all(re.fullmatch(r"-?\d{1,15}", label) for label in found) and found:
        numbers = [int(label) for label in found]
        grain = _grain_of_numbers(numbers)
        if grain == "step" and max(numbers) - min(numbers) > _MOST_STEPS:
            _refuse_far(min(numbers), max(numbers), where)
        return _order(grain, found, min(numbers))
    for grain in ("date", "month", "quarter"):
        if found and all(_READERS[grain](label, 0) for label in found):
            return _order(grain, found, 0)
    raise UsageError(
        "the time column holds no periods that can be read",
        where=where,
        found=", ".join(found[:5]) or "nothing",
        allowed="years (2004), months (2004-03, 200403), quarters (2004Q1), ISO dates, "
        "or whole numbers; one kind in all rows",
        next_step="name another column, or correct this one",
    )


def _refuse_far(first: int, last: int, where: str) -> None:
    raise UsageError(
        "the numbers of the periods lie too far apart",
        where=where,
        found=f"{first} to {last}",
        allowed=f"numbers of which the last is at most {_MOST_STEPS:,} above the first",
        next_step="write days as ISO dates (2004-03-31), seconds as ISO instants, or "
        "number the periods 1, 2, 3 ...",
    )


def _grain_of_numbers(numbers: list[int]) -> str:
    if all(_YEARS[0] <= number <= _YEARS[1] for number in numbers):
        return "year"
    if all(
        _YEARS[0] <= number // 100 <= _YEARS[1] and 1 <= number % 100 <= 12
        for number in numbers
    ):
        return "month"
    return "step"


def _order(grain: str, labels: list[str], first: int) -> Periods:
    pairs = [(_READERS[grain](label, first), label) for label in labels]
    known = sorted((instant, label) for instant, label in pairs if instant is not None)
    names = dict(reversed(known))
    starts = tuple(sorted(names))
    places = {start: number for number, start in enumerate(starts)}
    return Periods(
        grain,
        tuple(names[start] for start in starts),
        starts,
        {label: places[instant] for instant, label in known},
    )


def _whole(word: str) -> int:
    return int(float(word))


def _read_number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _read_year(word: str, _first: int) -> datetime | None:
    number = _read_number(word)
    if number is None or not _YEARS[0] <= number <= _YEARS[1] + 1:
        return None
    # A year with a fraction lies after the year's start: the next period is the first.
    year = math.ceil(number)
    return datetime(year, 1, 1, tzinfo=UTC)


def _read_step(word: str, first: int) -> datetime | None:
    number = _read_number(word)
    if number is None or abs(number - first) > _MOST_STEPS:
        return None
    return FIRST_STEP + timedelta(days=math.ceil(number) - first)


def _read_month(word: str, _first: int) -> datetime | None:
    match = _MONTH.fullmatch(word)
    year, month = (int(match[1]), int(match[2])) if match else (0, 0)
    if not match and word.isdigit() and len(word) == 6:
        year, month = int(word[:4]), int(word[4:])
    if not (1 <= month <= 12 and _YEARS[0] <= year <= _YEARS[1]):
        return None
    return datetime(year, month, 1, tzinfo=UTC)


def _read_quarter(word: str, _first: int) -> datetime | None:
    match = _QUARTER.fullmatch(word)
    if match is None:
        return None
    year, quarter = (match[1], match[2]) if match[1] else (match[4], match[3])
    return datetime(int(year), 3 * int(quarter) - 2, 1, tzinfo=UTC)


def _has_zone(word: str) -> bool:
    return datetime.fromisoformat(word).tzinfo is not None


def _read_date(word: str, _first: int) -> datetime | None:
    try:
        instant = datetime.fromisoformat(word)
    except ValueError:
        return None
    if word.isdigit():
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return instant.astimezone(UTC)


_READERS: dict[str, Callable[[str, int], datetime | None]] = {
    "year": _read_year,
    "month": _read_month,
    "quarter": _read_quarter,
    "date": _read_date,
    "step": _read_step,
}
