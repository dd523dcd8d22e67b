"""Filters and values over the columns of one row, as text that is never trusted.

An expression is parsed into a tree, each node must be on the allow-list, and the SQL is
written anew from it. No part of the text reaches an engine as it was typed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from exp_platform.lake.types import quote_text
from exp_platform.metrics.expression_writer import (
    Columns,
    Writer,
    Written,
    as_number,
    name_kind,
    refuse,
)

if TYPE_CHECKING:
    from sqlglot.expressions.core import Expr

MAX_LENGTH = 2000
_MAX_TOKENS = 400
_MAX_DEPTH = 40
_KEYWORDS = frozenset(
    {"and", "or", "not", "in", "between", "is", "null", "true", "false"}
    | {"case", "when", "then", "else", "end", "cast", "as"}
)
_OWN_COLUMNS = frozenset({"value", "ts", "event"})
_DEPTHS = {"L_PAREN": 1, "CASE": 1, "R_PAREN": -1, "END": -1}
_STRANGERS = ("SEMICOLON", "IDENTIFIER", "PARAMETER", "PLACEHOLDER")

OUTCOME_COLUMNS = Columns()


def write_filter(text: str, columns: Columns = OUTCOME_COLUMNS) -> str:
    """The SQL of a yes-or-no expression.

    Args:
        text: as a definition has it.
        columns: what its names mean.

    Raises:
        UsageError: not one expression, a part that is not on the allow-list, or kinds
            that do not fit.
    """
    written = _write(text, columns)
    if written.kind != "boolean":
        raise refuse(text, "a filter says yes or no", name_kind(written.kind))
    return written.sql


def write_value(text: str, columns: Columns = OUTCOME_COLUMNS) -> str:
    """The SQL of an expression for a number, as a double.

    Args:
        text: as a definition has it.
        columns: what its names mean.

    Raises:
        UsageError: as for a filter.
    """
    number = as_number(_write(text, columns))
    if number.kind != "number":
        raise refuse(text, "a value is a number", name_kind(number.kind))
    return number.sql if number.is_double else f"cast({number.sql} as double)"


def write_key(text: str, columns: Columns = OUTCOME_COLUMNS) -> str:
    """The SQL of an expression whose values are only told apart: number or text.

    Raises:
        UsageError: as for a filter.
    """
    written = _write(text, columns)
    if written.kind not in ("number", "text", "property"):
        raise refuse(text, "a value is a number or a text", name_kind(written.kind))
    return written.sql


def may_be_null(text: str, columns: Columns = OUTCOME_COLUMNS) -> bool:
    """Some row may have no such value: a property it lacks, a division by zero."""
    return as_number(_write(text, columns)).may_be_null


def normalise(text: str) -> str:
    """The same expression in even layout, so that blanks and capitals mean nothing.

    Raises:
        UsageError: not one expression.
    """
    tokens = _tokenise(text)
    written = ""
    for before, token, after in zip(
        [None, *tokens], tokens, [*tokens[1:], None], strict=False
    ):
        is_joined = token.text in (".", ",", ")") or (
            before is not None and before.text in (".", "(")
        )
        is_call = token.text == "(" and before is not None and _is_name(before)
        blank = "" if not written or is_joined or is_call else " "
        written += blank + _layout(before, token, after)
    return written


def _is_name(token: Any) -> bool:
    is_word = str(token.text).isidentifier() and token.token_type.name != "STRING"
    return is_word and token.text.lower() not in _KEYWORDS - {"cast"}


def _layout(before: Any, token: Any, after: Any) -> str:
    """A token's text; what has no capitals of its own in small letters."""
    text = str(token.text)
    if token.token_type.name == "STRING":
        return quote_text(text)
    is_property = before is not None and before.text == "."
    is_function = after is not None and after.text == "("
    is_known = text.lower() in _KEYWORDS | _OWN_COLUMNS
    if not is_property and (is_function or is_known):
        return text.lower()
    return text


def _write(text: str, columns: Columns) -> Written:
    tree = _parse(text)
    try:
        return Writer(text, columns).write(tree)
    except RecursionError:
        raise refuse(text, "nested too deeply", "no end in sight") from None


def _parse(text: str) -> "Expr":
    import sqlglot
    from sqlglot.errors import SqlglotError

    _tokenise(text)
    try:
        trees = sqlglot.parse(text, read="duckdb")
    except (SqlglotError, RecursionError) as error:
        raise refuse(text, "this is no expression", _first_line(error)) from error
    if len(trees) != 1 or trees[0] is None:
        raise refuse(text, "this is not one expression", f"{len(trees)} statements")
    return trees[0]


def _tokenise(text: str) -> Sequence[Any]:
    """Tokens of a text that has no comment, no second statement, no quoted name."""
    from sqlglot.dialects.duckdb import DuckDB
    from sqlglot.errors import SqlglotError

    if len(text) > MAX_LENGTH:
        raise refuse(text, "too long", f"{len(text)} characters, at most {MAX_LENGTH}")
    if any(not (mark.isprintable() or mark in "\n\t") for mark in text):
        raise refuse(text, "a control character", repr(text)[:80])
    try:
        tokens: Sequence[Any] = DuckDB().tokenize(text)
    except (SqlglotError, RecursionError) as error:
        raise refuse(text, "this is no expression", _first_line(error)) from error
    if not tokens:
        raise refuse(text, "an empty expression", repr(text)[:80])
    for token in tokens:
        if token.comments:
            raise refuse(text, "a comment", repr(token.comments[0])[:80])
        if token.token_type.name in _STRANGERS:
            raise refuse(text, "this sign does not belong here", repr(token.text))
    _check_size(text, tokens)
    return tokens


def _check_size(text: str, tokens: Sequence[Any]) -> None:
    depth = deepest = 0
    for token in tokens:
        depth += _DEPTHS.get(token.token_type.name, 0)
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH:
        raise refuse(text, "nested too deeply", f"{deepest} levels")
    if len(tokens) > _MAX_TOKENS:
        raise refuse(text, "too long", f"{len(tokens)} words, at most {_MAX_TOKENS}")


def _first_line(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if details:
        what = str(details[0]["description"])
        # sqlglot names its own classes
        what = "a part is missing" if what.startswith("Required keyword") else what
        return f"{what} at character {details[0]['col']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
