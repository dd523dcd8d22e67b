"""The part of the SQL that depends on definitions: one literal SELECT for each metric.

Three relations are generated: `metric_observations` (a unit's value, denominator and
covariate), `metric_unit_days` (a unit's value on a day) and `unit_segments`. Everything
behind them is static SQL in the dbt project.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from exp_platform.lake.types import quote_text as quote
from exp_platform.records import MetricDefinition, MetricType

if TYPE_CHECKING:
    from sqlglot.expressions.core import Expr

DAY_US = 86_400_000_000
CROSSOVER_SEGMENT = "population=without_crossover"
BOT_SEGMENT = "population=without_bots"


def observation_sql(
    definition: MetricDefinition, *, fixed_point: Collection[str]
) -> str:
    """The SQL behind one metric: every unit's value since its first exposure.

    Args:
        definition: the metric.
        fixed_point: outcome names whose values all have at most six decimals; their
            sums are exact.

    Returns:
        A SELECT at grain experiment, unit.
    """
    names = _sources(definition)
    inside = _inside_window(definition)
    value = _aggregate(definition, definition.numerator, inside, fixed_point)
    if definition.cap is not None:
        value = f"least({value}, {definition.cap!r})"
    denominator = "cast(null as double)"
    if definition.denominator is not None:
        denominator = _total(definition.denominator, inside, fixed_point)
    covariate = "cast(null as double)"
    if definition.covariate is not None:
        lookback = definition.covariate.lookback_days * DAY_US
        before = f"offset_us < 0 and offset_us >= -{lookback}"
        covariate = _aggregate(
            definition, definition.covariate.metric_name, before, fixed_point
        )
    return (
        "select\n"
        "    experiment_id,\n"
        f"    {quote(definition.name)} as metric_name,\n"
        "    unit_no,\n"
        f"    {value} as value,\n"
        f"    {denominator} as denominator,\n"
        f"    {covariate} as covariate\n"
        "from exp_run.int_unit_outcomes\n"
        f"where metric_name in ({', '.join(quote(name) for name in names)})\n"
        "group by experiment_id, unit_no"
    )


def unit_day_sql(definition: MetricDefinition, *, fixed_point: Collection[str]) -> str:
    """The unit's value on each day after exposure, numerator only; absent = 0."""
    inside = _inside_window(definition)
    value = _aggregate(definition, definition.numerator, inside, fixed_point)
    day = f"cast(floor(outcome_us / {DAY_US}.0) as bigint)"
    return (
        "select\n"
        "    experiment_id,\n"
        f"    {quote(definition.name)} as metric_name,\n"
        "    variant,\n"
        "    unit_no,\n"
        f"    {day} as outcome_day,\n"
        f"    {value} as value\n"
        "from exp_run.int_unit_outcomes\n"
        f"where metric_name = {quote(definition.numerator)} and {inside}\n"
        f"group by experiment_id, variant, unit_no, {day}"
    )


def segment_sql(attributes: Sequence[str], *, subsets: Collection[str] = ()) -> str:
    """Every unit in `all`, in one segment per declared attribute, and in subsets.

    Args:
        attributes: keys of the exposure's attributes.
        subsets: CROSSOVER_SEGMENT, BOT_SEGMENT or both, for sensitivity rows.
    """
    source = "exp_run.experiment_assignments where is_in_analysis"
    branches = [f"select unit_no, 'all' as segment from {source}"]
    for attribute in dict.fromkeys(attributes):
        value = f"coalesce(attributes[{quote(attribute)}], '(unknown)')"
        label = f"{quote(attribute + '=')} || {value}"
        branches.append(f"select unit_no, {label} as segment from {source}")
    for subset, flag in ((CROSSOVER_SEGMENT, "is_crossover"), (BOT_SEGMENT, "is_bot")):
        if subset in subsets:
            # no such unit, no such segment: it would repeat `all`
            exists = f"(select bool_or({flag}) from exp_run.experiment_assignments)"
            branches.append(
                f"select unit_no, {quote(subset)} as segment from {source}"
                f" and not {flag} and {exists}"
            )
    return "\nunion all\n".join(branches)


def union_of(branches: Mapping[str, str], *, order: str = "") -> str:
    """All metrics' SELECTs as one relation; empty text without any.

    Args:
        branches: metric name -> SELECT.
        order: columns to sort by, where sums must not depend on chance.
    """
    union = "\nunion all\n".join(branches.values())
    if not order or not branches:
        return union
    return f"select * from (\n{union}\n) as metrics\norder by {order}"


def transpile(sql: str, dialect: str) -> str:
    """The same SQL for another engine: duckdb, spark or trino."""
    import sqlglot

    tree = sqlglot.parse_one(sql, read="duckdb")
    if dialect != "duckdb":
        tree = tree.transform(lambda node: _translate(node, dialect))
    return tree.sql(dialect, pretty=True)


def _translate(node: "Expr", dialect: str) -> "Expr":
    """What sqlglot leaves as it is: the sum of a list, the entry of a map."""
    import sqlglot
    from sqlglot import exp

    if isinstance(node, exp.Anonymous) and node.name.lower() == "list_sum":
        zero, add = "cast(0 as double)", "(total, item) -> total + item"
        fold = f"reduce(items, {zero}, {add}, total -> total)"
        if dialect == "spark":
            fold = f"aggregate(items, {zero}, {add})"
        template = sqlglot.parse_one(fold, read=dialect)
        return exp.replace_tree(
            template,
            lambda part: node.expressions[0] if part.sql() == "items" else part,
        )
    if isinstance(node, exp.Bracket) and dialect == "trino":
        return exp.func("element_at", node.this, node.expressions[0])
    return node


def _sources(definition: MetricDefinition) -> list[str]:
    names = {definition.numerator}
    if definition.denominator is not None:
        names.add(definition.denominator)
    if definition.covariate is not None:
        names.add(definition.covariate.metric_name)
    return sorted(names)


def _inside_window(definition: MetricDefinition) -> str:
    first = round(definition.delay_days * DAY_US)
    inside = f"offset_us >= {first}"
    if definition.window_days is not None:
        last = first + round(definition.window_days * DAY_US)
        inside += f" and offset_us < {last}"
    return inside


def _aggregate(
    definition: MetricDefinition,
    outcome: str,
    condition: str,
    fixed_point: Collection[str],
) -> str:
    where = f"metric_name = {quote(outcome)} and {condition}"
    if definition.type is MetricType.PROPORTION:
        return f"cast(max(case when {where} and value > 0 then 1 else 0 end) as double)"
    if definition.aggregation == "count":
        return f"cast(count(case when {where} then 1 end) as double)"
    if definition.aggregation == "max":
        return f"coalesce(max(case when {where} then value end), 0.0)"
    return _total(outcome, condition, fixed_point)


def _total(outcome: str, condition: str, fixed_point: Collection[str]) -> str:
    where = f"metric_name = {quote(outcome)} and {condition}"
    if outcome in fixed_point:
        amount = f"case when {where} then cast(value as decimal(18, 6)) end"
        return f"cast(coalesce(sum({amount}), 0) as double)"
    # a sum of doubles depends on their order; sorted, it is the same every time
    ordered = f"list_sort(list(value) filter (where {where}))"
    return f"coalesce(list_sum({ordered}), 0.0)"
