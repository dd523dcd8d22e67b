"""The part of the SQL that depends on definitions: one literal SELECT for each metric.

Generated are `metric_observations` (a unit's value, denominator and covariate),
`metric_unit_days` (its value on a day), `metric_row_values` (single values, for a
quantile of rows), `metric_covariates` (where there are several), `metric_missing_values`
and `unit_segments`. Everything behind them is static SQL in the dbt project.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.funnels import reached_sql
from exp_platform.metrics.measures import (
    COLUMNS,
    Chain,
    Measure,
    columns_of,
    covariate_of,
    parts_of,
    value_part,
)
from exp_platform.metrics.spans import day_of, lookback_of, window_of
from exp_platform.metrics.unit_values import (
    COUNT,
    SUM,
    Part,
    may_miss_value,
    missing_rows_sql,
    part_value_sql,
    rows_sql,
    unit_sql,
    value_sql,
)
from exp_platform.records import Covariate, MetricDefinition

if TYPE_CHECKING:
    from sqlglot.expressions.core import Expr

POPULATION = "population"
CROSSOVER_SEGMENT = f"{POPULATION}=without_crossover"
BOT_SEGMENT = f"{POPULATION}=without_bots"

_START, _ADD = "cast(0 as double)", "(total, item) -> total + item"
_LIST_SUM = {
    "spark": f"aggregate(content, {_START}, {_ADD})",
    "trino": f"reduce(content, {_START}, {_ADD}, total -> total)",
}
# One letter becomes one letter, wherever it stands: Spark makes SS of ß, two letters of İ,
# another sigma of a last one. Its iota below the line stays there.
_SMALL = "ßᾀᾁᾂᾃᾄᾅᾆᾇᾐᾑᾒᾓᾔᾕᾖᾗᾠᾡᾢᾣᾤᾥᾦᾧᾳῃῳ"
_LARGE = "ẞᾈᾉᾊᾋᾌᾍᾎᾏᾘᾙᾚᾛᾜᾝᾞᾟᾨᾩᾪᾫᾬᾭᾮᾯᾼῌῼ"
_BLANKS, _DIGITS = r"[ \t-\r]*", "[0-9](_?[0-9])*"
_FRACTION = f"({_DIGITS}[.]?({_DIGITS})?|[.]{_DIGITS})"
_NUMBER = f"^{_BLANKS}[+-]?{_FRACTION}([eE][+-]?{_DIGITS})?{_BLANKS}$"
# What DuckDB casts to a number; Java takes 7d and 0x1p3 for numbers too.
_AS_NUMBER = (
    f"case when regexp_matches(content, '{_NUMBER}')"
    " then try_cast(replace(content, '_', '') as double) end"
)
_LETTERS = "array_join(transform(split(content, ''), letter -> {}), '')"
_CASES = {
    ("spark", "lower"): _LETTERS.format("if(letter = 'İ', 'i', lower(letter))"),
    ("spark", "upper"): _LETTERS.format(
        "if(length(upper(letter)) = 1, upper(letter),"
        f" translate(letter, '{_SMALL}', '{_LARGE}'))"
    ),
    ("trino", "upper"): "replace(upper(content), 'ß', 'ẞ')",
}


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
    columns = columns_of(definition)
    parts = {name: m for name, m in columns.items() if isinstance(m, Part)}
    is_one_pass = len(parts) == len(columns) and _stand_together(parts.values())
    filled = (
        _fill_in_one_pass(parts, fixed_point)
        if is_one_pass
        else _fill_in_several_passes(columns, fixed_point)
    )
    return (
        f"/* {_describe_spans(definition)} */\n"
        "select\n"
        "    experiment_id,\n"
        f"    {quote(definition.name)} as metric_name,\n"
        "    unit_no,\n"
        f"{filled}"
    )


def unit_day_sql(definition: MetricDefinition, *, fixed_point: Collection[str]) -> str:
    """The unit's value on each day after exposure, numerator only; absent = 0.

    A cap holds for the total of a unit's days, so that running totals need the days of a
    capped sum as they were.
    """
    part = value_part(definition)
    is_capped_sum = part.cap is not None and part.aggregation in {SUM, COUNT}
    uncapped = unit_sql(replace(part, cap=None), fixed_point)
    kept = uncapped if is_capped_sum else "cast(null as double)"
    day = day_of(part.relation.instant)
    return (
        "select\n"
        "    experiment_id,\n"
        f"    {quote(definition.name)} as metric_name,\n"
        "    variant,\n"
        "    unit_no,\n"
        f"    {day} as outcome_day,\n"
        f"    {unit_sql(part, fixed_point)} as value,\n"
        f"    {kept} as uncapped_value\n"
        f"from {part.relation.table}\n"
        f"where {rows_sql(part)}\n"
        f"group by experiment_id, variant, unit_no, {day}"
    )


def row_value_sql(definition: MetricDefinition) -> str:
    """Every single value inside the window, for a quantile of rows."""
    part = value_part(definition)
    return (
        "select\n"
        "    experiment_id,\n"
        f"    {quote(definition.name)} as metric_name,\n"
        "    unit_no,\n"
        f"    {_name_value(part)}\n"
        f"from {part.relation.table}\n"
        f"where {rows_sql(part)}"
    )


def _name_value(part: Part) -> str:
    value = value_sql(part.rows)
    return value if value == "value" else f"{value} as value"


def covariate_sql(definition: MetricDefinition, *, fixed_point: Collection[str]) -> str:
    """One row per unit and covariate, for metrics adjusted by several."""
    return "\nunion all\n".join(
        _covariate_branch(definition, covariate, fixed_point)
        for covariate in definition.covariates
    )


def missing_sql(definition: MetricDefinition) -> str:
    """Units of which a row has no value: their total is unknown, not smaller."""
    branches = []
    for part, label in parts_of(definition):
        name = "cast(null as varchar)" if label is None else quote(label)
        head = (
            f"select experiment_id, {quote(definition.name)} as metric_name, unit_no,"
            f" {name} as covariate_name\n"
        )
        branches.append(f"{head}from {missing_rows_sql(part)}")
        if may_miss_value(part):
            value = part_value_sql(part)
            branches.append(
                f"{head}from {part.relation.table}\n"
                f"where {rows_sql(part)} and ({value}) is null"
            )
    return "\nunion all\n".join(branches)


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
            exists = f"(select bool_or({flag}) from {source})"
            branches.append(
                f"select unit_no, {quote(subset)} as segment from {source}"
                f" and not {flag} and {exists}"
            )
    return "\nunion all\n".join(branches)


def union_of(branches: Sequence[str], *, order: str = "") -> str:
    """All metrics' SELECTs as one relation; empty text without any.

    Args:
        branches: one SELECT for each metric; an empty one is left out.
        order: columns to sort by, where sums must not depend on chance.
    """
    union = "\nunion all\n".join(filter(None, branches))
    if not order or not union:
        return union
    return f"select * from (\n{union}\n) as metrics\norder by {order}"


def transpile(sql: str, dialect: str) -> str:
    """The same SQL for another engine: duckdb, spark or trino."""
    import sqlglot

    tree = sqlglot.parse_one(sql, read="duckdb")
    if dialect != "duckdb":
        # parts first: what was put in another's place is not looked into again
        for node in reversed(list(tree.walk())):
            written = _translate(node, dialect)
            if written is not node:
                node.replace(written)
    return tree.sql(dialect, pretty=True)


def _translate(node: "Expr", dialect: str) -> "Expr":
    """What sqlglot leaves as it is, where engines mean something else by it."""
    from sqlglot import exp

    if isinstance(node, exp.Anonymous) and node.name.lower() == "list_sum":
        return _fill(_LIST_SUM[dialect], node.expressions[0], dialect)
    if isinstance(node, exp.Bracket) and dialect == "trino":
        return exp.func("element_at", node.this, node.expressions[0])
    if isinstance(node, exp.TryCast) and node.to.is_type("double"):
        return _fill(_AS_NUMBER, node.this, "duckdb")
    if isinstance(node, exp.Lower | exp.Upper):
        template = _CASES.get((dialect, type(node).__name__.lower()))
        return _fill(template, node.this, dialect) if template else node
    return node


def _fill(template: str, content: "Expr", dialect: str) -> "Expr":
    """The template's SQL with a part in place of the word `content`."""
    import sqlglot
    from sqlglot import exp

    return exp.replace_tree(
        sqlglot.parse_one(template, read=dialect),
        lambda part: content if part.sql() == "content" else part,
    )


