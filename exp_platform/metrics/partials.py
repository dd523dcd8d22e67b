"""Unit-day partials: what the rows of one data file add to a unit's number.

A partial is made once from rows and merged with others as often as needed, so that a
refresh reads new files only. What is exact in any order (fixed-point sums, counts, flags,
largest values) is one number per unit, day and file; doubles whose sum depends on their
order stay single values. A funnel and a count of distinct values have no partials: their
rows are read again.
"""

from collections.abc import Collection, Mapping, Sequence

from exp_platform.lake.types import quote_text as quote
from exp_platform.lake.types import write_number
from exp_platform.metrics.measures import COLUMNS, Chain, Measure, columns_of
from exp_platform.metrics.spans import day_of
from exp_platform.metrics.unit_values import (
    AMOUNT,
    ANY,
    COUNT,
    DISTINCT,
    MAX,
    SUM,
    Part,
    happened_sql,
    may_miss_value,
    missing_rows_sql,
    rows_sql,
    value_sql,
)
from exp_platform.records import MetricDefinition, RowRule, SourceKind

PARTIALS = "exp_run.live_partials"
MISSING = "missing"
"""Column of a unit whose row has no value; `missing:covariate` where it is that one."""

KEPT = "kept"
FIXED = "fixed"


def refusal_of(definition: MetricDefinition) -> str:
    """Why a metric has no partials; empty when it has."""
    for measure in columns_of(definition).values():
        if isinstance(measure, Chain):
            return "the order of a funnel's rows decides"
        if measure.aggregation == DISTINCT:
            return "distinct values are told apart over all rows"
    return ""


def partial_sql(
    definition: MetricDefinition, *, fixed_point: Collection[str]
) -> Mapping[SourceKind, Sequence[str]]:
    """The SELECTs that make a metric's partials, by the rows they read.

    Columns: unit_no, unit_version, file_no, cohort (day of first exposure), metric_name,
    column_name, outcome_day, micros (fixed-point amount in millionths), number.

    Args:
        definition: a metric with partials.
        fixed_point: outcome names whose values all have at most six decimals.
    """
    found: dict[SourceKind, list[str]] = {kind: [] for kind in SourceKind}
    for column, measure in columns_of(definition).items():
        part = _part(measure)
        found[part.rows.kind].append(_branch(definition, column, part, fixed_point))
        if may_miss_value(part):
            found[part.rows.kind].append(_missing_branch(definition, column, part))
    return found


def merged_sql(definition: MetricDefinition, *, fixed_point: Collection[str]) -> str:
    """A metric's branch of `metric_observations`, made from live partials."""
    columns = columns_of(definition)
    filled = ",\n".join(
        f"    {_merge(name, columns, fixed_point)} as {name}" for name in COLUMNS
    )
    return (
        "select\n    experiment_id,\n"
        f"    {quote(definition.name)} as metric_name,\n    unit_no,\n{filled}\n"
        f"from {PARTIALS}\nwhere metric_name = {quote(definition.name)}\n"
        "group by experiment_id, unit_no"
    )


def merged_missing_sql(definition: MetricDefinition) -> str:
    """A metric's branch of `metric_missing_values`: of live partials and quarantine."""
    branches = []
    for column, measure in columns_of(definition).items():
        part = _part(measure)
        label = _label(definition, column)
        head = (
            f"select experiment_id, {quote(definition.name)} as metric_name, unit_no,"
            f" {label} as covariate_name\n"
        )
        branches.append(f"{head}from {missing_rows_sql(part)}")
        if may_miss_value(part):
            branches.append(
                f"{head}from {PARTIALS}\n"
                f"where metric_name = {quote(definition.name)}"
                f" and column_name = {quote(_missing_column(column))}"
            )
    return "\nunion all\n".join(branches)


