"""The family of the goals: one correction over goals x arms."""

from collections.abc import Collection, Sequence

from exp_platform.records import Estimate, EstimateRole, ExperimentSpec, MetricRole
from exp_platform.stats.multiplicity import adjust_estimates

TREND_METHODS = ("did", "event_study", "callaway_santanna", "twfe")
"""First words of the methods that assume parallel trends."""


def adjust_goals(
    estimates: Sequence[Estimate], spec: ExperimentSpec
) -> tuple[Estimate, ...]:
    """Correct the goals' primary p-values for goals x arms, by Holm.

    A goal that has no estimate still counts, so that a metric that failed never makes
    the others look better.

    Args:
        estimates: all estimates of a run, in any order.
        spec: names the goals and the arms.

    Returns:
        The same estimates in the same order; the goals' primary ones on all units
        carry `p_value_adjusted`.

    References:
        Holm (1979).
    """
    goals = spec.plan.names(MetricRole.GOAL)
    members = [i for i, e in enumerate(estimates) if is_deciding(e, goals)]
    planned = len(goals) * len(spec.treatments)
    adjusted = adjust_estimates([estimates[i] for i in members], family_size=planned)
    by_position = dict(zip(members, adjusted, strict=True))
    return tuple(by_position.get(i, e) for i, e in enumerate(estimates))


def is_deciding(estimate: Estimate, metrics: Collection[str]) -> bool:
    """Is this the row that decides on one of these metrics: primary, on all units?

    Args:
        estimate: one row.
        metrics: metric names that matter.
    """
    return (
        estimate.role is EstimateRole.PRIMARY
        and estimate.segment == "all"
        and estimate.metric_name in metrics
    )


def rests_on_trends(estimate: Estimate) -> bool:
    """Does the method assume parallel trends, so that only they can carry a SHIP?

    Args:
        estimate: one row.
    """
    return estimate.method.startswith(TREND_METHODS)
