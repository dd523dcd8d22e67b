"""How numbers read in messages for people; the same in checks and decisions."""

from collections.abc import Iterable

from exp_platform.records import Estimate

_GRAINS = frozenset({"day", "month", "quarter", "year"})


def format_share(share: float) -> str:
    """A share from 0 to 1 as a percentage with three digits.

    >>> format_share(0.01234), format_share(0.00001), format_share(0.0)
    ('1.23 %', '< 0.01 %', '0 %')
    """
    percent = 100 * share
    if 0 < abs(percent) < 0.01:
        return "< 0.01 %"
    return f"{percent:.3g} %" if abs(percent) < 100 else f"{percent:.0f} %"


def format_p(p_value: float) -> str:
    """A p-value with its letter.

    >>> format_p(0.03214), format_p(1e-9)
    ('p = 0.032', 'p < 0.0001')
    """
    return "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"


def format_count(count: int, noun: str) -> str:
    """A count with its noun, which takes an s for any number but one.

    >>> format_count(12345, "row"), format_count(1, "unit")
    ('12,345 rows', '1 unit')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_number(number: float) -> str:
    """A measured number with four digits, thousands separated.

    >>> format_number(49854.0), format_number(-1.157488), format_number(3e-9)
    ('49,854', '-1.157', '3e-09')
    """
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def join_words(words: Iterable[str]) -> str:
    """A list as people say it.

    >>> join_words(["a", "b", "c"]), join_words(["a"])
    ('a, b and c', 'a')
    """
    listed = list(words)
    if len(listed) < 2:
        return "".join(listed)
    return ", ".join(listed[:-1]) + " and " + listed[-1]


def name_period(estimates: Iterable[Estimate]) -> str:
    """What one step of time is called: `day`, or the grain of a ready-made panel.

    Args:
        estimates: of one run; those of a panel carry its grain.
    """
    grains = (estimate.details.get("grain") for estimate in estimates)
    grain = next((str(grain) for grain in grains if grain), "day")
    return grain if grain in _GRAINS else "period"
