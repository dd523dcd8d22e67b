"""Expressions of a definition mean on Spark and Trino what they mean on DuckDB."""

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from exp_platform.metrics.expression_writer import Columns
from exp_platform.metrics.expressions import write_value
from exp_platform.metrics.observations import transpile

COLUMNS = Columns(ts="event_us", event="event_name", properties="properties")
NUMBERS = (
    "1e99",
    "1.005",
    "0.285",
    "2.675",
    "-2.5",
    "8.325",
    "0.49999999999999994",
    "1e30",
)
TEXTS = (
    *(
        "7d",
        "2f",
        "1.5F",
        "5L",
        "0x10",
        "0x1p3",
        "1_000",
        "1__0",
        "1e5",
        "1e400",
        "12.",
    ),
    *(
        " 12\t",
        "\x0b12",
        "\x0012",
        "12\x1c",
        "-0",
        "inf",
        "NaN",
        "",
        "1,5",
        "٣",
        "12\n",
    ),
    *("İstanbul", "ΟΔΟΣ", "straße", "STRAẞE", "ᾳ", "ǰﬁ", "it's", "a\\b", "😀", None),
)
VALUES = (
    "least(value, 94527.06955539223)",
    "value * 1898.4972911602638",
    "properties.x",
    "length(properties.x)",
    "round(value, 2)",
    "round(value, 1) + round(-value, 6)",
    "round(value)",
    "case when lower(properties.x) = 'istanbul' then 1 else 0 end",
    "case when lower(properties.x) in ('οδοσ', 'straße') then 1 else 0 end",
    "case when upper(properties.x) = 'STRAẞE' then 1 else 0 end",
    "length(upper(properties.x)) * 10 + length(lower(upper(properties.x)))",
    "case when upper(properties.x) in ('ᾼ', 'IT''S', 'A\\B', '') then 1 else 0 end",
)
ROWS = [
    (place, float(NUMBERS[place % len(NUMBERS)]), text)
    for place, text in enumerate(TEXTS)
]


def literal(text: str | None) -> str:
    """A text by the numbers of its letters."""
    if text is None:
        return "null"
    return " || ".join(["''", *(f"chr({ord(letter)})" for letter in text)])


@pytest.fixture(scope="module")
def spark_rows(spark: Any) -> Any:
    kind = "place int, value double, properties map<string, string>"
    told = [(place, number, {"x": text}) for place, number, text in ROWS]
    spark.createDataFrame(told, kind).createOrReplaceTempView("odd_rows")
    return spark


@pytest.mark.parametrize("value", VALUES)
def test_a_value_is_the_same_on_every_engine(
    value: str, spark_rows: Any, trino_rows: Callable[[str], list[Any]]
) -> None:
    select = f"select {write_value(value, COLUMNS)} as v from odd_rows order by place"
    told = [{"place": p, "value": n, "properties": [("x", t)]} for p, n, t in ROWS]
    kind = pa.map_(pa.string(), pa.string())
    fields = [("place", pa.int32()), ("value", pa.float64()), ("properties", kind)]
    with duckdb.connect() as connection:
        connection.register("odd_rows", pa.Table.from_pylist(told, pa.schema(fields)))
        here = connection.execute(select).fetchall()
    listed = ", ".join(f"({p}, double '{n}', {literal(t)})" for p, n, t in ROWS)
    odd_rows = (
        "select place, value, map(array['x'], array[cast(x as varchar)]) as properties"
        f" from (values {listed}) as listed (place, value, x)"
    )
    on_trino = trino_rows(f"with odd_rows as ({odd_rows}) {transpile(select, 'trino')}")
    on_spark = spark_rows.sql(transpile(select, "spark")).collect()
    assert len({*here}) > 1
    assert [tuple(row) for row in on_spark] == here
    assert on_trino == here
