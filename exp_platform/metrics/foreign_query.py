"""A SELECT that somebody else wrote: what it may be, and which tables it reads."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from exp_platform.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from sqlglot.expressions.core import Expr

MAX_LENGTH = 100_000
CATALOG, NAMESPACE = "iceberg", "exp"
_ROW_SOURCES = frozenset({"unnest", "generate_series", "range"})
_NEXT = "write one SELECT over the published tables, such as exp.outcomes"


def find_tables(text: str, known: Collection[str]) -> tuple[str, ...]:
    """The published tables that one SELECT reads.

    Whether it is one statement is for the engine's own parser to say; here every name
    it reads from must be a published table or a part of the query itself.

    Args:
        text: as it was written.
        known: published tables, without `exp.`.

    Raises:
        UsageError: not one SELECT, or it reads something else: a file, a function.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    if len(text) > MAX_LENGTH:
        raise _refuse("the query is too long", f"{len(text)} characters")
    try:
        trees = [tree for tree in sqlglot.parse(text, read="duckdb") if tree]
    except (SqlglotError, RecursionError) as error:
        raise _refuse("the query cannot be read", str(error)[:200]) from error
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        kinds = ", ".join(type(tree).__name__ for tree in trees)
        raise _refuse("this is not one SELECT", kinds or "nothing")
    own = {cte.alias_or_name.lower() for cte in trees[0].find_all(exp.CTE)}
    read = {_read_name(table, own, known) for table in trees[0].find_all(exp.Table)}
    return tuple(sorted(read - {""}))


def _read_name(table: "Expr", own: Collection[str], known: Collection[str]) -> str:
    """A published table; empty for a part of the query itself."""
    from sqlglot import exp

    source = table.this
    if not isinstance(source, exp.Identifier):
        name = source.name if isinstance(source, exp.Anonymous) else source.key
        if name.lower().replace("_", "") in _ROW_SOURCES | {"generateseries"}:
            return ""
        raise _refuse("a query may not read from a function", name.lower())
    name, schema = source.name, table.text("db").lower()
    catalog = table.text("catalog").lower()
    if not schema and name.lower() in own:
        return ""
    is_ours = schema in ("", NAMESPACE) and catalog in ("", CATALOG)
    if not is_ours or name.lower() not in known:
        full = ".".join(part for part in (catalog, schema, name) if part)
        raise UsageError(
            "the query reads something that is not a published table",
            found=full[:200],
            allowed=did_you_mean(name, known),
            next_step=_NEXT,
        )
    return name.lower()


def _refuse(what: str, found: str) -> UsageError:
    return UsageError(what, found=found, allowed="one SELECT", next_step=_NEXT)
