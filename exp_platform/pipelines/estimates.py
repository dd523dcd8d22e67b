"""Storing estimates: one table, several stages, each owner of its methods' rows."""

from collections.abc import Collection, Iterable

from exp_platform.decision.sequential import strip_looks
from exp_platform.pipelines.run import Run
from exp_platform.records import Estimate

TABLE = "analysis_results"


def load_estimates(run: Run) -> tuple[Estimate, ...]:
    """The experiment's published rows, as their estimators made them.

    What was made of them over looks is made again by the next judgement.
    """
    return strip_looks(run.load(TABLE, Estimate))


def store_methods(
    run: Run, estimates: Iterable[Estimate], methods: Collection[str]
) -> None:
    """Replace the rows of some methods and keep the experiment's other rows.

    The rows kept were adjusted as one family with the old ones, so their adjusted
    p-values and those of the new rows are set by the next judgement.
    """
    kept = [e for e in load_estimates(run) if e.method not in methods]
    store_estimates(run, [*kept, *estimates])


def store_estimates(run: Run, estimates: Iterable[Estimate]) -> None:
    """Stage all estimates of the experiment, in a fixed order."""
    run.store(
        TABLE,
        sorted(
            estimates,
            key=lambda e: (
                e.metric_name,
                e.treatment,
                e.segment,
                e.method,
                e.period,
                e.look or 0,
            ),
        ),
    )
