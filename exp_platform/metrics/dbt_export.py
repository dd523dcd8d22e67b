"""Metric definitions as models of a dbt project that installs ours as a package."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from exp_platform.lake.types import quote_text as quote
from exp_platform.metrics.caps import require_caps
from exp_platform.metrics.generated import generate_selects
from exp_platform.metrics.models import ROWS, place_relations
from exp_platform.metrics.observations import transpile
from exp_platform.metrics.scope import metric_tables
from exp_platform.records import AnalysisPlan, MetricDefinition, MetricPlan

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "exp_"
"""Of every model written; the package looks for them under these names."""

_EXPERIMENTS = "exp_run.run_experiments"
_REFERENCES = {
    _EXPERIMENTS: f"ref('{PREFIX}run_experiments')",
    **{f"exp_run.{name}": f"ref('exp_platform', '{name}')" for name in ROWS},
}
_TYPES = {"bool": "boolean", "int64": "bigint", "double": "double", "string": "varchar"}
_HEAD = (
    "-- Written by `exp metrics export --format dbt`; change the definitions instead.\n"
)
_BRACE = "\ue000"
"""Stands for a brace, which only texts have, until the references are in."""


def export_models(
    definitions: Mapping[str, MetricDefinition],
    *,
    segments: Sequence[str] = (),
    dialect: str = "duckdb",
) -> dict[str, str]:
    """The relations made from definitions, as models for dbt.

    Sums are ordered sums of doubles: whether an outcome's values fit fixed-point numbers
    is not known without its rows.

    Args:
        definitions: metrics by name; every experiment of the project gets them all.
        segments: attributes of an exposure to drill down by.
        dialect: duckdb, spark or trino.

    Returns:
        File name -> text.

    Raises:
        UsageError: a percentile cap without its number.
    """
    chosen = {name: definitions[name] for name in sorted(definitions)}
    for definition in chosen.values():
        require_caps(definition)
    selects = generate_selects(chosen.values(), segments, fixed_point=())
    plan = AnalysisPlan(metrics=tuple(_plan_of(metric) for metric in chosen.values()))
    for name, table in metric_tables("", chosen, plan).items():
        selects[name] = _rows_sql(table.drop_columns(["experiment_id"]))
    return {
        f"{PREFIX}{name}.sql": f"{_HEAD}{_as_model(sql, dialect)}\n"
        for name, sql in selects.items()
    }


def _plan_of(definition: MetricDefinition) -> MetricPlan:
    """What the definition says where no plan does."""
    defaults = definition.defaults
    return MetricPlan(
        definition.name,
        defaults.role,
        margin=defaults.margin,
        margin_scale=defaults.margin_scale,
    )


def _as_model(sql: str, dialect: str) -> str:
    """Relations of the scratch schema as references; texts are left as they are.

    A text may hold anything, the braces of a template included.
    """
    safe = sql.replace("{", _BRACE)
    written = safe if dialect == "duckdb" else transpile(safe, dialect)
    referring = place_relations(written, dialect, _refer)
    return referring.replace(_BRACE, "{{ '{' }}")


def _refer(relation: str) -> str:
    reference = _REFERENCES.get(relation)
    return relation if reference is None else f"{{{{ {reference} }}}}"


def _rows_sql(table: "pa.Table") -> str:
    """Rows as literals, once for every experiment."""
    types = {field.name: _TYPES[str(field.type)] for field in table.schema}
    rows = table.to_pylist()
    if not rows:
        return f"{_row_sql(dict.fromkeys(types), types)}\nwhere false"
    return "\nunion all\n".join(_row_sql(row, types) for row in rows)


def _row_sql(row: Mapping[str, Any], types: Mapping[str, str]) -> str:
    columns = ",\n".join(
        f"    cast({_literal(row[name])} as {kind}) as {name}"
        for name, kind in types.items()
    )
    return f"select\n    experiment_id,\n{columns}\nfrom {_EXPERIMENTS}"


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return quote(value) if isinstance(value, str) else repr(value)
