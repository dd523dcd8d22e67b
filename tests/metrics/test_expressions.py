"""Expressions: what they mean in the engine, and what they refuse to be."""

import math
import re
from typing import Any

import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exp_platform.errors import UsageError
from exp_platform.metrics.expression_writer import Columns
from exp_platform.metrics.expressions import (
    MAX_LENGTH,
    normalise,
    write_filter,
    write_value,
)

EVENTS = Columns(ts="event_us", event="event_name", properties="properties")
DAY_US = 86_400_000_000

ATTACKS = [
    "",
    " \n\t ",
    "1 = 1; drop table exp_run.int_unit_outcomes",
    "1 = 1;",
    "; select 1",
    "value > 0 -- and offset_us >= 0",
    "value > 0 /* hidden */",
    "value > 0 /* open",
    "/* only a comment */",
    "-- only a comment",
    "value > 0) or (1 = 1",
    "value > 0)) union all select * from exp.outcomes --",
    "1 = 1 union select 2",
    "(select 1)",
    "value > (select max(value) from exp.outcomes)",
    "value in (select value from exp.outcomes)",
    "exists (select 1 from exp.outcomes)",
    "value = any(select value from exp.outcomes)",
    "with t as (select 1 as a) select a from t",
    "(with t as (select 1 as a) select a from t) = 1",
    "value > (with recursive t(n) as (select 1 union all select n + 1 from t) from t)",
    "copy exp.outcomes to '/tmp/out.csv'",
    "attach '/tmp/other.db' as other",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "set memory_limit = '1TB'",
    "create table t as select 1",
    "insert into exp.outcomes values (1)",
    "update exp.outcomes set value = 0",
    "delete from exp.outcomes",
    "export database '/tmp/x'",
    "call pragma_version()",
    "read_csv('/etc/passwd') = 'x'",
    "read_text('/etc/passwd') = 'x'",
    "read_blob('/etc/passwd') is null",
    "read_parquet('s3://bucket/file') is null",
    "glob('/etc/*') is null",
    "getenv('HOME') = '/root'",
    "current_setting('temp_directory') = ''",
    "current_database() = 'x'",
    "version() = 'x'",
    "value > 1e3-1",
    "value > 1e",
    "random() > 0.5",
    "now() > ts",
    "current_date > ts",
    "query('select 1') = 1",
    "sleep(10) is null",
    "regexp_matches(event, '(a+)+$')",
    "event like '%checkout%'",
    "event similar to 'a.*'",
    "concat(event, 'x') = 'y'",
    "event || 'x' = 'y'",
    "list_sum([1, 2]) = 3",
    "[1, 2] = [1, 2]",
    "{'a': 1} is null",
    "value -> x",
    "(x -> x + 1) is null",
    "count(*) > 1",
    "sum(value) > 1",
    "sum(value) over () > 1",
    "row_number() over () = 1",
    "offset_us >= 0",
    "unit_no = 1",
    "int_unit_outcomes.value = 1",
    "exp_run.int_unit_outcomes.value = 1",
    "a.b.c.d = 1",
    "properties.a.b = 1",
    "properties['a'] = 1",
    "properties = 1",
    'properties."a; drop table t" = 1',
    '"value" > 1',
    "`value` > 1",
    "* = 1",
    "#1 = 1",
    "$1 = 1",
    "? = 1",
    ":name = 1",
    "@name = 1",
    "value = 1 'and' 2",
    "'a' 'b' = event",
    "E'a\\'; drop table t; --' = event",
    "$$a$$ = event",
    "U&'\\0027' = event",
    "x'27' = event",
    "'unclosed",
    "event = 'it's'",
    "event = \u2018quoted\u2019",
    "event = \uff07full width\uff07",
    "v\u0430lue > 1",  # a Cyrillic letter
    "value\u037e drop table t",  # a Greek question mark
    "value > 1\u202e",
    "value > 1\x00; drop table t",
    "value > 1\u2028; drop table t",
    "value > 1e400",
    "value > 0x10",
    "value::varchar = '1'",
    "cast(value as varchar) = '1'",
    "cast(event as double) > 1",
    "value collate nocase = 'x'",
    "value at time zone 'UTC' = 1",
    "interval 1 day = 1",
    "value is distinct from 1",
    "value <=> 1",
    "value between symmetric 1 and 2",
    "value in ()",
    "value in (value)",
    "value in (1 + 1)",
    "value = null",
    "round(value, value) > 1",
    "round(value, 99) > 1",
    "if(value > 1, true, false)",
    "nullif(value, 0) = 1",
    "case value when 1 then true end",
    "value and 1",
    "not value",
    "event > 'a'",
    "event = 1",
    "lower(value) = '1'",
    "length(value) = 1",
    "ts = 1",
    "ts > 'yesterday'",
    "ts > timestamp event",
    "- - - event = 1",
    "(" * 60 + "value" + ")" * 60 + " > 1",
    "not " * 300 + "(value > 1)",
    "value" + " + value" * 300 + " > 1",
    "value > 1" + " " * MAX_LENGTH,
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("columns", [Columns(), EVENTS], ids=["outcome", "event"])
def test_write_filter_refuses_what_is_no_filter(attack: str, columns: Columns) -> None:
    is_property = columns.properties and attack in ("offset_us >= 0", "unit_no = 1")
    if is_property:  # of an event these are properties, not columns
        assert "properties['" in write_filter(attack, columns)
        return
    with pytest.raises(UsageError) as caught:
        write_filter(attack, columns)
    assert "in the expression" in caught.value.what
    assert "value" in caught.value.parts["allowed"]
    assert caught.value.parts["found"]


@pytest.mark.parametrize("attack", [a for a in ATTACKS if not a.startswith("case")])
def test_write_value_refuses_what_is_no_value(attack: str) -> None:
    with pytest.raises(UsageError):
        write_value(attack)


@pytest.mark.parametrize("text", ["value > 1", "true", "null", "'5'", "event", "ts"])
def test_write_value_needs_a_number(text: str) -> None:
    with pytest.raises(UsageError, match="a value is a number"):
        write_value(text, EVENTS)


@pytest.mark.parametrize(
    "text",
    ["case when value > 1 then price else 'x' end", "coalesce(price, plan, 'x')"],
)
def test_write_value_takes_no_property_beside_a_text_for_a_number(text: str) -> None:
    with pytest.raises(UsageError, match="a value is a number") as caught:
        write_value(text, EVENTS)
    assert caught.value.parts["found"] == "a text"
    assert "price" in write_filter(f"({text}) = 'a'", EVENTS)


@pytest.mark.parametrize("text", ["value", "1", "event", "plan", "null"])
def test_write_filter_needs_a_yes_or_no(text: str) -> None:
    with pytest.raises(UsageError, match="a filter says yes or no"):
        write_filter(text, EVENTS)


def test_write_filter_of_an_outcome_knows_no_property() -> None:
    with pytest.raises(UsageError, match="no properties") as caught:
        write_filter("plan = 'pro'")
    assert caught.value.parts["found"] == "plan"


TEXTS = [
    "it's",
    "a\\",
    "\\'; drop table t; --",
    "-- x",
    "/* x */",
    "%",
    '"',
    "é",
    "a;b",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("dialect", ["duckdb", "spark", "trino"])
def test_text_stays_a_literal_in_every_dialect(text: str, dialect: str) -> None:
    from exp_platform.metrics.observations import transpile

    quoted = text.replace("'", "''")
    sql = write_filter(f"event = '{quoted}'")
    written = transpile(f"select {sql}", dialect)
    (literal,) = sqlglot.parse_one(written, read=dialect).find_all(sqlglot.exp.Literal)
    assert literal.name == text


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays_a_literal_in_the_engine(engine: Any, text: str) -> None:
    quoted = text.replace("'", "''")
    sql = write_filter(f"event = '{quoted}'")
    relation = f"(select '{quoted}' as metric_name)"
    assert engine.rows(f"select {sql} from {relation}") == [(True,)]


# --- what they mean -----------------------------------------------------------------

ROW = {
    "plan": "pro",
    "price": "12.5",
    "quantity": "4",
    "none": "",
    "odd": "NaN",
    "endless": "inf",
    "is_new": "TRUE",
    "Kind": "Kept",
}


def _relation(properties: dict[str, str], value: float | None = 2.0) -> str:
    pairs = ", ".join(f"'{k}': '{v}'" for k, v in properties.items())
    shown = "null" if value is None else repr(value)
    return (
        f"(select cast({shown} as double) as value, 'checkout' as event_name,"
        f" cast({4 * DAY_US} as bigint) as event_us, map {{{pairs}}} as properties)"
    )


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("plan = 'pro'", True),
        ("properties.plan <> 'pro'", False),
        ("plan in ('free', 'pro')", True),
        ("plan not in ('free')", True),
        ("Kind = 'Kept'", True),
        ("absent is null", True),
        ("absent = 'x'", None),
        ("price > 10 and price < 13", True),
        ("price between 12.5 and 12.5", True),
        ("price in (1, 12.5)", True),
        ("price * quantity = 50", True),
        ("price / quantity = 3.125", True),
        ("quantity / 3 > 1.33 and quantity / 3 < 1.34", True),
        ("length(plan) / 2 = 1.5", True),
        ("price / 0 is null", True),
        ("1 / 0 is null", True),
        ("none > 0", None),
        ("odd > 0", None),
        ("endless > 0", None),
        ("coalesce(none, -1) = -1", True),
        ("is_new = true", True),
        ("not (is_new = true)", False),
        ("lower(is_new) = 'true' or upper(plan) = 'X'", True),
        ("event = 'checkout' and value = 2", True),
        ("ts = '1970-01-05'", True),
        ("ts >= timestamp '1970-01-05 01:00+01:00'", True),
        ("ts < date '1970-01-05'", False),
        ("ts between '1970-01-04' and '1970-01-05'", True),
        ("abs(-value) = 2 and - -value = 2 and value - -1 = 3", True),
        ("round(price) = 13 and round(price / 3, 1) = 4.2", True),
        ("least(price, 3, value) = 2 and greatest(price, 3) = 12.5", True),
        ("least(price, absent) is null", True),
        ("case when plan = 'pro' then price else 0 end = 12.5", True),
        ("case when plan = 'x' then 'a' end is null", True),
        ("cast(price as double) = price::double", True),
        ("(value = 2) is null", False),
        ("true", True),
    ],
)
def test_write_filter_says_what_the_words_say(
    engine: Any, text: str, answer: bool | None
) -> None:
    sql = write_filter(text, EVENTS)
    assert engine.rows(f"select {sql} from {_relation(ROW)}") == [(answer,)]


