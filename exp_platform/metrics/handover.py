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
_INSTANTS = ("exposure_ts", "outcome_ts")
_EVERYWHERE_READ = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d([.]\d{1,6})?[+-]\d\d(:\d\d)?$"
_FIRST, _LAST = "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"


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
        select = _QUARANTINE if name == "exp.quarantine" else f"select * from {name}"
        schema = home.arrow(f"{select} limit 0").schema
        other.receive(name, schema, home.batches(select))


def _say_again(payload: str, key: str) -> str:
    """The payload with an instant as every engine reads it, or without the instant.

    A delivered text may be one that only DuckDB reads, and Trino stops at a zone or a year
    that it does not know.
    """
    said = f"json_extract_string(payload, '$.{key}')"
    instant = f"try_cast({said} as timestamptz)"
    first, last = (f"timestamptz '{end}'" for end in (_FIRST, _LAST))
    told = f"cast(greatest(least({instant}, {last}), {first}) as varchar)"
    known = f"case when isfinite({instant}) then {told} end"
    return (
        f"case when regexp_matches({said}, '{_EVERYWHERE_READ}') or {said} is null"
        f" then {payload} else cast(json_merge_patch({payload},"
        f" json_object('{key}', {known})) as varchar) end"
    )


_QUARANTINE = (
    "select * replace"
    f" ({_say_again(_say_again('payload', _INSTANTS[0]), _INSTANTS[1])} as payload)"
    " from exp.quarantine"
)
