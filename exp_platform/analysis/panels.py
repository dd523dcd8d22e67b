"""Units over time: what a policy did, by every design or by one."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Required, TypedDict, TypeVar, Unpack, get_args

from exp_platform.analysis.arguments import check_alpha, check_word
from exp_platform.analysis.arms import list_names
from exp_platform.causal.group_times import ControlGroup
from exp_platform.causal.identification import AVERAGES, DID, STAGGERED
from exp_platform.causal.panel_rules import ORDER, SYNTHETIC, choose_panel_methods
from exp_platform.causal.sensitivity import Sensitivity
from exp_platform.causal.two_by_two import Adjustment
from exp_platform.errors import UsageError, did_you_mean
from exp_platform.pipelines.panel_data import PanelMetric
from exp_platform.pipelines.panel_estimates import estimate_panel_metric, find_facts
from exp_platform.pipelines.panel_frame import analyze_frame, open_panel
from exp_platform.pipelines.panel_methods import (
    BROUGHT_ALONG,
    RUNNERS,
    Runner,
    estimate_cohorts,
)
from exp_platform.pipelines.panel_request import PanelRequest
from exp_platform.pipelines.panel_sensitivity import bound_panel
from exp_platform.pipelines.panel_trends import assess_panel_trends
from exp_platform.records import (
    Estimate,
    EstimateRole,
    MetricDefinition,
    PretrendDelta,
    PretrendTest,
)

T = TypeVar("T")


class PanelColumns(TypedDict, total=False):
    """What the columns of a panel mean, as in `did`."""

    time: Required[str]
    unit: str | None
    cohort: str | None
    treated: str | None
    policy_date: str | None
    cluster: str | None
    weight: str | None
    covariates: str | Sequence[str]


def did(
    frame: Any,
    outcome: str,
    *,
    time: str,
    unit: str | None = None,
    cohort: str | None = None,
    treated: str | None = None,
    policy_date: str | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    covariates: str | Sequence[str] = (),
    methods: str | Sequence[str] | None = None,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """What did a policy do, by every method that a panel allows, or by some?

    The same steps as `exp import --design did` and `exp run`, without a decision.

    Args:
        frame: one row per unit and period: pandas, Polars, Arrow, a DuckDB relation,
            or the path of a Parquet or CSV file, which is never whole in memory; an
            absent row is missing, not 0.
        outcome: column with the value.
        time: column with the period: dates, years, months, quarters or numbers.
        unit: column with the unit; None = repeated cross-sections.
        cohort: column with the first treated period; null or 0 = never.
        treated: column with 0 and 1, or `COL=VALUE`; null is refused.
        policy_date: period or date from which the treated are treated.
        cluster: column with the level at which treatment was assigned.
        weight: column with the unit's weight.
        covariates: columns with facts from before treatment.
        methods: names of those to compute, as `did_2x2`, which spares the others, and
            the bounds that the primary row gets (`sensitivity`); None = all.
        alpha: two-sided error rate of the intervals.

    Returns:
        One row per method, refused ones with their reason; the primary one first.

    Raises:
        UsageError: a column, period or treatment that cannot be read, or a method that
            does not exist.
        ContractError: rows that are no panel.
    """
    check_alpha(alpha)
    request = _request(
        outcome,
        time=time,
        unit=unit,
        cohort=cohort,
        treated=treated,
        policy_date=policy_date,
        cluster=cluster,
        weight=weight,
        covariates=covariates,
    )
    found = _run(frame, request, methods, alpha)
    return tuple(sorted(found, key=lambda e: list(EstimateRole).index(e.role)))


def _run(
    frame: Any, request: PanelRequest, methods: str | Sequence[str] | None, alpha: float
) -> tuple[Estimate, ...]:
    """Every method, or those that are named."""
    if methods is None:
        return analyze_frame(frame, request, alpha=alpha)
    names = (methods,) if isinstance(methods, str) else methods
    if not isinstance(names, Sequence) or not names:
        raise UsageError(
            "methods names no method",
            found=repr(methods),
            allowed=did_you_mean("", ORDER),
            next_step="leave it out: None stands for all",
        )
    for name in names:
        check_word("methods", name, ORDER)
    return _ask_panel(frame, request, alpha, partial(_estimate, methods=names))


def event_study(
    frame: Any, outcome: str, *, alpha: float = 0.05, **columns: Unpack[PanelColumns]
) -> tuple[tuple[PretrendDelta, ...], PretrendTest | None]:
    """How did the gap between treated and others move, period by period?

    Args:
        frame: as `did`.
        outcome: as `did`.
        alpha: two-sided error rate of the intervals.
        **columns: time, unit, cohort or treated and policy_date, cluster, weight,
            covariates: as `did`.

    Returns:
        The gap at each time since treatment against the last one before it; and the
        test of parallel trends before treatment. With several treatment dates the
        dynamic effects of Callaway and Sant'Anna. Nothing where neither is possible.
        The gaps have no errors with fewer than 20 clusters in an arm, where `did`
        refuses `event_study` too; the test stands from 5 on.

    Raises:
        UsageError: as `did`.
        ContractError: as `did`.
    """

    def ask(
        metric: PanelMetric, definition: MetricDefinition
    ) -> tuple[tuple[PretrendDelta, ...], PretrendTest | None]:
        # The test asks the deciding row alone how large a bias would matter.
        """Effects by time, and the test of those before treatment."""
        deciding = DID if metric.units.cohorts.size == 1 else STAGGERED
        return assess_panel_trends(metric, _estimate(metric, definition, (deciding,)))

    return _ask_panel(frame, _request(outcome, **columns), alpha, ask)


def staggered(
    frame: Any,
    outcome: str,
    *,
    control_group: ControlGroup = "not_yet",
    adjustment: Adjustment = "doubly_robust",
    alpha: float = 0.05,
    **columns: Unpack[PanelColumns],
) -> tuple[Estimate, ...]:
    """What did treatment do that began on several dates? Callaway and Sant'Anna.

    Args:
        frame: as `did`.
        outcome: as `did`.
        control_group: `not_yet` treated units, or the `never` treated only.
        adjustment: how covariates are used: `doubly_robust`, `outcome_regression` or
            `weighting`.
        alpha: two-sided error rate of the intervals.
        **columns: time, unit, cohort, cluster, weight, covariates: as `did`.

    Returns:
        The simple, group, dynamic and calendar averages; their rows are in `details`.
        The bounds that `did` adds are left to `sensitivity`.

    Raises:
        UsageError: as `did`, or an unknown option.
        ContractError: as `did`.
    """
    check_word("control_group", control_group, get_args(ControlGroup))
    check_word("adjustment", adjustment, get_args(Adjustment))
    run = partial(estimate_cohorts, control_group=control_group, adjustment=adjustment)
    ask = partial(_estimate, methods=(STAGGERED, *AVERAGES), instead={STAGGERED: run})
    return _ask_panel(frame, _request(outcome, **columns), alpha, ask)


def synthetic_control(
    frame: Any, outcome: str, *, alpha: float = 0.05, **columns: Unpack[PanelColumns]
) -> Estimate:
    """How far did the treated leave the mixture of others that they had followed?

    Args:
        frame: as `did`.
        outcome: as `did`.
        alpha: two-sided error rate of the interval.
        **columns: time, unit, cohort or treated and policy_date, cluster, weight: as
            `did`; several treated units or clusters count as one, by their mean.

    Returns:
        One row; weights and gaps are in `details`. Refused with 5 treated units or more:
        other designs have a standard error then.

    Raises:
        UsageError: as `did`.
        ContractError: as `did`.
    """
    ask = partial(_estimate, methods=(SYNTHETIC,))
    return _ask_panel(frame, _request(outcome, **columns), alpha, ask)[0]


def sensitivity(
    frame: Any, outcome: str, *, alpha: float = 0.05, **columns: Unpack[PanelColumns]
) -> Sensitivity:
    """How large a violation of parallel trends would overturn the effect?

    Args:
        frame: as `did`.
        outcome: as `did`.
        alpha: two-sided error rate of the intervals.
        **columns: as `event_study`.

    Returns:
        Robust intervals of Rambachan and Roth, and the bounds at which they reach 0.

    Raises:
        UsageError: as `did`.
        ContractError: as `did`.
    """

    def ask(metric: PanelMetric, _: MetricDefinition) -> Sensitivity:
        """Bounds of the panel's own design."""
        return bound_panel(metric, alpha=alpha)

    return _ask_panel(frame, _request(outcome, **columns), alpha, ask)