def _describe_spans(definition: MetricDefinition) -> str:
    """Days and nothing else: a name has no place in a comment."""
    words = window_of(definition).words
    spans = {lookback_of(definition, c).words for c in definition.covariates}
    return "; ".join([words, *(f"covariate: {span}" for span in sorted(spans))])


def _stand_together(parts: Iterable[Part]) -> bool:
    return len({part.relation.table for part in parts}) == 1


def _fill_in_one_pass(parts: Mapping[str, Part], fixed_point: Collection[str]) -> str:
    """All columns from the same rows, which are read once."""
    relation = next(iter(parts.values())).relation
    filled = {name: unit_sql(part, fixed_point) for name, part in parts.items()}
    names = sorted({quote(part.name) for part in parts.values()})
    return (
        f"{_list_columns(filled)}\n"
        f"from {relation.table}\n"
        f"where {relation.name} in ({', '.join(names)})\n"
        "group by experiment_id, unit_no"
    )


def _fill_in_several_passes(
    columns: Mapping[str, Measure], fixed_point: Collection[str]
) -> str:
    """Each column from rows of its own; a unit that lacks one has 0 there."""
    if len(columns) == 1:
        ((name, measure),) = columns.items()
        units = _indent(_units_sql(measure, fixed_point))
        return f"{_list_columns({name: 'number'})}\nfrom (\n{units}\n) as units"
    passes = []
    for name, measure in columns.items():
        others = "".join(
            f", {'number' if other == name else '0.0e0'} as {other}"
            for other in columns
        )
        units = _indent(_units_sql(measure, fixed_point))
        passes.append(
            f"select experiment_id, unit_no{others}\nfrom (\n{units}\n) as units"
        )
    filled = {name: f"sum({name})" for name in columns}
    union = _indent("\nunion all\n".join(passes))
    return (
        f"{_list_columns(filled)}\n"
        f"from (\n{union}\n) as passes\n"
        "group by experiment_id, unit_no"
    )


