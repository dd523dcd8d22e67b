"""When an experiment is looked at: the registered looks, and those whose data are in.

A look reads units whose windows have closed by its instant. A metric without a window
has values that still grow; it is looked at once, at the registered end.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from exp_platform.records import (
    Assignment,
    ExperimentSpec,
    LookMethod,
    MetricDefinition,
    MetricType,
)

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LookTime:
    """One registered look.

    Attributes:
        number: 1 for the first one.
        instant: units whose windows have closed by then are read.
        elapsed: share of the registered duration; None = no end is registered.
    """

    number: int
    instant: datetime
    elapsed: float | None


def choose_look_method(
    spec: ExperimentSpec, definition: MetricDefinition
) -> LookMethod:
    """By which rule do the looks at a metric share its error rate?

    A single look at a registered end needs no rule. Where nothing was registered, the
    end of the data is one look of a confidence sequence.

    Args:
        spec: registry row with the plan.
        definition: tells whether the metric has a window.
    """
    design = spec.plan.sequential
    if not spec.is_dated:
        return LookMethod.FIXED
    is_registered = design.has_end or design.planned_units is not None
    default = LookMethod.CONFIDENCE_SEQUENCE
    if is_registered:
        default = LookMethod.GROUP_SEQUENTIAL
    method = design.method or default
    is_single = explain_single_look(spec, definition) != ""
    return LookMethod.FIXED if is_single and is_registered else method


def explain_single_look(spec: ExperimentSpec, definition: MetricDefinition) -> str:
    """Why is a metric looked at only once? "" = it is not.

    Returns:
        UNDATED, NOT_RANDOMISED, CLUSTERED (whole clusters do not mature), NO_WINDOW
        (values still grow), NO_MOMENTS (order statistics, or an adjustment by several
        covariates, do not add up over days), FIXED (the plan says so). What cannot be
        read by day stands before FIXED: that one look reads the matured units.
    """
    reasons = {
        "UNDATED": not spec.is_dated,
        "NOT_RANDOMISED": spec.assignment is not Assignment.RANDOMISED,
        "CLUSTERED": spec.cluster is not None,
        "NO_WINDOW": definition.window_days is None,
        "NO_MOMENTS": _needs_more_than_moments(spec, definition),
        "FIXED": spec.plan.sequential.method is LookMethod.FIXED,
    }
    return next((reason for reason, is_so in reasons.items() if is_so), "")


def _needs_more_than_moments(
    spec: ExperimentSpec, definition: MetricDefinition
) -> bool:
    """The totals of matured units by day do not hold what the method needs."""
    if definition.type is MetricType.QUANTILE:
        return True
    most = 0 if definition.type is MetricType.RATIO else 1
    is_adjusted = spec.plan.of(definition.name).covariate
    return is_adjusted and len(definition.covariates) > most


def find_needed_follow_up(
    spec: ExperimentSpec, definition: MetricDefinition
) -> float | None:
    """Days from the end of exposures until every window has closed.

    Args:
        spec: registry row with the plan.
        definition: the metric.

    Returns:
        None where the last look waits so long, or reads units before they mature.
    """
    design = spec.plan.sequential
    if definition.window_days is None or not design.has_end:
        return None
    needed = definition.delay_days + definition.window_days
    is_by_day = explain_single_look(spec, definition) in {"", "FIXED"}
    return needed if is_by_day and needed > design.follow_up_days else None


def plan_looks(
    spec: ExperimentSpec, definition: MetricDefinition
) -> tuple[LookTime, ...]:
    """All registered looks; without a registered end those up to the watermark.

    Args:
        spec: registry row with the plan.
        definition: the metric.
    """
    design = spec.plan.sequential
    end = spec.last_look_ts if design.has_end else spec.watermark_ts
    if explain_single_look(spec, definition):
        return (LookTime(1, end, 1.0),)
    instants = _list_midnights(spec, end)
    if design.has_end:
        instants = [*(instant for instant in instants if instant < end), end]
    duration = (end - spec.start_ts) / DAY
    return tuple(
        LookTime(
            number,
            instant,
            (instant - spec.start_ts) / DAY / duration if design.has_end else None,
        )
        for number, instant in enumerate(instants, start=1)
    )


def due_looks(
    spec: ExperimentSpec, definition: MetricDefinition
) -> tuple[LookTime, ...]:
    """The registered looks that the data have reached.

    Args:
        spec: registry row; its watermark says how far the data reach.
        definition: the metric.
    """
    if not spec.is_dated:
        return plan_looks(spec, definition)
    return tuple(
        look
        for look in plan_looks(spec, definition)
        if look.instant <= spec.watermark_ts
    )


def _list_midnights(spec: ExperimentSpec, end: datetime) -> list[datetime]:
    """00:00 UTC after the start, up to the end, on the days the design names."""
    design = spec.plan.sequential
    midnight = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
    first = spec.start_ts.replace(**midnight)  # type: ignore[arg-type]
    n_days = (end - first) // DAY
    days = [day for day in sorted(set(design.look_days)) if day <= n_days]
    if not design.look_days:
        days = list(range(design.look_every_days, n_days + 1, design.look_every_days))
    instants = [first + day * DAY for day in days]
    return [instant for instant in instants if instant > spec.start_ts]
