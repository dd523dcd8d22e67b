"""The SQL of an expression, written node by node from an allow-list.

Each node has a rule or the expression is refused. Kinds are checked on the way, so that
no engine has to guess what a comparison of text with a number means.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.lake.types import quote_text, write_number

if TYPE_CHECKING:
    from sqlglot.expressions.core import Expr

Kind = Literal["number", "text", "boolean", "instant", "property", "null"]

ALLOWED = (
    "numbers, 'text', true, false, null; event, ts, value, properties.NAME; and, or, "
    "not, in, between, is null; = <> < <= > >=; + - * /; case, coalesce, lower, upper, "
    "length, abs, round, least, greatest, cast(... as double)"
)
_LARGEST = 1e100
_MAX_DECIMALS = 6
_MAX_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Columns:
    """Where the columns of an expression stand in a relation.

    Attributes:
        value, ts, event: SQL of a row's number, of its instant in microseconds since
            1970 and of its name.
        properties: SQL of the map from property to text; "" = rows have none.
    """

    value: str = "value"
    ts: str = "outcome_us"
    event: str = "metric_name"
    properties: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """One part of an expression, written as SQL.

    Attributes:
        is_double: surely a double, so that a division is none of integers.
        may_be_null: some row may have no such thing.
        text: of a literal text.
    """

    sql: str
    kind: Kind
    is_double: bool = False
    may_be_null: bool = False
    text: str | None = None


def refuse(
    expression: str, what: str, found: str, allowed: str = ALLOWED
) -> UsageError:
    """The error of an expression that cannot be used."""
    return UsageError(
        f"{what}, in the expression {expression[:120]!r}",
        found=found,
        allowed=allowed,
        next_step="write it with the parts that are allowed",
    )


def name_kind(kind: Kind) -> str:
    """What a kind is called in an error."""
    names = {"boolean": "yes or no", "instant": "an instant", "property": "a text"}
    return names.get(kind, f"a {kind}")


def as_number(part: Written) -> Written:
    """A property's text as a number; what is none, and infinity, is null."""
    if part.kind != "property":
        return part
    number = f"try_cast({part.sql} as double)"
    sql = f"case when abs({number}) < 1e100 then {number} end"
    return Written(sql, "number", is_double=True, may_be_null=True)


_SIGNS = {"EQ": "=", "NEQ": "<>", "LT": "<", "LTE": "<=", "GT": ">", "GTE": ">="}
_OPERATORS = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/"}
_PAIR = ("this", "expression")
_LIST = ("this", "expressions")

Rule = tuple[tuple[str, ...], Callable[["Expr"], Written]]
"""The arguments a node may have, and what writes it."""


def _name_of(node: "Expr") -> str:
    """What a part of an expression is called in SQL."""
    from sqlglot.expressions import Anonymous, Func

    if isinstance(node, Anonymous):
        return f"{node.name}()"
    return f"{node.sql_name().lower()}()" if isinstance(node, Func) else node.key


