"""What one run works on, as relations of its scratch schema.

The static models depend on no experiment: they join with these five relations.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from exp_platform.lake import Engine
from exp_platform.metrics.caps import require_caps
from exp_platform.metrics.measures import (
    day_rule_of,
    denominator_part,
    events_of,
    has_daily_value,
    has_several_covariates,
)
from exp_platform.metrics.spans import DAY_US
from exp_platform.records import (
    AnalysisPlan,
    Covariate,
    ExperimentSpec,
    MetricDefinition,
    MetricPlan,
)
from exp_platform.stats.cluster import BOOTSTRAP_BELOW, FEWEST_CLUSTERS
from exp_platform.stats.guardrail import ALPHA as GUARDRAIL_ALPHA

if TYPE_CHECKING:
    import pyarrow as pa

_LOOKBACK_DAYS = 14


def write_scope(
    engine: Engine, spec: ExperimentSpec, definitions: Mapping[str, MetricDefinition]
) -> None:
    """Fill run_experiments, run_variants, run_metrics, run_covariates, run_events."""
    write_scopes(engine, [(spec, definitions)])


def write_scopes(
    engine: Engine,
    scopes: Iterable[tuple[ExperimentSpec, Mapping[str, MetricDefinition]]],
) -> None:
    """The same for several experiments, at least one, that the models take at once."""
    import pyarrow as pa

    tables = [scope_tables(spec, definitions) for spec, definitions in scopes]
    for name in tables[0]:
        engine.register(f"exp_run.{name}", pa.concat_tables(t[name] for t in tables))


def scope_tables(
    spec: ExperimentSpec, definitions: Mapping[str, MetricDefinition]
) -> dict[str, "pa.Table"]:
    """The relations of one experiment; those of several are these one after another."""
    import pyarrow as pa

    variants = [
        {
            "experiment_id": spec.experiment_id,
            "variant": variant.name,
            "planned_share": variant.weight,
            "is_control": variant.name == spec.control,
        }
        for variant in spec.variants
    ]
    return {
        "run_experiments": pa.Table.from_pylist([_experiment_row(spec, definitions)]),
        "run_variants": pa.Table.from_pylist(variants),
        **metric_tables(spec.experiment_id, definitions, spec.plan),
    }


def metric_tables(
    experiment_id: str,
    definitions: Mapping[str, MetricDefinition],
    plan: AnalysisPlan,
) -> dict[str, "pa.Table"]:
    """What an experiment measures: run_metrics, run_covariates, run_events.

    Raises:
        UsageError: a percentile cap without its number.
    """
    import pyarrow as pa

    for definition in definitions.values():
        require_caps(definition)
    metrics = [
        _metric_row(experiment_id, definition, plan.of(name))
        for name, definition in definitions.items()
    ]
    covariates = [
        _covariate_row(experiment_id, definition, position, covariate)
        for definition in definitions.values()
        if has_several_covariates(definition)
        for position, covariate in enumerate(definition.covariates, start=1)
    ]
    names = pa.schema([("experiment_id", pa.string()), ("event_name", pa.string())])
    events = [
        {"experiment_id": experiment_id, "event_name": name}
        for name in sorted({e for d in definitions.values() for e in events_of(d)})
    ]
    return {
        "run_metrics": pa.Table.from_pylist(metrics, schema=_metric_schema()),
        "run_covariates": pa.Table.from_pylist(covariates, schema=_covariate_schema()),
        "run_events": pa.Table.from_pylist(events, schema=names),
    }


def _experiment_row(
    spec: ExperimentSpec, definitions: Mapping[str, MetricDefinition]
) -> dict[str, Any]:
    lookbacks = [c.lookback_days for d in definitions.values() for c in d.covariates]
    return {
        "experiment_id": spec.experiment_id,
        "start_us": microseconds(spec.start_ts),
        "end_us": microseconds(spec.end_ts),
        "watermark_us": microseconds(spec.watermark_ts),
        "last_look_us": microseconds(_last_look(spec)),
        "lookback_us": max(lookbacks, default=_LOOKBACK_DAYS) * DAY_US,
        "bot_rows_per_day": spec.plan.bot_rows_per_day,
        "exclude_bots": spec.plan.exclude_bots,
        "cluster_attribute": spec.cluster or "",
        "namespace": spec.namespace,
        "assignment": spec.assignment.value,
        "is_dated": spec.is_dated,
        "alpha": spec.plan.alpha,
        "guardrail_alpha": GUARDRAIL_ALPHA,
        "min_units_per_arm": spec.plan.min_units_per_arm,
        "fewest_clusters": FEWEST_CLUSTERS,
        "bootstrap_below": BOOTSTRAP_BELOW,
        "accepts_within_margin": spec.plan.accept_within_margin,
    }


def _last_look(spec: ExperimentSpec) -> datetime:
    """The registered one; without a registered end looks go as far as the data."""
    has_end = spec.plan.sequential.has_end
    return spec.last_look_ts if has_end else spec.watermark_ts


def _metric_row(
    experiment_id: str, definition: MetricDefinition, plan: MetricPlan
) -> dict[str, Any]:
    days, covariate = definition.window_days, definition.covariate
    below = denominator_part(definition)
    return {
        "experiment_id": experiment_id,
        "metric_name": definition.name,
        "metric_type": definition.type.value,
        "direction": definition.direction.value,
        "role": plan.role.value,
        "margin": plan.margin,
        "margin_scale": plan.margin_scale.value,
        "numerator": definition.numerator,
        "denominator": None if below is None else below.name,
        "covariate": covariate.label if covariate else None,
        "delay_us": round(definition.delay_days * DAY_US),
        "window_us": None if days is None else round(days * DAY_US),
        "lookback_us": covariate.lookback_days * DAY_US if covariate else None,
        "maturity_us": maturity_us(definition),
        "grain_us": _grain_us(definition),
        "has_daily_value": has_daily_value(definition),
        "day_rule": day_rule_of(definition),
        "cap": definition.cap,
        "quantile": definition.quantile,
        "is_of_rows": definition.is_of_rows,
    }


def _covariate_row(
    experiment_id: str,
    definition: MetricDefinition,
    position: int,
    covariate: Covariate,
) -> dict[str, Any]:
    return {
        "experiment_id": experiment_id,
        "metric_name": definition.name,
        "covariate_name": covariate.label,
        "position": position,
        "lookback_us": covariate.lookback_days * DAY_US,
        "grain_us": _grain_us(definition),
    }


def _grain_us(definition: MetricDefinition) -> int:
    return DAY_US if definition.is_day_grained else 1


def _metric_schema() -> "pa.Schema":
    """Types of run_metrics, which may have no row or nulls only."""
    import pyarrow as pa

    texts = ("experiment_id", "metric_name", "metric_type", "direction", "role")
    more_texts = ("margin_scale", "numerator", "denominator", "covariate", "day_rule")
    spans = ("delay_us", "window_us", "lookback_us", "maturity_us", "grain_us")
    return pa.schema(
        [(name, pa.string()) for name in (*texts, *more_texts)]
        + [("margin", pa.float64()), ("cap", pa.float64())]
        + [(name, pa.int64()) for name in spans]
        + [("has_daily_value", pa.bool_()), ("quantile", pa.float64())]
        + [("is_of_rows", pa.bool_())]
    )


def _covariate_schema() -> "pa.Schema":
    import pyarrow as pa

    texts = ("experiment_id", "metric_name", "covariate_name")
    return pa.schema(
        [(name, pa.string()) for name in texts]
        + [(name, pa.int64()) for name in ("position", "lookback_us", "grain_us")]
    )


def maturity_us(definition: MetricDefinition) -> int:
    """Microseconds after exposure at which a unit counts.

    With a window its value is final then; without one it begins to grow then.
    """
    delay = round(definition.delay_days * DAY_US)
    if definition.window_days is None:
        return delay
    return delay + round(definition.window_days * DAY_US)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of a UTC instant."""
    return round(instant.timestamp() * 1_000_000)