def test_write_value_is_a_double_even_of_integers(engine: Any) -> None:
    sql = write_value("length(plan)", EVENTS)
    ((found,),) = engine.rows(f"select {sql} from {_relation(ROW)}")
    assert isinstance(found, float)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("value / (86400 * 1000000)", 2.0 / 86_400_000_000),
        ("2000000000 + 2000000000 - 1", 3_999_999_999.0),
        ("-(1 - 2147483648 * 2)", 4_294_967_295.0),
    ],
)
def test_write_value_counts_beyond_32_bits(
    engine: Any, text: str, number: float
) -> None:
    sql = write_value(text, EVENTS)
    assert engine.rows(f"select {sql} from {_relation(ROW)}") == [(number,)]


numbers = st.one_of(
    st.integers(-50, 50).map(str),
    st.sampled_from(["value", "price", "quantity", "absent", "0.25", "1e3"]),
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, st.sampled_from("+-*/"), inner)
    words = st.sampled_from(["coalesce", "least", "greatest"])
    return st.one_of(
        pair.map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        pair.map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        inner.map(lambda t: f"abs({t})"),
        inner.map(lambda t: f"- {t}"),
        st.tuples(words, inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
    )


class _Number:
    """A number or nothing, read as the language of expressions reads it."""

    def __init__(self, number: float | None) -> None:
        self.number = number

    def _both(self, other: "_Number", apply: Any) -> "_Number":
        if self.number is None or other.number is None:
            return _Number(None)
        return _Number(apply(self.number, other.number))

    def __add__(self, other: "_Number") -> "_Number":
        return self._both(other, lambda a, b: a + b)

    def __sub__(self, other: "_Number") -> "_Number":
        return self._both(other, lambda a, b: a - b)

    def __mul__(self, other: "_Number") -> "_Number":
        return self._both(other, lambda a, b: a * b)

    def __truediv__(self, other: "_Number") -> "_Number":
        return self._both(other, lambda a, b: None if b == 0 else a / b)

    def __neg__(self) -> "_Number":
        return self._both(self, lambda a, _: -a)


def _evaluate(text: str, names: dict[str, float | None]) -> float | None:
    """The same text, parsed by Python instead."""

    def extreme(pick: Any) -> Any:
        return lambda a, b: a._both(b, pick)

    scope: dict[str, Any] = {name: _Number(v) for name, v in names.items()}
    scope |= {
        "N": _Number,
        "abs": lambda a: a._both(a, lambda x, _: abs(x)),
        "coalesce": lambda a, b: b if a.number is None else a,
        "least": extreme(min),
        "greatest": extreme(max),
    }
    quoted = re.sub(r"(?<![\w.])(\d[\w.]*)", r"N(\1)", text)
    found = eval(quoted, {"__builtins__": {}}, scope)
    return None if found.number is None else float(found.number)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    text=st.recursive(numbers, _grow, max_leaves=8),
    value=st.sampled_from([2.0, -1.5, 0.0, None]),
)
def test_write_value_agrees_with_python_on_any_arithmetic(
    engine: Any, text: str, value: float | None
) -> None:
    sql = write_value(text, EVENTS)
    ((found,),) = engine.rows(f"select {sql} from {_relation(ROW, value)}")
    names = {"value": value, "price": 12.5, "quantity": 4.0, "absent": None}
    expected = _evaluate(text, names)
    if expected is None:
        assert found is None
    else:
        # decimals in the text are exact in the engine and doubles in Python
        assert math.isclose(found, expected, rel_tol=1e-12, abs_tol=1e-12)