def _list_columns(filled: Mapping[str, str]) -> str:
    return ",\n".join(
        f"    {filled.get(name, 'cast(null as double)')} as {name}" for name in COLUMNS
    )


def _covariate_branch(
    definition: MetricDefinition, covariate: Covariate, fixed_point: Collection[str]
) -> str:
    measure = covariate_of(definition, covariate)
    return (
        "select\n"
        "    experiment_id,\n"
        f"    {quote(definition.name)} as metric_name,\n"
        f"    {quote(covariate.label)} as covariate_name,\n"
        "    unit_no,\n"
        "    number as value\n"
        f"from (\n{_indent(_units_sql(measure, fixed_point))}\n) as units"
    )


def _units_sql(measure: Measure, fixed_point: Collection[str]) -> str:
    """Units with one number; those without a row that counts are absent."""
    if isinstance(measure, Chain):
        return reached_sql(measure.parts)
    return (
        "select experiment_id, unit_no,\n"
        f"    {unit_sql(measure, fixed_point)} as number\n"
        f"from {measure.relation.table}\n"
        f"where {measure.relation.name} = {quote(measure.name)}\n"
        "group by experiment_id, unit_no"
    )


def _indent(sql: str, blanks: int = 4) -> str:
    return "\n".join(" " * blanks + line for line in sql.splitlines())
