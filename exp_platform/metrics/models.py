"""Run the compiled SQL models straight in the engine, in the order of their DAG."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources

from exp_platform.lake import Engine
from exp_platform.lake.reading import open_empty
from exp_platform.metrics.generated import EMPTY

GROUPS = ("raw_events", "events", "metrics")
# Sums of doubles must not depend on how threads split the rows.
_ORDERED = {
    "metric_aggregates_overall",
    "metric_aggregates_daily",
    "metric_adjustments",
    "int_quantiles",
    "int_cluster_sums",
    "int_cluster_totals",
}
GENERATED = (*EMPTY, "unit_segments")


@cache
def model_order(
    dialect: str = "duckdb", groups: tuple[str, ...] = GROUPS
) -> tuple[tuple[str, str], ...]:
    """Model names with their materialisation (view or table), parents first.

    Args:
        dialect: duckdb, spark or trino.
        groups: `raw_events` (raw files to fact_event), `events` (what is made of it for
            an experiment), `metrics` (everything else).
    """
    text = _folder(dialect).joinpath("models.json").read_text("utf-8")
    return tuple(
        (entry["name"], entry["materialized"])
        for entry in json.loads(text)
        if entry["group"] in groups
    )


def model_sql(name: str, dialect: str = "duckdb") -> str:
    """The compiled SELECT of one static model."""
    return _folder(dialect).joinpath(f"{name}.sql").read_text("utf-8")


def build_raw_events(engine: Engine) -> None:
    """Create `fact_event` and `event_quarantine` in `exp_run` from raw events.

    Args:
        engine: holds `exp_raw.user_events` and `exp_run.run_published_*`.
    """
    for name, materialized in model_order(groups=("raw_events",)):
        engine.execute(
            f"create or replace {materialized} exp_run.{name} as\n{model_sql(name)}"
        )


def build_models(
    engine: Engine, generated: Mapping[str, str], *, has_events: bool = False
) -> None:
    """Create every model in `exp_run`.

    Args:
        engine: holds the sources `exp.*` and the scope `exp_run.run_*`.
        generated: SELECTs of the relations made from definitions, by name.
        has_events: the experiment has events, in `exp.fact_event`.
    """
    if not has_events:
        open_empty(engine, "fact_event")
    groups = ("metrics", "events") if has_events else ("metrics",)
    for name, materialized in model_order(groups=groups):
        select = model_sql(name) if name not in GENERATED else generated[name]
        statement = f"create or replace {materialized} exp_run.{name} as\n{select}"
        if name in _ORDERED:
            execute_ordered(engine, statement)
        else:
            engine.execute(statement)


def execute_ordered(engine: Engine, statement: str) -> None:
    """Run one statement on one thread, so that sums of doubles are reproducible."""
    threads = engine.rows("select current_setting('threads')")[0][0]
    engine.execute("set threads = 1")
    try:
        engine.execute(statement)
    finally:
        engine.execute(f"set threads = {int(str(threads))}")


def _folder(dialect: str) -> resources.abc.Traversable:
    return resources.files("exp_platform.metrics").joinpath("compiled", dialect)
