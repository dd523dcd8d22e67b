"""Run the compiled SQL models straight in the engine, in the order of their DAG."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Protocol

from exp_platform.lake import Engine
from exp_platform.lake.reading import open_empty
from exp_platform.metrics.generated import EMPTY

GROUPS = ("raw_events", "users", "events", "metrics")
# Not every experiment has them; what is not open by now has no rows.
_MAY_BE_ABSENT = ("fact_event", "event_quarantine", "assignments")
_CHECKS = ("stg_user_events", "int_checked_events")
# Sums of doubles must not depend on how threads split the rows.
_ORDERED = {
    "metric_aggregates_overall",
    "metric_aggregates_daily",
    "metric_adjustments",
    "int_maturity_totals",
    "int_quantiles",
    "int_cluster_sums",
    "int_cluster_totals",
    "int_cohort_days",
    "int_cohort_gains",
    "metric_aggregates_by_age",
}
GENERATED = (*EMPTY, "unit_segments")
ROWS = (
    "int_unit_outcomes",
    "int_unit_events",
    "int_missing_values",
    "int_missing_events",
    "experiment_assignments",
)
"""What relations made from definitions read."""
_RELATION = re.compile(r"\bexp(?:_run|_raw)?\.[a-z_]+")
_COMMENT = r"--[^\n]*|/\*.*?\*/"
_TEXT = "'(?:[^']|'')*'"
_SPARK_TEXT = r"'(?:[^'\\]|\\.)*'"


class ModelEngine(Protocol):
    """What the models need of an engine."""

    @property
    def dialect(self) -> str:
        """Folder of the compiled SQL: duckdb, spark or trino."""

    def place(self, qualified_name: str) -> str:
        """What a relation such as `exp_run.int_x` is called there."""

    def create_view(self, qualified_name: str, select: str) -> None:
        """Create or replace a view."""

    def create_table(
        self, qualified_name: str, select: str, *, in_order: bool = False
    ) -> None:
        """Compute a relation once; `in_order` where sums depend on the order."""


@cache
def model_order(
    dialect: str = "duckdb", groups: tuple[str, ...] = GROUPS
) -> tuple[tuple[str, str], ...]:
    """Model names with their materialisation (view or table), parents first.

    Args:
        dialect: duckdb, spark or trino.
        groups: `raw_events` (raw files to fact_event), `users` (dim_user), `events`
            (what is made of events for an experiment), `metrics` (everything else).
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


def check_raw_events(engine: Engine) -> None:
    """Create `int_checked_events`: every raw row typed and judged.

    Args:
        engine: holds `exp_raw.user_events`.
    """
    _create(engine, model_order(groups=("raw_events",)), only=_CHECKS)


def merge_raw_events(engine: Engine) -> None:
    """Create `fact_event` and `event_quarantine` in `exp_run`.

    Args:
        engine: holds the checked rows and `exp_run.run_published_*`.
    """
    order = model_order(groups=("raw_events",))
    _create(engine, order, only=[name for name, _ in order if name not in _CHECKS])


def find_event_copies(engine: Engine) -> None:
    """Create `int_event_copies` in `exp_run`: rows that repeat an event's id.

    Args:
        engine: holds the checked rows and `exp_run.run_published_*`.
    """
    order = model_order(groups=("raw_events",))
    _create(engine, order, only=("int_event_candidates", "int_event_copies"))


def describe_users(engine: Engine) -> None:
    """Create `dim_user` in `exp_run` from `exp.fact_event`."""
    order = model_order(groups=("users",))
    _create(engine, order, only=[name for name, _ in order])


def open_exposure_events(engine: Engine) -> None:
    """Create `int_exposure_events` in `exp_run`: exposures that events tell of.

    Args:
        engine: holds `exp.fact_event` and `exp_run.run_experiments`.
    """
    names = ("stg_events", "int_exposure_events")
    _create(engine, model_order(), only=names)


