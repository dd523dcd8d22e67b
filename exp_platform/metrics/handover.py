"""The models on another engine: rows go there, the finished relations come home.

Whatever engine computes, DuckDB reads and publishes the result under the same names, so
that everything behind the models is the same code.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from exp_platform.lake import Engine
from exp_platform.metrics.models import (
    ModelEngine,
    create_models,
    groups_of,
    list_sources,
    model_order,
    open_absent,
)

if TYPE_CHECKING:
    import pyarrow as pa

_PYTHON_READS = (
    "experiment_assignments",
    "metric_calculations",
    "int_unit_outcomes",
    "int_unit_events",
    "int_missing_values",
    "int_missing_events",
    "int_maturity_totals",
    "int_cluster_totals",
    "int_cluster_sums",
)
"""Besides what is published: panels, tails, cohorts and clusters are made of these."""


class Receiver(Protocol):
    """Where rows are sent."""

    def receive(
        self, qualified_name: str, schema: "pa.Schema", rows: "Iterable[pa.RecordBatch]"
    ) -> None:
        """Make rows readable as e.g. `exp.exposures`."""


class OtherEngine(ModelEngine, Receiver, Protocol):
    """An engine that computes the models instead of DuckDB."""

    @property
    def version(self) -> str:
        """Name and version, for the run's ledger."""

    def begin(self) -> None:
        """All sources have come; models follow."""

    def fetch(self, qualified_name: str) -> "pa.Table":
        """All rows of a relation."""

    def close(self) -> None:
        """Drop everything that was made for the run."""


def build_models_elsewhere(
    home: Engine,
    other: OtherEngine,
    generated: Mapping[str, str],
    *,
    has_events: bool,
    published: Iterable[str],
) -> None:
    """Create the models in another engine and bring home what is read there.

    Args:
        home: holds the sources and the scope.
        other: computes.
        generated: SELECTs of the relations made from definitions, in its dialect.
        has_events: the experiment has events.
        published: tables that the run publishes.
    """
    open_absent(home)
    groups = groups_of(has_events=has_events)
    send_sources(home, other, list_sources(groups))
    other.begin()
    create_models(other, generated, has_events=has_events)
    made = {name for name, _ in model_order(groups=groups)}
    for name in dict.fromkeys([*published, *_PYTHON_READS]):
        if name in made:
            relation = f"exp_run.{name}"
            home.register(relation, other.fetch(relation))


def send_sources(home: Engine, other: Receiver, names: Iterable[str]) -> None:
    """Hand over all rows of some relations, such as `exp.outcomes`.

    Args:
        home: holds them.
        other: gets them under the same names.
        names: qualified.
    """
    for name in names:
        schema = home.arrow(f"select * from {name} limit 0").schema
        other.receive(name, schema, home.batches(f"select * from {name}"))
