"""Arms compared again and again while units come in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from exp_platform.analysis.arguments import check_number, check_word
from exp_platform.analysis.arms import (
    LARGE_SAMPLE,
    Columns,
    Method,
    columns_for,
    find_method,
    keep_arms,
    pick_units,
    read_arms,
    refuse_columns,
    require_moments,
    settings_for,
    tell_left_out,
    total_arm,
)
from exp_platform.analysis.split import find_share, name_shares, read_weights
from exp_platform.errors import UsageError
from exp_platform.records import Estimate, MetricTotals, SpendingKind
from exp_platform.stats.confidence_sequence import (
    SequencePlan,
    track_confidence_sequence,
)
from exp_platform.stats.group_sequential import Estimator, track_group_sequential
from exp_platform.stats.looks import SequentialPlan
from exp_platform.stats.moments import accumulate_totals
from exp_platform.stats.msprt import estimate_msprt
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.spending import Spending

Rule = Literal["group_sequential", "confidence_sequence", "msprt"]
History = Sequence[MetricTotals]
"""Cumulative moments of one arm at every look."""


def sequential(
    data: Any,
    treatment: Any = None,
    *,
    look: str | None = None,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    method: Method = "mean",
    denominator: str | None = None,
    covariate: str | None = None,
    rule: Rule = "group_sequential",
    planned_units: int | None = None,
    weights: Mapping[str, float] | None = None,
    spending: SpendingKind = "obrien_fleming",
    mixture_sd: float | None = None,
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """Do the arms differ, looking at them again and again?

    Args:
        data: a frame with one row per unit; or a sequence of `MetricTotals` of control,
            cumulative, one for each look.
        treatment: the same sequence of the other arm; None with a frame.
        look: column with the look before which the value was complete; null = open.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        method: `mean`, `proportion`, `ratio` or `cuped`.
        denominator: column, for a ratio.
        covariate: column, for CUPED.
        rule: `group_sequential` spends the error rate as units come in,
            `confidence_sequence` and `msprt` may be looked at for ever.
        planned_units: of all arms: where spending ends, or the sequence is tightest.
        weights: planned shares by arm, on any scale; None = equal.
        spending: `obrien_fleming`, `pocock` or `power`, of a group sequential test.
        mixture_sd: of the effects an mSPRT mixes over, set before the data.
        min_units: units an arm needs before the first look.
        alpha: two-sided error rate over all looks.

    Returns:
        One row per treatment arm and look, valid at every look so far; after a group
        sequential stop `details` has the estimate of the stop.

    Raises:
        UsageError: as `compare`; a rule without what it needs.
        ContractError: moments that do not grow from look to look.
    """
    check_word("rule", rule, get_args(Rule))
    check_word("spending", spending, get_args(SpendingKind))
    columns = Columns(metric, variant, baseline, denominator, covariate)
    histories = _gather(data, treatment, columns_for(data, method, columns), look)
    (kind, estimator), name = find_method(method), histories[0][0].metric_name
    settings = settings_for(name, kind, alpha=alpha, min_units=min_units)
    if rule == "msprt":
        return _follow_msprt(histories, settings, estimator, mixture_sd)
    plan = _read_plan(planned_units, rule, weights, histories)
    used = Spending(spending) if rule == "group_sequential" else None
    return _follow(histories, plan, settings, estimator, spending=used)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Units of all arms, and the arms' shares on any scale."""

    units: float
    shares: Mapping[str, float]


def _read_plan(
    units: Any,
    rule: str,
    weights: Mapping[str, float] | None,
    histories: Sequence[History],
) -> _Plan:
    if units is None:
        raise UsageError(
            f"the rule {rule!r} needs planned_units",
            allowed="units of all arms the experiment was sized for",
            next_step="sample_size(...).n_total finds them",
        )
    check_number("planned_units", units, 2, is_closed=True)
    names = [history[0].variant for history in histories]
    return _Plan(units, read_weights(name_shares(weights), names))


def _follow(
    histories: Sequence[History],
    plan: _Plan,
    settings: EstimateSettings,
    estimator: Estimator,
    *,
    spending: Spending | None,
) -> tuple[Estimate, ...]:
    """Every arm against control; without spending by a confidence sequence."""
    control, *others = histories
    least = settings.min_units_per_arm
    found: list[Estimate] = []
    for other in others:
        planned = _plan_units(plan.units, plan.shares, (control, other))
        rows = [estimator(*pair, settings) for pair in zip(control, other, strict=True)]
        if spending is not None:
            looks = SequentialPlan(spending, planned, "units", least)
            found += track_group_sequential(rows, looks)
        else:
            sequence = SequencePlan(planned, min_units_per_arm=least)
            found += track_confidence_sequence(rows, sequence)
    return tell_left_out(_mark(found, len(control)), histories)


def _plan_units(
    planned: float, shares: Mapping[str, float], pair: tuple[History, History]
) -> tuple[int, int]:
    """Planned units of control and one arm, of those of all arms."""
    whole = sum(shares.values())
    control, arm = (
        max(1, round(planned * find_share(shares, history[0].variant) / whole))
        for history in pair
    )
    return control, arm


def _follow_msprt(
    histories: Sequence[History],
    settings: EstimateSettings,
    estimator: Estimator,
    mixture_sd: float | None,
) -> tuple[Estimate, ...]:
    if mixture_sd is None:
        raise UsageError(
            "the rule 'msprt' needs mixture_sd",
            allowed="a positive number in units of the metric",
            next_step="set it to the smallest effect that matters",
        )
    check_number("mixture_sd", mixture_sd, 0)
    control, *others = histories
    rows = [
        row
        for other in others
        for row in estimate_msprt(
            control, other, settings, tau=mixture_sd, estimator=estimator
        )
    ]
    return tell_left_out(_mark(rows, len(control)), histories)


def _mark(rows: Sequence[Estimate], n_looks: int) -> tuple[Estimate, ...]:
    """Rows with the number of their look, and with the p-value under its own name."""
    return tuple(
        replace(row, look=place % n_looks + 1, sequential_p_value=row.p_value)
        for place, row in enumerate(rows)
    )


def _gather(
    data: Any, treatment: Any, columns: Columns, look: str | None
) -> Sequence[History]:
    """Cumulative moments at every look by arm, control first."""
    if isinstance(data, list | tuple):
        pair = (tuple(data), tuple(treatment or ()))
        refuse_columns(columns)
        if not all(pair):
            raise UsageError("two arms' moments at every look are needed")
        for control, other in zip(*pair, strict=False):
            require_moments(control, other, MetricTotals)
        if len(pair[0]) != len(pair[1]):
            raise UsageError(
                "both arms need moments at the same looks",
                found=f"{len(pair[0])} and {len(pair[1])}",
            )
        return list(pair)
    if look is None:
        raise UsageError("a frame needs look", allowed="look=COLUMN")
    arms = read_arms(data, replace(columns, numbers=(look,)))
    looks = np.unique(np.concatenate([arm.numbers[look] for arm in arms]))
    histories = (
        accumulate_totals(
            total_arm(pick_units(arm, arm.numbers[look] == number), columns)
            for number in looks
        )
        for arm in arms
    )
    return keep_arms(histories, arms)