def _create(
    engine: Engine, order: Iterable[tuple[str, str]], only: Collection[str]
) -> None:
    for name, materialized in order:
        if name in only:
            select = model_sql(name)
            engine.execute(
                f"create or replace {materialized} exp_run.{name} as\n{select}"
            )


def build_models(
    engine: Engine,
    generated: Mapping[str, str],
    *,
    has_events: bool = False,
    only: Collection[str] = (),
) -> None:
    """Create every model in `exp_run`.

    Args:
        engine: holds the sources `exp.*` and the scope `exp_run.run_*`.
        generated: SELECTs of the relations made from definitions, by name.
        has_events: the experiment has events, in `exp.fact_event`.
        only: these models, with all that they are made from; none = every one.
    """
    open_absent(engine)
    create_models(engine, generated, has_events=has_events, only=only)


def open_absent(engine: Engine) -> None:
    """Open sources that not every experiment has, without rows."""
    for table in _MAY_BE_ABSENT:
        open_empty(engine, table)


def create_models(
    engine: ModelEngine,
    generated: Mapping[str, str],
    *,
    has_events: bool,
    only: Collection[str] = (),
) -> None:
    """Create every model, parents first, in the engine's own dialect.

    Args:
        engine: holds every source.
        generated: SELECTs of the relations made from definitions, in its dialect.
        has_events: the experiment has events.
        only: these models, with all that they are made from; none = every one.
    """
    for name, materialized in model_order(
        engine.dialect, groups_of(has_events=has_events)
    ):
        if only and name not in only:
            continue
        select = (
            generated[name] if name in GENERATED else model_sql(name, engine.dialect)
        )
        select = place_relations(select, engine.dialect, engine.place)
        if materialized == "view":
            engine.create_view(f"exp_run.{name}", select)
        else:
            engine.create_table(f"exp_run.{name}", select, in_order=name in _ORDERED)


def find_needed(last: str, texts: Mapping[str, str] | None = None) -> frozenset[str]:
    """A model and all that it is made from.

    Args:
        last: its name.
        texts: SELECTs by model name; None = the compiled ones, where a relation made
            from definitions may read any row of a unit.
    """
    if texts is None:
        rows = " ".join(f"exp_run.{name}" for name in ROWS)
        texts = {
            name: rows if name in GENERATED else model_sql(name)
            for name, _ in model_order()
        }
    needed, waiting = {last}, [last]
    while waiting:
        named = re.findall(r"\bexp_run\.(\w+)", texts[waiting.pop()])
        new = {name for name in named if name in texts} - needed
        needed |= new
        waiting += sorted(new)
    return frozenset(needed)


def groups_of(*, has_events: bool) -> tuple[str, ...]:
    """Groups of models that an experiment needs."""
    return ("metrics", "events") if has_events else ("metrics",)


def place_relations(sql: str, dialect: str, place: Callable[[str], str]) -> str:
    """The same SQL with relations called what an engine calls them.

    Args:
        sql: with names such as `exp.outcomes` and `exp_run.int_x`.
        dialect: decides where a text ends.
        place: the engine's name of a relation.
    """
    quoted = _SPARK_TEXT if dialect == "spark" else _TEXT
    names = re.compile(f"({_COMMENT}|{quoted})|{_RELATION.pattern}", re.DOTALL)
    return names.sub(lambda found: found[1] or place(found[0]), sql)


def list_sources(groups: tuple[str, ...] = GROUPS) -> tuple[str, ...]:
    """Relations that models read and none of them makes, by qualified name."""
    order = model_order(groups=groups)
    made = {f"exp_run.{name}" for name, _ in order}
    static = (model_sql(name) for name, _ in order if name not in GENERATED)
    read = {name for sql in static for name in _RELATION.findall(sql)}
    return tuple(sorted(read - made))


def _folder(dialect: str) -> resources.abc.Traversable:
    return resources.files("exp_platform.metrics").joinpath("compiled", dialect)
