"""`exp metrics impact`: past results that used another definition than the project's."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from exp_platform.config import Settings
from exp_platform.lake import open_lake
from exp_platform.metrics.changes import Change, compare_definitions
from exp_platform.metrics.definitions import load_definitions
from exp_platform.metrics.stored import read_stored
from exp_platform.pipelines.metric_files import find_metric
from exp_platform.pipelines.shown import last_runs
from exp_platform.records import MetricDefinition


@dataclass(frozen=True, slots=True)
class Impact:
    """What an edit of the definitions means for published results.

    Attributes:
        rows: one per experiment whose result used another definition.
        changes: from each definition used to the project's, in words and SQL.
        n_same: results that used the definitions as they are now.
        n_own: results of definitions that belong to their experiment alone.
    """

    rows: tuple[dict[str, Any], ...]
    changes: tuple[Change, ...]
    n_same: int
    n_own: int


def find_impact(settings: Settings, names: Iterable[str] = ()) -> Impact:
    """Compare the definitions behind published results with the project's.

    Args:
        settings: a loaded configuration.
        names: metrics to look at; none = all.

    Raises:
        UsageError: a name that is neither defined nor in any result.
    """
    with open_lake(settings) as lake:
        used = lake.read("metric_definitions").to_pylist()
        owned = _find_owned(lake.read("experiment_registry").to_pylist())
    project = load_definitions(settings.paths.metrics)
    wanted = set(names)
    for name in wanted - {row["metric_name"] for row in used}:
        find_metric(project, name)
    rows = [row for row in used if not wanted or row["metric_name"] in wanted]
    shared = [r for r in rows if (r["experiment_id"], r["metric_name"]) not in owned]
    touched = [row for row in shared if not _is_same(row, project)]
    runs = last_runs(settings) if touched else {}
    return Impact(
        rows=tuple(_tell(row, project, runs) for row in sorted(touched, key=_key)),
        changes=tuple(_changes(touched, project)),
        n_same=len(shared) - len(touched),
        n_own=len(rows) - len(shared),
    )


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["metric_name"], row["experiment_id"]


def _find_owned(registry: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Metrics that an experiment defines for itself alone."""
    return {
        (row["experiment_id"], name)
        for row in registry
        for name in json.loads(row["definitions"] or "{}")
    }


def _is_same(row: Mapping[str, Any], project: Mapping[str, MetricDefinition]) -> bool:
    now = project.get(row["metric_name"])
    return now is not None and now.definition_hash == _hash_of(row)


def _hash_of(row: Mapping[str, Any]) -> str:
    return str(row["metric_version"]).partition(":")[2]


def _tell(
    row: Mapping[str, Any],
    project: Mapping[str, MetricDefinition],
    runs: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    now = project.get(row["metric_name"])
    run = runs.get(row["experiment_id"], {})
    computed = run.get("computed_at")
    return {
        "metric": row["metric_name"],
        "experiment": row["experiment_id"],
        "role": row["role"],
        "used": row["metric_version"],
        "now": "not defined" if now is None else now.metric_version,
        "decision": run.get("outcome") or "-",
        "computed at (UTC)": f"{computed:%Y-%m-%d %H:%M}" if computed else "-",
    }


def _changes(
    rows: Iterable[Mapping[str, Any]], project: Mapping[str, MetricDefinition]
) -> Iterable[Change]:
    """Each used definition once."""
    seen: set[tuple[str, str]] = set()
    for row in rows:
        name = row["metric_name"]
        if (name, _hash_of(row)) in seen or name not in project:
            continue
        seen.add((name, _hash_of(row)))
        stored = read_stored(json.loads(row["definition"]))
        yield from compare_definitions({name: stored}, {name: project[name]})
