"""Values of repeated command-line flags, e.g. `NAME=VALUE`."""

from collections.abc import Iterable
from datetime import UTC, datetime

from exp_platform.errors import UsageError
from exp_platform.pipelines.import_request import LongColumns


def read_metrics(values: Iterable[str]) -> dict[str, str]:
    """`COL` or `COL:type`; a name with a colon needs its type.

    Returns:
        Metric -> type, "" = infer.
    """
    found: dict[str, str] = {}
    for value in values:
        name, _, kind = value.rpartition(":") if ":" in value else (value, "", "")
        if not name or name in found:
            raise UsageError(
                "--metric names a column once",
                found=value,
                allowed="COL or COL:type, type mean, count or proportion",
            )
        found[name] = kind
    return found


def read_pairs(flag: str, values: Iterable[str] | None) -> dict[str, str]:
    """`NAME=VALUE`, each name once."""
    found: dict[str, str] = {}
    for value in values or ():
        name, mark, right = value.partition("=")
        if not (name and mark and right) or name in found:
            raise UsageError(
                f"{flag} takes NAME=VALUE, each name once", found=repr(value)
            )
        found[name] = right
    return found


def read_lists(flag: str, values: Iterable[str] | None) -> dict[str, tuple[str, ...]]:
    """`NAME=VALUE`, several values of a name in their order."""
    found: dict[str, tuple[str, ...]] = {}
    for value in values or ():
        for name, right in read_pairs(flag, [value]).items():
            if right in found.get(name, ()):
                raise UsageError(
                    f"{flag} takes each NAME=VALUE once", found=repr(value)
                )
            found[name] = (*found.get(name, ()), right)
    return found


def read_numbers(flag: str, values: Iterable[str] | None) -> dict[str, float]:
    """`NAME=NUMBER`, above 0."""
    found: dict[str, float] = {}
    for name, text in read_pairs(flag, values).items():
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not 0 < number < float("inf"):
            raise UsageError(
                f"{flag} takes NAME=NUMBER, a number above 0", found=f"{name}={text}"
            )
        found[name] = number
    return found


def read_ratios(values: Iterable[str] | None) -> dict[str, tuple[str, str]]:
    """`NAME=NUMERATOR/DENOMINATOR`."""
    found: dict[str, tuple[str, str]] = {}
    for name, text in read_pairs("--ratio", values).items():
        numerator, _, denominator = text.partition("/")
        if not numerator or not denominator:
            raise UsageError("--ratio takes NAME=METRIC/METRIC", found=f"{name}={text}")
        found[name] = (numerator, denominator)
    return found


def read_long(
    metric: str | None, value: str | None, outcome_ts: str | None
) -> LongColumns | None:
    """The three columns of a long file, or None when none is named."""
    named = (metric, value, outcome_ts)
    if metric and value and outcome_ts:
        return LongColumns(metric, value, outcome_ts)
    if any(named):
        raise UsageError(
            "a long file needs all three of its columns",
            allowed="--metric-column, --value-column and --outcome-ts",
        )
    return None


def read_instant(value: datetime | None) -> datetime | None:
    """An instant in UTC; without a zone it is UTC."""
    if value is None:
        return None
    return value.replace(tzinfo=value.tzinfo or UTC).astimezone(UTC)