class Writer:
    """Writes the SQL of one tree, node by node."""

    def __init__(self, text: str, columns: Columns) -> None:
        self._text = text
        self._columns = columns
        self._rules = self._list_rules()

    def write(self, node: "Expr") -> Written:
        """The SQL of a node, if it is on the allow-list."""
        rule = self._rules.get(type(node).__name__)
        if rule is None:
            raise self._refuse("not allowed here", _name_of(node))
        arguments, write = rule
        extra = {name for name, part in node.args.items() if part} - {*arguments}
        if extra:
            raise self._refuse("not allowed here", ", ".join(sorted(extra)))
        return write(node)

    def _list_rules(self) -> "dict[str, Rule]":
        """The allow-list: node -> the arguments it may have, and what writes it."""
        rules: dict[str, Rule] = {
            "Literal": (("this", "is_string"), self._literal),
            "Boolean": (("this",), self._boolean),
            "Null": ((), self._null),
            "Column": (("this", "table"), self._column),
            "Paren": (("this",), self._paren),
            "And": (_PAIR, self._connect),
            "Or": (_PAIR, self._connect),
            "Not": (("this",), self._negate),
            "Between": (("this", "low", "high"), self._between),
            "In": (_LIST, self._is_in),
            "Is": (_PAIR, self._is_null),
            "Neg": (("this",), self._minus),
            "Case": (("ifs", "default"), self._case),
            "Coalesce": ((*_LIST, "coalesce"), self._coalesce),
            "Least": ((*_LIST, "ignore_nulls"), self._extreme),
            "Greatest": ((*_LIST, "ignore_nulls"), self._extreme),
            "Lower": (("this",), self._change_case),
            "Upper": (("this",), self._change_case),
            "Length": (("this",), self._length),
            "Abs": (("this",), self._absolute),
            "Round": (("this", "decimals"), self._rounded),
            "Cast": (("this", "to"), self._cast),
            "TryCast": (("this", "to", "safe"), self._cast),
        }
        rules |= dict.fromkeys(_SIGNS, (_PAIR, self._compare))
        rules |= dict.fromkeys(_OPERATORS, (_PAIR, self._calculate))
        return rules

    def _literal(self, node: "Expr") -> Written:
        if node.args["is_string"]:
            return Written(quote_text(node.name), "text", text=node.name)
        try:
            number = float(node.name)
        except ValueError:  # the parser takes the sign of 1e3-1 for the exponent's
            raise self._refuse(
                "not a number; a sign behind an exponent needs blanks", node.name
            ) from None
        if not abs(number) < _LARGEST:
            raise self._refuse("this number is too large", node.name)
        is_short = node.name.isdecimal() and len(node.name) <= _MAX_DIGITS
        written = str(int(number)) if is_short else write_number(number)
        return Written(written, "number")

    def _boolean(self, node: "Expr") -> Written:
        return Written("true" if node.this else "false", "boolean")

    def _null(self, _: "Expr") -> Written:
        return Written("null", "null", may_be_null=True)

    def _column(self, node: "Expr") -> Written:
        parts = [part.name for part in node.parts]  # type: ignore[attr-defined]
        for part in parts:
            if not (part.isascii() and part.isidentifier()):
                raise self._refuse("not a column", repr(part))
        if len(parts) == 1 and parts[0].lower() in ("value", "ts", "event"):
            return self._own_column(parts[0].lower())
        of_properties = parts[:-1] == ["properties"]
        if (len(parts) > 1 and not of_properties) or parts == ["properties"]:
            raise self._refuse("not a column", ".".join(parts))
        if not self._columns.properties:
            what = "a row of an outcome has no properties, only value and ts"
            near = did_you_mean(parts[-1], ("value", "ts"))
            raise refuse(self._text, what, parts[-1], near)
        sql = f"{self._columns.properties}[{quote_text(parts[-1])}]"
        return Written(sql, "property", may_be_null=True)

    def _own_column(self, name: str) -> Written:
        if name == "value":
            nullable = bool(self._columns.properties)
            return Written(
                self._columns.value, "number", is_double=True, may_be_null=nullable
            )
        if name == "ts":
            return Written(self._columns.ts, "instant")
        return Written(self._columns.event, "text")

    def _paren(self, node: "Expr") -> Written:
        inner = self.write(node.this)
        return Written(f"({inner.sql})", inner.kind, inner.is_double, inner.may_be_null)

    def _connect(self, node: "Expr") -> Written:
        word = "and" if type(node).__name__ == "And" else "or"
        left, right = (self._flag(part) for part in (node.this, node.expression))
        return Written(f"{left.sql} {word} {right.sql}", "boolean", may_be_null=True)

    def _negate(self, node: "Expr") -> Written:
        inner = self._flag(node.this)
        return Written(f"not ({inner.sql})", "boolean", may_be_null=True)

    def _compare(self, node: "Expr") -> Written:
        sign = _SIGNS[type(node).__name__]
        if any(type(p).__name__ == "Null" for p in (node.this, node.expression)):
            raise self._refuse("nothing equals null; write `is null`", sign)
        pair = self._alike([self._operand(p) for p in (node.this, node.expression)])
        if sign not in ("=", "<>") and pair[0].kind not in ("number", "instant"):
            raise self._refuse(
                "text has no order here; cast both sides to double", sign
            )
        return Written(f"{pair[0].sql} {sign} {pair[1].sql}", "boolean")

    def _between(self, node: "Expr") -> Written:
        nodes = (node.this, node.args["low"], node.args["high"])
        value, low, high = self._alike([self._operand(part) for part in nodes])
        if value.kind not in ("number", "instant"):
            raise self._refuse("text has no order here", "between")
        return Written(f"{value.sql} between {low.sql} and {high.sql}", "boolean")

    def _is_in(self, node: "Expr") -> Written:
        options = node.args.get("expressions") or []
        if not options:
            raise self._refuse("in needs a list of literals", "in")
        for option in options:
            inner = option.this if type(option).__name__ == "Neg" else option
            if type(inner).__name__ not in ("Literal", "Cast"):
                raise self._refuse("in needs a list of literals", option.sql()[:80])
        value, *rest = self._alike([self._operand(p) for p in (node.this, *options)])
        listed = ", ".join(option.sql for option in rest)
        return Written(f"{value.sql} in ({listed})", "boolean")

    def _is_null(self, node: "Expr") -> Written:
        if type(node.expression).__name__ != "Null":
            raise self._refuse("only `is null` and `is not null`", "is")
        return Written(f"{self._operand(node.this).sql} is null", "boolean")

    def _minus(self, node: "Expr") -> Written:
        inner = self._number(node.this)
        sql = f"(-{inner.sql})" if type(node.this).__name__ == "Literal" else ""
        sql = sql or f"(-({inner.sql}))"
        return Written(sql, "number", inner.is_double, inner.may_be_null)

    def _calculate(self, node: "Expr") -> Written:
        left, right = self._number(node.this), self._number(node.expression)
        nullable = left.may_be_null or right.may_be_null
        sign = _OPERATORS[type(node).__name__]
        above = left.sql if left.is_double else f"cast({left.sql} as double)"
        if sign != "/":
            # engines end a calculation with whole numbers at 32 bits
            first = left.sql if right.is_double else above
            return Written(f"{first} {sign} {right.sql}", "number", True, nullable)
        below = right.sql
        if type(node.expression).__name__ != "Literal" or float(below) == 0:
            below = f"nullif({below}, 0)"  # a division by zero has no value
        return Written(f"{above} / {below}", "number", True, True)

    def _case(self, node: "Expr") -> Written:
        whens = [(self._flag(o.this), o.args["true"]) for o in node.args["ifs"]]
        results = [self.write(result) for _, result in whens]
        if node.args.get("default") is not None:
            results.append(self.write(node.args["default"]))
        alike = self._alike(results)
        branches = " ".join(
            f"when {condition.sql} then {result.sql}"
            for (condition, _), result in zip(whens, alike, strict=False)
        )
        rest = f" else {alike[-1].sql}" if len(alike) > len(whens) else ""
        nullable = not rest or any(part.may_be_null for part in alike)
        return self._merged(f"case {branches}{rest} end", alike, may_be_null=nullable)

    def _coalesce(self, node: "Expr") -> Written:
        parts = self._alike([self.write(p) for p in (node.this, *node.expressions)])
        listed = ", ".join(part.sql for part in parts)
        nullable = all(part.may_be_null for part in parts)
        return self._merged(f"coalesce({listed})", parts, may_be_null=nullable)

    def _extreme(self, node: "Expr") -> Written:
        """Null when a part is null: engines do not agree about it."""
        word = type(node).__name__.lower()
        parts = [self._number(p) for p in (node.this, *node.expressions)]
        sql = f"{word}({', '.join(part.sql for part in parts)})"
        unsure = [f"{part.sql} is not null" for part in parts if part.may_be_null]
        if unsure:
            sql = f"case when {' and '.join(unsure)} then {sql} end"
        return self._merged(sql, parts, may_be_null=bool(unsure))

    def _change_case(self, node: "Expr") -> Written:
        inner = self._text_part(node.this)
        word = type(node).__name__.lower()
        return Written(f"{word}({inner.sql})", "text", may_be_null=inner.may_be_null)

    def _length(self, node: "Expr") -> Written:
        inner = self._text_part(node.this)
        return Written(f"length({inner.sql})", "number", may_be_null=inner.may_be_null)

    def _absolute(self, node: "Expr") -> Written:
        inner = self._number(node.this)
        return Written(
            f"abs({inner.sql})", "number", inner.is_double, inner.may_be_null
        )

    def _rounded(self, node: "Expr") -> Written:
        inner = self._number(node.this)
        decimals = node.args.get("decimals")
        if decimals is None:
            sql = f"round({inner.sql})"
            return Written(sql, "number", inner.is_double, inner.may_be_null)
        is_digit = type(decimals).__name__ == "Literal" and decimals.name.isdecimal()
        if not is_digit or int(decimals.name) > _MAX_DECIMALS:
            raise self._refuse(
                f"round takes 0 to {_MAX_DECIMALS} decimals", decimals.sql()[:80]
            )
        if int(decimals.name) == 0:
            sql = f"round({inner.sql})"
            return Written(sql, "number", inner.is_double, inner.may_be_null)
        # engines do not agree about 1.005; about the two steps they do
        scale = f"1e{int(decimals.name)}"
        sql = f"(round(({inner.sql}) * {scale}) / {scale})"
        return Written(sql, "number", True, inner.may_be_null)

    def _cast(self, node: "Expr") -> Written:
        target = node.args["to"].sql("duckdb").upper()
        if target in ("TIMESTAMP", "DATE", "TIMESTAMPTZ"):
            return self._instant(node.this)
        if target not in ("DOUBLE", "FLOAT", "REAL"):
            raise self._refuse("only cast(... as double)", target)
        inner = self.write(node.this)
        if inner.kind == "property":
            return as_number(inner)
        if inner.kind != "number":
            raise self._refuse("no number can be made of this", inner.kind)
        nullable = inner.may_be_null
        return Written(f"cast({inner.sql} as double)", "number", True, nullable)

    def _instant(self, node: "Expr") -> Written:
        """A literal instant in microseconds; without a zone it is UTC."""
        if type(node).__name__ != "Literal" or not node.args["is_string"]:
            raise self._refuse("only a literal instant", node.sql()[:80])
        return self._read_instant(node.name)

    def _read_instant(self, text: str) -> Written:
        try:
            instant = datetime.fromisoformat(text)
        except ValueError:
            raise self._refuse(
                "no instant such as '2026-01-31' or '2026-01-31 08:00+00:00'", text
            ) from None
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        since = instant - datetime(1970, 1, 1, tzinfo=UTC)
        microseconds = (since.days * 86_400 + since.seconds) * 1_000_000
        return Written(str(microseconds + since.microseconds), "instant")

    def _merged(
        self, sql: str, parts: Sequence[Written], *, may_be_null: bool
    ) -> Written:
        kinds = [part.kind for part in parts if part.kind != "null"]
        # A text among properties makes all of them texts: no number is read from them.
        kinds.sort(key=lambda kind: kind == "property")
        is_double = any(part.is_double for part in parts)
        return Written(sql, kinds[0] if kinds else "null", is_double, may_be_null)

    def _alike(self, parts: list[Written]) -> list[Written]:
        """Parts that may be compared; a property is what the others are."""
        kinds = {part.kind for part in parts} - {"null", "property"}
        if "instant" in kinds:
            return [self._as_instant(part) for part in parts]
        if len(kinds) > 1:
            both = " and ".join(sorted(name_kind(kind) for kind in kinds))
            raise self._refuse("these do not fit together", both)
        if kinds == {"number"}:
            return [as_number(part) for part in parts]
        if kinds == {"boolean"}:
            return [self._as_flag(part) for part in parts]
        return parts

    def _as_instant(self, part: Written) -> Written:
        if part.kind == "instant":
            return part
        if part.text is None:
            raise self._refuse("ts is compared with an instant", name_kind(part.kind))
        return self._read_instant(part.text)

    def _as_flag(self, part: Written) -> Written:
        if part.kind != "property":
            return part
        return Written(f"(lower({part.sql}) = 'true')", "boolean", may_be_null=True)

    def _operand(self, node: "Expr") -> Written:
        """A side of a comparison; a condition stands in brackets there."""
        part = self.write(node)
        if part.kind != "boolean" or type(node).__name__ in ("Paren", "Boolean"):
            return part
        return Written(f"({part.sql})", "boolean", may_be_null=part.may_be_null)

    def _number(self, node: "Expr") -> Written:
        part = as_number(self.write(node))
        if part.kind != "number":
            raise self._refuse("a number is needed", name_kind(part.kind))
        return part

    def _flag(self, node: "Expr") -> Written:
        part = self.write(node)
        if part.kind != "boolean":
            raise self._refuse("yes or no is needed", name_kind(part.kind))
        return part

    def _text_part(self, node: "Expr") -> Written:
        part = self.write(node)
        if part.kind not in ("text", "property"):
            raise self._refuse("text is needed", name_kind(part.kind))
        return part

    def _refuse(self, what: str, found: str) -> UsageError:
        return refuse(self._text, what, found)
