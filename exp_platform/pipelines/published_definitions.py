"""Definitions under which an experiment's published results stand."""

import json
from collections.abc import Iterable, Mapping

from exp_platform.errors import ContractError
from exp_platform.metrics.stored import read_stored
from exp_platform.pipelines.run import Run
from exp_platform.records import Estimate, MetricDefinition

_TABLE = "metric_definitions"


def read_published(run: Run) -> dict[str, MetricDefinition]:
    """The definitions under which the experiment's results stand; none before a run.

    Args:
        run: of the experiment.
    """
    rows = run.lake.read(_TABLE, experiment_id=run.experiment_id).to_pylist()
    return {
        row["metric_name"]: read_stored(json.loads(row["definition"])) for row in rows
    }


def require_same_meaning(run: Run, definitions: Mapping[str, MetricDefinition]) -> None:
    """Refuse stored totals of another meaning than their metric has now.

    Args:
        run: of the experiment.
        definitions: of the metrics whose totals are read.

    Raises:
        ContractError: a metric was edited since, or never computed.
    """
    stored = read_published(run)
    for name, definition in definitions.items():
        earlier = stored.get(name)
        if earlier and earlier.definition_hash == definition.definition_hash:
            continue
        computed = (
            f"computed as {earlier.metric_version}" if earlier else "not computed"
        )
        raise ContractError(
            f"the totals of metric {name!r} are not of the definition it has now",
            where=run.experiment_id,
            found=f"{definition.metric_version} in the project, {computed}",
            next_step="compute the metrics again, or the whole flow with `exp run`",
        )


def require_same_estimates(
    run: Run,
    estimates: Iterable[Estimate],
    definitions: Mapping[str, MetricDefinition],
) -> None:
    """Refuse to judge stored estimates of another meaning than their metric has now.

    Raises:
        ContractError: a metric was edited since an estimate of it was made.
    """
    for estimate in estimates:
        definition = definitions.get(estimate.metric_name)
        meaning = estimate.metric_version.partition(":")[2]
        if definition and meaning and meaning != definition.definition_hash:
            raise ContractError(
                f"the {estimate.method} estimate of metric {definition.name!r} is not of "
                "the definition it has now",
                where=run.experiment_id,
                found=f"{definition.metric_version} in the project, estimated as "
                f"{estimate.metric_version}",
                next_step="estimate it again, or run the whole flow with `exp run`",
            )
