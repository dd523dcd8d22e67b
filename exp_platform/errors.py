"""Exceptions for broken contracts, one class per exit code of the command line.

A valid negative outcome (too little data, failed pre-trends) is never an exception.
"""

import difflib
import re
from collections.abc import Iterable


class ExpPlatformError(Exception):
    """Something the caller must act on; the message says what to do next.

    Args:
        what: what went wrong, one clause.
        where: the experiment, table, column, file or key concerned.
        found: what was there.
        allowed: what would have been accepted.
        next_step: what to do now.
    """

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        found: str = "",
        allowed: str = "",
        next_step: str = "",
    ) -> None:
        self.what = mask_passwords(what)
        parts = {
            "where": where,
            "found": found,
            "allowed": allowed,
            "next": next_step,
        }
        self.parts = {
            name: mask_passwords(text) for name, text in parts.items() if text
        }
        super().__init__(self.what)

    def __str__(self) -> str:
        lines = [self.what]
        lines += [f"  {name + ':':<9}{text}" for name, text in self.parts.items()]
        return "\n".join(lines)


_IN_URL = re.compile(r"(://[^\s/:@'\"]*:(?!\d+/))[^\s'\"]*@")
"""What stands before a host, up to the last `@`; not a port with a path behind it."""
_IN_QUERY = re.compile(r"([?&]password=)[^&\s'\"]*", re.IGNORECASE)


def mask_passwords(text: str) -> str:
    """A text whose URLs are fit to be shown, to people and in logs."""
    return _IN_QUERY.sub(r"\1***", _IN_URL.sub(r"\1***@", text))


class UsageError(ExpPlatformError):
    """A command, option or configuration that cannot be carried out (exit code 2)."""

    exit_code = 2


class ContractError(ExpPlatformError):
    """Data that break a contract as a whole: a file, a column, a table (exit code 3)."""

    exit_code = 3


class UnpublishedError(ContractError):
    """Nobody published what is asked for; nothing is broken (exit code 3)."""


class StorageError(ExpPlatformError):
    """The lake or an engine failed: lock, disk, catalog, query (exit code 4)."""

    exit_code = 4


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """Name the known words nearest to a mistyped one, or list some of them.

    Args:
        word: as it was given, which may be no text at all.
        known: what would have been accepted.
    """
    words = sorted(map(str, known))
    near = difflib.get_close_matches(str(word), words, n=3, cutoff=0.6)
    if near:
        return "did you mean " + " or ".join(repr(name) for name in near) + "?"
    shown = ", ".join(words[:12])
    return f"known: {shown}" + (", ..." if len(words) > 12 else "")
