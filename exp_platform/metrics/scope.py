"""What one run works on, as relations of its scratch schema.

The static models depend on no experiment: they join with these three relations.
"""

from collections.abc import Mapping
from datetime import datetime

from exp_platform.lake import Engine
from exp_platform.metrics.observations import DAY_US
from exp_platform.records import ExperimentSpec, MetricDefinition

_LOOKBACK_DAYS = 14


def write_scope(
    engine: Engine, spec: ExperimentSpec, definitions: Mapping[str, MetricDefinition]
) -> None:
    """Fill run_experiments, run_variants and run_metrics for one experiment."""
    import pyarrow as pa

    lookbacks = [d.covariate.lookback_days for d in definitions.values() if d.covariate]
    experiment = {
        "experiment_id": spec.experiment_id,
        "start_us": microseconds(spec.start_ts),
        "end_us": microseconds(spec.end_ts),
        "watermark_us": microseconds(spec.watermark_ts),
        "lookback_us": max(lookbacks, default=_LOOKBACK_DAYS) * DAY_US,
        "bot_rows_per_day": spec.plan.bot_rows_per_day,
        "exclude_bots": spec.plan.exclude_bots,
        "cluster_attribute": spec.cluster or "",
    }
    variants = [
        {
            "experiment_id": spec.experiment_id,
            "variant": variant.name,
            "planned_share": variant.weight,
            "is_control": variant.name == spec.control,
        }
        for variant in spec.variants
    ]
    metrics = [
        {
            "experiment_id": spec.experiment_id,
            "metric_name": name,
            "has_denominator": definition.denominator is not None,
            "has_covariate": definition.covariate is not None,
            "maturity_us": maturity_us(definition),
        }
        for name, definition in definitions.items()
    ]
    engine.register("exp_run.run_experiments", pa.Table.from_pylist([experiment]))
    engine.register("exp_run.run_variants", pa.Table.from_pylist(variants))
    engine.register("exp_run.run_metrics", pa.Table.from_pylist(metrics))


def maturity_us(definition: MetricDefinition) -> int:
    """Microseconds after exposure at which a unit's value is final; 0 = no window."""
    if definition.window_days is None:
        return 0
    return round((definition.delay_days + definition.window_days) * DAY_US)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of a UTC instant."""
    return round(instant.timestamp() * 1_000_000)