def state_of(part: Part, fixed_point: Collection[str]) -> str:
    """How a part's rows are kept: `fixed`, `count`, `max`, `any`, or one by one."""
    if part.aggregation != SUM:
        return part.aggregation
    is_fixed = part.name in fixed_point and part.rows == RowRule(
        filter=part.rows.filter
    )
    return FIXED if is_fixed else KEPT


def _part(measure: Measure) -> Part:
    if isinstance(measure, Chain):
        message = "a funnel has no partials"
        raise TypeError(message)
    return measure


def _branch(
    definition: MetricDefinition, column: str, part: Part, fixed_point: Collection[str]
) -> str:
    state = state_of(part, fixed_point)
    value = value_sql(part.rows)
    micros, number = "cast(null as bigint)", "cast(null as double)"
    if state == FIXED:
        micros = f"cast(sum({AMOUNT}) as bigint)"
    elif state == KEPT:
        number = f"cast({value} as double)"
    elif state == COUNT:
        number = "cast(count(*) as double)"
    elif state == MAX:
        number = f"cast(max({value}) as double)"
    else:
        number = (
            f"cast(max(case when {happened_sql(part)} then 1 else 0 end) as double)"
        )
    if state == KEPT:
        return _select(definition, column, part, (micros, number), is_grouped=False)
    select = _select(definition, column, part, (micros, number))
    return f"{select}\n{_GROUPED.format(day=_day(part))}"


def _missing_branch(definition: MetricDefinition, column: str, part: Part) -> str:
    numbers = ("cast(null as bigint)", "cast(1 as double)")
    select = _select(definition, _missing_column(column), part, numbers)
    is_lost = f" and ({value_sql(part.rows)}) is null"
    return f"{select}{is_lost}\n{_GROUPED.format(day=_day(part))}"


_GROUPED = "group by unit_no, file_no, {day}"


def _select(
    definition: MetricDefinition,
    column: str,
    part: Part,
    numbers: tuple[str, str],
    *,
    is_grouped: bool = True,
) -> str:
    exposed = f"({part.relation.instant} - offset_us)"
    # a unit has one of each: as keys they would make groups wider, not more
    of_unit = {"unit_version": "unit_version", "cohort": day_of(exposed)}
    columns = ", ".join(
        f"min({value}) as {name}" if is_grouped else f"{value} as {name}"
        for name, value in of_unit.items()
    )
    return (
        f"select unit_no, file_no, {columns},\n"
        f"    {quote(definition.name)} as metric_name, {quote(column)} as column_name,\n"
        f"    {_day(part)} as outcome_day,\n"
        f"    {numbers[0]} as micros, {numbers[1]} as number\n"
        f"from {part.relation.table}\nwhere {rows_sql(part)}"
    )


def _day(part: Part) -> str:
    return day_of(part.relation.instant)


def _merge(
    name: str, columns: Mapping[str, Measure], fixed_point: Collection[str]
) -> str:
    """The unit's number, to the bit what `unit_sql` makes of its rows."""
    if name not in columns:
        return "cast(null as double)"
    part = _part(columns[name])
    state, own = state_of(part, fixed_point), f"column_name = {quote(name)}"
    if state == FIXED:
        total = f"coalesce(sum(case when {own} then micros end), 0)"
        exact = f"cast({total} as decimal(31, 0)) * cast(0.000001 as decimal(7, 6))"
        value = f"cast({exact} as double)"
    elif state == KEPT:
        value = f"coalesce(list_sum(list_sort(list(number) filter (where {own}))), 0.0)"
    else:
        merge = "max" if state in (MAX, ANY) else "sum"
        value = f"coalesce({merge}(case when {own} then number end), 0.0)"
    return value if part.cap is None else f"least({value}, {write_number(part.cap)})"


def _missing_column(column: str) -> str:
    return f"{MISSING}:{column}" if column == "covariate" else MISSING


def _label(definition: MetricDefinition, column: str) -> str:
    if column != "covariate" or definition.covariate is None:
        return "cast(null as varchar)"
    return quote(definition.covariate.label)
