"""Stage segments: do effects differ between the levels of a declared attribute?"""

from collections.abc import Sequence

from exp_platform.decision.family import pick_segments
from exp_platform.pipelines.estimates import load_estimates, store_methods
from exp_platform.pipelines.run import Run
from exp_platform.pipelines.run_ingest import Ingested, load_ingested
from exp_platform.records import Estimate
from exp_platform.stats.heterogeneity import METHOD, estimate_spread

METHODS = (METHOD,)


def compare_segments(
    ingested: Ingested, estimates: Sequence[Estimate]
) -> tuple[Estimate, ...]:
    """One interaction test per metric, treatment and declared attribute.

    None where clusters were assigned: levels that share clusters are not independent.

    Args:
        ingested: names the attributes.
        estimates: of the ab and cuped stages, single segments included.
    """
    if ingested.spec.cluster is not None:
        return ()
    return estimate_spread(pick_segments(estimates, ingested.spec))


def run_alone(run: Run) -> None:
    """Load from the lake, test, store."""
    ingested = load_ingested(run)
    stored = load_estimates(run)
    store_methods(run, compare_segments(ingested, stored), METHODS)
    run.stages["segments"] = "done"


def main() -> int:
    """`python -m exp_platform.pipelines.analyze_segments --config ...`."""
    from exp_platform.pipelines.commands import run_stage

    return run_stage("analyze_segments", run_alone)


if __name__ == "__main__":
    raise SystemExit(main())
