"""How shares, counts and lists read in messages; the same in checks and decisions."""

from collections.abc import Iterable


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


def join_words(words: Iterable[str]) -> str:
    """A list as people say it.

    >>> join_words(["a", "b", "c"]), join_words(["a"])
    ('a, b and c', 'a')
    """
    listed = list(words)
    if len(listed) < 2:
        return "".join(listed)
    return ", ".join(listed[:-1]) + " and " + listed[-1]
