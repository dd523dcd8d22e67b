"""Numbers of percentile caps that an earlier run of the experiment froze."""

from collections.abc import Iterable, Mapping

from exp_platform.errors import UsageError
from exp_platform.metrics.caps import has_percentile_cap, lacks_cap, recall_caps
from exp_platform.pipelines.published_definitions import read_published
from exp_platform.pipelines.run import Run
from exp_platform.records import MetricDefinition


def recall_frozen(
    run: Run, definitions: Mapping[str, MetricDefinition]
) -> dict[str, MetricDefinition]:
    """Definitions with the numbers under which the experiment's results stand.

    A definition that means something else since keeps its caps open.

    Args:
        run: of the experiment.
        definitions: of its metrics, as they are declared.
    """
    if not any(map(lacks_cap, definitions.values())):
        return dict(definitions)
    earlier = read_published(run)
    return {
        name: recall_caps(definition, earlier.get(name))
        for name, definition in definitions.items()
    }


def require_metrics_stage(definitions: Iterable[MetricDefinition]) -> None:
    """Refuse a percentile cap where no metrics are computed.

    The number is frozen, and kept, in what that stage writes.

    Raises:
        UsageError: a metric has one.
    """
    for definition in definitions:
        if has_percentile_cap(definition):
            raise UsageError(
                f"the percentile cap of metric {definition.name!r} needs the metrics stage",
                found="a run without it, or a ready-made panel",
                next_step="run it with the metrics, or write the cap as a number",
            )
