"""Metric definitions as a semantic model for MetricFlow, over the units' values.

MetricFlow has no window that begins at a unit's first exposure, so it is not given rows
to add up itself: its measures stand on `metric_calculations`, one row per unit and metric
with window, filter, cap and maturity applied. What it then computes is a total and a mean
by arm, the same ones as `metric_aggregates_overall` has. It has no variance and no test.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from exp_platform.metrics.wording import describe_value
from exp_platform.records import MetricDefinition, MetricType

MODEL = "exp_unit_values"
ENTITY = "unit_value"
_NAME = re.compile(r"^(?!.*__)[a-z][a-z0-9_]*[a-z0-9]$")
# names of its own for parts of time
_RESERVED = {"day", "week", "month", "quarter", "year", "hour", "minute", "second"}
_LONGEST = 100
_TEMPLATE = re.compile(r"\{(?=[{%#])")

UNIT_VALUES = """\
-- Written by `exp metrics export --format metricflow`: one row per unit that counts and metric.
select
    calculations.experiment_id || '/' || calculations.metric_name || '/' || calculations.user_id
        as unit_value,
    calculations.experiment_id,
    calculations.metric_name,
    calculations.variant,
    assignments.is_crossover,
    assignments.is_bot,
    assignments.exposure_ts as exposed_at,
    calculations.value,
    calculations.denominator
from {calculations} as calculations
inner join {assignments} as assignments
    on calculations.unit_no = assignments.unit_no
"""


@dataclass(frozen=True, slots=True)
class SemanticModel:
    """What MetricFlow can be told.

    Attributes:
        files: file name -> text.
        left_out: metric -> why it is not among them.
    """

    files: Mapping[str, str]
    left_out: Mapping[str, str]


def export_semantic_model(
    definitions: Mapping[str, MetricDefinition], *, package: str | None = "exp_platform"
) -> SemanticModel:
    """The semantic model of all definitions that MetricFlow can express.

    A metric `m` becomes the metrics `m` (mean, ratio or quantile), `m_total` (sum of the
    units' values) and `m_units` (units that count); a ratio has `m_denominator` too.

    Args:
        definitions: metrics by name.
        package: where `metric_calculations` is a model; None = in the same project.
    """
    reasons = {name: why_left_out(definitions[name]) for name in sorted(definitions)}
    reasons |= _clashes({name for name, reason in reasons.items() if not reason})
    kept = [definitions[name] for name, reason in reasons.items() if not reason]
    left_out = {name: reason for name, reason in reasons.items() if reason}
    owner = "" if package is None else f"'{package}', "
    model = UNIT_VALUES.format(
        calculations=f"{{{{ ref({owner}'metric_calculations') }}}}",
        assignments=f"{{{{ ref({owner}'experiment_assignments') }}}}",
    )
    files = {f"{MODEL}.sql": model, f"{MODEL}.yml": _yaml(kept, left_out)}
    return SemanticModel(files, left_out)


def why_left_out(definition: MetricDefinition) -> str:
    """Why MetricFlow cannot have this metric; empty = it can."""
    name = definition.name
    is_long = len(name) > _LONGEST
    if is_long or not _NAME.fullmatch(name) or name in _RESERVED:
        return (
            "MetricFlow's names are lower case letters, digits and single underscores"
        )
    if definition.is_of_rows:
        return "a quantile of single rows is not made of units' values"
    return ""


def _clashes(names: set[str]) -> dict[str, str]:
    """A metric called like a part of another one."""
    parts = {
        f"{n}_{part}": n for n in names for part in ("total", "units", "denominator")
    }
    return {
        name: f"its name is the one of a part of {parts[name]}"
        for name in sorted(names & parts.keys())
    }


def _yaml(kept: list[MetricDefinition], left_out: Mapping[str, str]) -> str:
    import yaml

    document = {
        "version": 2,
        "models": [{"name": MODEL, "description": "One row per unit and metric."}],
        "semantic_models": [_semantic_model(kept)],
        "metrics": [metric for d in kept for metric in _metrics(d)],
    }
    head = "# Written by `exp metrics export --format metricflow`; change the definitions.\n"
    head += "# Not here: variances, tests, adjustment by covariates.\n"
    for name, reason in left_out.items():
        head += f"# Not here: {name!r}, because {reason}.\n"
    return head + yaml.safe_dump(document, sort_keys=False, width=100)


def _semantic_model(kept: list[MetricDefinition]) -> dict[str, Any]:
    return {
        "name": MODEL,
        "description": (
            "Units' values: mature units only, 0 for a unit without rows, windows from the"
            " first exposure on."
        ),
        "model": f"ref('{MODEL}')",
        "defaults": {"agg_time_dimension": "exposed_at"},
        "entities": [{"name": ENTITY, "type": "primary"}],
        "dimensions": [
            {
                "name": "exposed_at",
                "type": "time",
                "type_params": {"time_granularity": "day"},
            },
            *(
                {"name": name, "type": "categorical"}
                for name in ("experiment_id", "variant", "is_crossover", "is_bot")
            ),
        ],
        "measures": [measure for d in kept for measure in _measures(d)],
    }


def _measures(definition: MetricDefinition) -> Iterator[dict[str, Any]]:
    name = definition.name
    mine = f"metric_name = '{name}'"
    yield {
        "name": f"{name}_total",
        "agg": "sum",
        "expr": f"case when {mine} then value end",
    }
    yield {
        "name": f"{name}_units",
        "agg": "sum",
        "expr": f"case when {mine} then 1 end",
    }
    if definition.type is MetricType.RATIO:
        yield {
            "name": f"{name}_denominator",
            "agg": "sum",
            "expr": f"case when {mine} then denominator end",
        }
    if definition.quantile is not None:
        yield {
            "name": name,
            "agg": "percentile",
            "expr": f"case when {mine} then value end",
            "agg_params": {
                "percentile": definition.quantile,
                "use_discrete_percentile": True,
            },
        }


def _as_text(words: str) -> str:
    """Words that dbt leaves as they are: it reads a description as a template."""
    return _TEMPLATE.sub("{{ '{' }}", words)


def _metrics(definition: MetricDefinition) -> Iterator[dict[str, Any]]:
    name = definition.name
    words = _as_text(definition.description or describe_value(definition))
    told = {"name": name, "label": name.replace("_", " "), "description": words}
    meta = {"meta": {"metric_version": definition.metric_version}}
    meta["meta"] |= {"direction": definition.direction.value}
    if definition.quantile is not None:
        yield {
            **told,
            "type": "simple",
            "type_params": {"measure": name},
            "config": meta,
        }
    else:
        below = "denominator" if definition.type is MetricType.RATIO else "units"
        parts = {"numerator": f"{name}_total", "denominator": f"{name}_{below}"}
        yield {**told, "type": "ratio", "type_params": parts, "config": meta}
    for part, sentence in (
        ("total", "Sum of the units' values of"),
        ("units", "Units that count in"),
        ("denominator", "Sum of the units' denominators of"),
    ):
        if part == "denominator" and definition.type is not MetricType.RATIO:
            continue
        yield {
            "name": f"{name}_{part}",
            "label": f"{name.replace('_', ' ')}: {part}",
            "description": f"{sentence} {name}.",
            "type": "simple",
            "type_params": {"measure": f"{name}_{part}"},
        }
