"""Stage arms: several treatments against one control, judged together by Dunnett."""

from collections.abc import Sequence
from dataclasses import replace

from exp_platform.pipelines.estimates import load_estimates, store_methods
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import Assignment, Estimate, EstimateRole
from exp_platform.stats.dunnett import adjust_dunnett
from exp_platform.stats.harm import is_resampled

METHOD = "dunnett"
METHODS = (METHOD,)


def compare_arms(
    ingested: Ingested, estimates: Sequence[Estimate]
) -> tuple[Estimate, ...]:
    """Simultaneous tests and intervals of each metric's deciding rows.

    Nothing with one treatment, or where arms did not come by chance. Holm over goals
    and arms decides; these rows stand beside it, one family per metric.

    Args:
        ingested: the experiment.
        estimates: of the ab and cuped stages.
    """
    spec = ingested.spec
    if len(spec.treatments) < 2 or spec.assignment is not Assignment.RANDOMISED:
        return ()
    found: list[Estimate] = []
    for name in ingested.definitions:
        rows = [
            e
            for e in estimates
            if (e.metric_name, e.segment, e.role) == (name, "all", EstimateRole.PRIMARY)
        ]
        # A bootstrapped row has no t to be joint with others.
        if rows and not any(map(is_resampled, rows)):
            found += [_place(row) for row in adjust_dunnett(rows)]
    return tuple(found)


def _place(row: Estimate) -> Estimate:
    details = {**row.details, "base_method": row.method}
    return replace(row, method=METHOD, role=EstimateRole.SECONDARY, details=details)


def run_alone(run: Run) -> None:
    """Load from the lake, compare, store."""
    ingested = load_ingested(run)
    stored = load_estimates(run)
    store_methods(run, compare_arms(ingested, stored), METHODS)
    run.stages["arms"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_arms --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_arms", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