@given(text=st.text(max_size=60))
def test_write_filter_never_fails_otherwise(text: str) -> None:
    try:
        sql = write_filter(text, EVENTS)
    except UsageError:
        return
    assert sqlglot.parse_one(f"select {sql}", read="duckdb")


# --- layout -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("value>1", "value  >\n 1"),
        ("plan IN ('a','B')", "plan in ( 'a' , 'B' )"),
        ("LOWER(plan) = 'x' AND NOT a=1", "lower ( plan )='x' and not a = 1"),
        ("properties . plan = 'x'", "properties.plan = 'x'"),
        (
            "VALUE > 1 and Ts > '2026-01-01' and Event = 'x'",
            "value > 1 and ts > '2026-01-01' and event = 'x'",
        ),
    ],
)
def test_normalise_forgets_layout(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)
    assert write_filter(normalise(one), EVENTS) == write_filter(one, EVENTS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Plan = 'x'", "plan = 'x'"),
        ("plan = 'X'", "plan = 'x'"),
        ("properties.Case = 'x'", "properties.case = 'x'"),
        ("properties.Value = 'x'", "properties.value = 'x'"),
        ("plan = 'a  b'", "plan = 'a b'"),
    ],
)
def test_normalise_keeps_what_matters(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@settings(derandomize=True, deadline=None)
@given(text=st.recursive(numbers, _grow, max_leaves=6))
def test_normalise_keeps_the_meaning(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert write_value(once, EVENTS) == write_value(text, EVENTS)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("read_csv('/etc/passwd') = 'x'", "read_csv()"),
        ("getenv('HOME') is null", "getenv()"),
        ("value > (select 1)", "subquery"),
        ("value > ", "a part is missing at character"),
    ],
)
def test_what_was_found_is_named_as_in_sql(text: str, found: str) -> None:
    with pytest.raises(UsageError) as caught:
        write_filter(text)
    assert caught.value.parts["found"].startswith(found)
    assert "sqlglot" not in str(caught.value)


def test_a_mistyped_column_of_an_outcome_is_told_the_right_one() -> None:
    with pytest.raises(UsageError) as caught:
        write_filter("valeu > 0")
    assert caught.value.parts["allowed"] == "did you mean 'value'?"
