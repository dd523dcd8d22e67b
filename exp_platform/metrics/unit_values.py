"""How a unit's rows become one number: the rows that count, and their aggregate."""

from collections.abc import Collection
from dataclasses import dataclass

from exp_platform.lake.types import quote_text as quote
from exp_platform.lake.types import write_number
from exp_platform.metrics.expression_writer import Columns
from exp_platform.metrics.expressions import (
    may_be_null,
    write_filter,
    write_key,
    write_value,
)
from exp_platform.metrics.spans import Span
from exp_platform.records import RowRule, SourceKind

ANY, COUNT, DISTINCT, MAX, SUM = "any", "count", "distinct", "max", "sum"
AGGREGATIONS = (SUM, COUNT, MAX, DISTINCT)
IS_FIXED_POINT = "bool_and(value = round(value, 6) and abs(value) < 1e9)"
"""Whether rows are added as decimals; of larger doubles engines make different ones."""
MILLIONTHS = 1_000_000
"""Fixed-point values are added as whole numbers of so many parts of one."""
AMOUNT = f"cast(round(value * {MILLIONTHS}) as bigint)"
"""A fixed-point value in millionths: below 1e9 the product is exact before it is rounded."""
LARGEST_SUM = 9e12
"""What millionths in 64 bits can add up to."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows of the units in the analysis, with their instant since exposure.

    Attributes:
        table: of the run's scratch schema.
        columns: what the names of an expression mean there.
        missing: table of the rows that ingest set aside for want of a value, with the
            same names for name and instant.
        source: canonical table of all rows, with the same name for name.
    """

    table: str
    columns: Columns
    missing: str
    source: str

    @property
    def name(self) -> str:
        """Column with the outcome's or the event's name."""
        return self.columns.event

    @property
    def instant(self) -> str:
        """Column with the row's instant in microseconds."""
        return self.columns.ts


RELATIONS = {
    SourceKind.OUTCOME: Relation(
        "exp_run.int_unit_outcomes",
        Columns(),
        "exp_run.int_missing_values",
        "exp.outcomes",
    ),
    SourceKind.EVENT: Relation(
        "exp_run.int_unit_events",
        Columns(ts="event_us", event="event_name", properties="properties"),
        "exp_run.int_missing_events",
        "exp.fact_event",
    ),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One number of a unit.

    Attributes:
        name: outcome or event whose rows make it.
        rows: which of them count, and what each is worth.
        span: when a row counts.
        aggregation: sum, count, max, distinct, or any (1 when something happened).
        cap: largest value; None = uncapped.
    """

    name: str
    rows: RowRule
    span: Span
    aggregation: str = SUM
    cap: float | None = None

    @property
    def relation(self) -> Relation:
        """Where its rows stand."""
        return RELATIONS[self.rows.kind]


def rows_sql(part: Part) -> str:
    """The condition of the rows that count."""
    named, *more = _conditions(part.name, part.rows)
    inside = part.span.condition(part.relation.instant)
    return " and ".join([named, inside, *more])


def missing_rows_sql(part: Part) -> str:
    """The rows in its window that ingest set aside, as what follows FROM.

    A filter cannot be asked about them, so they count as ones that would have passed.
    """
    relation = part.relation
    inside = part.span.condition(relation.instant)
    return (
        f"{relation.missing}\nwhere {relation.name} = {quote(part.name)} and {inside}"
    )


def passes_sql(name: str, rows: RowRule) -> str:
    """The condition of the rows that count at any time."""
    return " and ".join(_conditions(name, rows))


def _conditions(name: str, rows: RowRule) -> list[str]:
    relation = RELATIONS[rows.kind]
    named = [f"{relation.name} = {quote(name)}"]
    if not rows.filter:
        return named
    return [*named, f"({write_filter(rows.filter, relation.columns)})"]


def happened_sql(part: Part) -> str:
    """The condition of the rows that show that something happened.

    An outcome happened when its value is positive; an event always, unless it says what
    it is worth.
    """
    if part.rows.kind is SourceKind.EVENT and not part.rows.value:
        return rows_sql(part)
    return f"{rows_sql(part)} and {value_sql(part.rows)} > 0"


def value_sql(rows: RowRule, *, is_key: bool = False) -> str:
    """What a row is worth, over the columns of its relation.

    Args:
        rows: of a definition.
        is_key: values are only told apart, so text will do.
    """
    if not rows.value:
        return "value"
    write = write_key if is_key else write_value
    return write(rows.value, RELATIONS[rows.kind].columns)


def part_value_sql(part: Part) -> str:
    """What a row of a part is worth; of distinct ones texts too."""
    return value_sql(part.rows, is_key=part.aggregation == DISTINCT)


def may_miss_value(part: Part) -> bool:
    """Some row that counts may lack the number it is counted for."""
    if not part.rows.value:
        is_needed = part.aggregation in (SUM, MAX, DISTINCT)
        return is_needed and part.rows.kind is SourceKind.EVENT
    if part.aggregation == COUNT:
        return False
    return may_be_null(part.rows.value, part.relation.columns)


def unit_sql(part: Part, fixed_point: Collection[str]) -> str:
    """The aggregate of a unit's rows as a double; 0 without any.

    Args:
        part: what is aggregated.
        fixed_point: outcomes whose values all have at most six decimals.
    """
    value = _uncapped_sql(part, fixed_point)
    return value if part.cap is None else f"least({value}, {write_number(part.cap)})"


def _uncapped_sql(part: Part, fixed_point: Collection[str]) -> str:
    where = rows_sql(part)
    value = part_value_sql(part)
    if part.aggregation == ANY:
        flag = f"case when {happened_sql(part)} then 1 else 0 end"
        return f"cast(max({flag}) as double)"
    if part.aggregation == COUNT:
        return f"cast(count(case when {where} then 1 end) as double)"
    if part.aggregation == DISTINCT:
        return f"cast(count(distinct case when {where} then {value} end) as double)"
    if part.aggregation == MAX:
        return f"coalesce(max(case when {where} then {value} end), 0.0)"
    if is_exact(part, fixed_point):
        amount = f"case when {where} then cast(value as decimal(18, 6)) end"
        return f"cast(coalesce(sum({amount}), 0) as double)"
    # a sum of doubles depends on their order; sorted, it is the same every time
    ordered = f"list_sort(list({value}) filter (where {where}))"
    return f"coalesce(list_sum({ordered}), 0.0)"


def daily_sql(part: Part) -> str:
    """The aggregate of rows that were chosen before, on one day of a panel."""
    value = part_value_sql(part)
    if part.aggregation == ANY:
        if part.rows.kind is SourceKind.EVENT and not part.rows.value:
            return "cast(1 as double)"
        return f"cast(max(case when {value} > 0 then 1 else 0 end) as double)"
    if part.aggregation == COUNT:
        return "cast(count(*) as double)"
    if part.aggregation == DISTINCT:
        return f"cast(count(distinct {value}) as double)"
    return add_sorted(value) if part.aggregation == SUM else f"max({value})"


def is_exact(part: Part, fixed_point: Collection[str]) -> bool:
    """Its rows add up to the same number in any order.

    Args:
        part: what is aggregated.
        fixed_point: outcomes whose values all have at most six decimals.
    """
    is_plain = part.rows == RowRule(filter=part.rows.filter)
    return part.aggregation == SUM and is_plain and part.name in fixed_point


def add_sorted(value: str) -> str:
    """SQL of a sum of doubles that is the same in whatever order the engine adds."""
    return f"list_sum(list_sort(list({value})))"
