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


_DIGITS = range(2, 8)


def format_p(p_value: float, level: float | None = None) -> str:
    """A p-value with its letter, on the side of its level where it stands.

    >>> format_p(0.03214), format_p(1e-9), format_p(0.0502, 0.05)
    ('p = 0.032', 'p < 0.0001', 'p = 0.0502')
    """
    if p_value < 0.0001:
        return "p < 0.0001"
    texts = [f"{p_value:.{digits}g}" for digits in _DIGITS]
    if level is None:
        return f"p = {texts[0]}"
    # The level is shown too, with three digits.
    shown, is_within = float(f"{level:.3g}"), p_value <= level
    told = (text for text in texts if (float(text) <= shown) is is_within)
    return f"p = {next(told, texts[0])}"


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