def _ask_panel(
    frame: Any,
    request: PanelRequest,
    alpha: float,
    ask: Callable[[PanelMetric, MetricDefinition], T],
) -> T:
    check_alpha(alpha)
    with open_panel(frame, request, alpha=alpha) as panels:
        (panel,) = panels
        return ask(*panel)


def _estimate(
    metric: PanelMetric,
    definition: MetricDefinition,
    methods: Sequence[str],
    instead: dict[str, Runner] | None = None,
) -> tuple[Estimate, ...]:
    """Rows of some methods, refused where the router refuses them."""
    choices = choose_panel_methods(find_facts(metric))
    # One set of group-time effects is behind all the averages.
    needed = {*methods, *([STAGGERED] if BROUGHT_ALONG & set(methods) else [])}
    wanted = [choice for choice in choices if choice.method in needed]
    runners = {**RUNNERS, **(instead or {})}
    found = estimate_panel_metric(
        metric, definition, wanted, runners=runners, is_bounded=False
    )
    return tuple(estimate for estimate in found if estimate.method in methods)


def _request(
    outcome: str,
    *,
    time: str,
    unit: str | None = None,
    cohort: str | None = None,
    treated: str | None = None,
    policy_date: str | None = None,
    cluster: str | None = None,
    weight: str | None = None,
    covariates: str | Sequence[str] = (),
) -> PanelRequest:
    if not isinstance(treated, str | None):
        raise UsageError(
            "treated names no column", found=repr(treated), allowed="COL, or COL=VALUE"
        )
    column, _, value = (treated or "").partition("=")
    return PanelRequest(
        time=time,
        outcomes={outcome: outcome},
        unit=unit,
        cohort=cohort,
        treated=column or None,
        treated_value=value or None,
        policy_date=None if policy_date is None else str(policy_date),
        cluster=cluster,
        weight=weight,
        covariates=list_names(covariates, "covariates") if covariates else (),
        is_called=True,
    )
