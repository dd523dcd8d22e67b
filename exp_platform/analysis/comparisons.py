"""Arms of a randomised experiment beside each other, by the kind of metric."""

import math
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from exp_platform.analysis.arguments import (
    check_alpha,
    check_number,
    check_whole,
    check_word,
)
from exp_platform.analysis.arms import (
    LARGE_SAMPLE,
    Arms,
    Columns,
    cap_units,
    compare_each,
    gather_arms,
    gather_totals,
    keep_arms,
    name_arm,
    read_arms,
    settings_for,
    settle_units,
    total_arm,
)
from exp_platform.errors import UsageError
from exp_platform.pipelines.frames import ArmUnits
from exp_platform.records import Estimate, MetricTotals, MetricType, QuantileTotals
from exp_platform.stats.bootstrap import (
    Statistic,
    UnitSample,
    estimate_bootstrap,
    weighted_mean,
    weighted_quantile,
    weighted_ratio,
)
from exp_platform.stats.hall import estimate_hall_t
from exp_platform.stats.inference import Array
from exp_platform.stats.proportion import (
    ProportionInterval,
    ProportionTest,
    estimate_proportions,
)
from exp_platform.stats.quantile import estimate_quantile, summarise_quantile
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.tail import (
    TOP_SHARE,
    estimate_capped,
    find_threshold,
    summarise_tail,
)
from exp_platform.stats.welch import estimate_welch

MeanTest = Literal["welch", "hall_t"]
"""How a difference of means is tested."""


def moments(
    frame: Any,
    *,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    denominator: str | None = None,
    covariate: str | None = None,
) -> tuple[MetricTotals, ...]:
    """What the functions on moments need of a frame: a few numbers per arm.

    Args:
        frame: as `compare`.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        denominator: column with the unit's denominator, of a ratio.
        covariate: column with a value from before exposure; null = unknown.

    Returns:
        Moments of every arm, control first.

    Raises:
        UsageError: as `compare`.
    """
    columns = Columns(
        metric, variant, baseline, denominator, covariate, keeps_origin=True
    )
    return tuple(total_arm(arm, columns) for arm in read_arms(frame, columns))


def compare(
    data: Any,
    treatment: Any = None,
    *,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    test: MeanTest = "welch",
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """By how much do means per unit differ? Welch's t.

    Args:
        data: a frame with one row per unit (pandas, Polars, Arrow or a DuckDB
            relation), or `MetricTotals` of the baseline arm.
        treatment: `MetricTotals` of the other arm, or of several; None with a frame.
        metric: column with the unit's value; rows where it is null are left out.
        variant: column with the arm.
        baseline: the arm in that column that is control.
        test: `welch`; or `hall_t`, which puts the tails of skewed values right in arms
            of unequal size. `capped` has it too, and with a cap it is better.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm.

    Raises:
        UsageError: moments without a second arm, a frame without its columns, an
            unknown test, or an alpha that is no error rate.
    """
    check_word("test", test, get_args(MeanTest))
    columns = Columns(metric, variant, baseline)
    arms = gather_totals(data, treatment, columns)
    settings = settings_for(arms[0].metric_name, alpha=alpha)
    if test == "hall_t":
        return compare_each(arms, partial(estimate_hall_t, is_capped=False), settings)
    return compare_each(arms, estimate_welch, settings)


def proportion(
    data: Any,
    treatment: Any = None,
    *,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    test: ProportionTest = "auto",
    interval: ProportionInterval = "newcombe",
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """By how much do shares of units differ? Chi-square, or an exact test for few.

    Args:
        data: as `compare`; the values are 0 and 1, or booleans.
        treatment: as `compare`.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        test: `auto` is `pooled_z` (chi-square), and `mid_p` where an arm expects fewer
            than 5 events; or `wald`, `yates`, `fisher`.
        interval: `newcombe`, `wald` or `miettinen_nurminen`.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm.

    Raises:
        UsageError: as `compare`; values other than 0 and 1, an unknown test or interval.
    """
    check_word("test", test, get_args(ProportionTest))
    check_word("interval", interval, get_args(ProportionInterval))
    columns = Columns(metric, variant, baseline, is_event=True)
    arms = gather_totals(data, treatment, columns)
    settings = settings_for(arms[0].metric_name, MetricType.PROPORTION, alpha=alpha)
    estimate = partial(estimate_proportions, test=test, interval=interval)
    return compare_each(arms, estimate, settings)


def ratio(
    data: Any,
    treatment: Any = None,
    *,
    metric: str | None = None,
    denominator: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """By how much do ratios of two sums differ, as revenue per order? Delta method.

    Args:
        data: as `compare`; moments carry those of the denominator.
        treatment: as `compare`.
        metric: column with the unit's numerator.
        denominator: column with the unit's denominator.
        variant: as `compare`.
        baseline: as `compare`.
        min_units: units an arm needs.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm.

    Raises:
        UsageError: as `compare`.
    """
    if denominator is None and not isinstance(data, MetricTotals):
        raise UsageError("a ratio needs denominator", allowed="denominator=COLUMN")
    columns = Columns(metric, variant, baseline, denominator=denominator)
    arms = gather_totals(data, treatment, columns)
    settings = settings_for(
        arms[0].metric_name, MetricType.RATIO, alpha=alpha, min_units=min_units
    )
    return compare_each(arms, estimate_ratio, settings)


def quantile(
    data: Any,
    treatment: Any = None,
    *,
    q: float = 0.5,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    unit: str | None = None,
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """By how much does a quantile differ? From order statistics, no density.

    Args:
        data: a frame, or `QuantileTotals` of the baseline arm.
        treatment: `QuantileTotals` of the other arms; None with a frame.
        q: which quantile, 0 to 1; moments have theirs with them.
        metric: column with the value.
        variant: as `compare`.
        baseline: as `compare`.
        unit: column with the unit, where one has several rows; None = one row each.
        min_units: units an arm needs.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm.

    Raises:
        UsageError: as `compare`, a q outside (0, 1), or a unit in two arms.
    """
    check_number("q", q, 0, 1)
    columns = Columns(metric, variant, baseline, labels=(unit,) if unit else ())
    home: dict[str, str] = {}

    def summarise(arm: ArmUnits) -> QuantileTotals:
        """Order statistics of one arm around the quantile."""
        units = None
        if unit is not None:
            labels = settle_units(home, arm, unit)
            _, units = np.unique(labels, return_inverse=True)
        return summarise_quantile(name_arm(arm, columns), arm.values, q, units=units)

    arms = gather_arms(
        data, treatment, columns, kind=QuantileTotals, summarise=summarise
    )
    settings = settings_for(
        arms[0].metric_name, MetricType.QUANTILE, alpha=alpha, min_units=min_units
    )
    return compare_each(arms, estimate_quantile, settings)


def capped(
    frame: Any,
    *,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    top_share: float = TOP_SHARE,
    test: MeanTest = "welch",
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """What is left of a difference when the most extreme units are put on a cap?

    Args:
        frame: as `compare`.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        top_share: of all arms' units, to lie above the cap.
        test: as `compare`.
        min_units: units an arm needs.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm; `details` has the cap and what lies above it.

    Raises:
        UsageError: as `compare`, or a share outside (0, 1).
    """
    check_word("test", test, get_args(MeanTest))
    check_number("top_share", top_share, 0, 1)
    columns = Columns(metric, variant, baseline)
    settings = settings_for(metric or "", alpha=alpha, min_units=min_units)
    arms = read_arms(frame, columns)
    pooled = np.concatenate([arm.values for arm in arms])
    threshold = find_threshold(pooled, top_share=top_share)
    if test == "hall_t":
        told = {"threshold": threshold, "top_share": top_share}
        rows = _compare_by_hall(arms, columns, threshold, settings)
        return tuple(replace(row, details={**row.details, **told}) for row in rows)

    estimate = partial(
        _compare_tails, columns=columns, threshold=threshold, top_share=top_share
    )
    return compare_each(arms, estimate, settings)


def _compare_tails(
    control: ArmUnits,
    other: ArmUnits,
    settings: EstimateSettings,
    *,
    columns: Columns,
    threshold: float,
    top_share: float,
) -> Estimate:
    """One pair of arms under the common cap."""
    pair = (control, other)
    totals = [total_arm(arm, columns) for arm in pair]
    below = [total_arm(cap_units(arm, threshold), columns) for arm in pair]
    first, second = (
        summarise_tail(name_arm(arm, columns), arm.values, threshold) for arm in pair
    )
    return estimate_capped(
        totals[0],
        totals[1],
        (first, second),
        settings,
        top_share=top_share,
        capped=(below[0], below[1]),
    )


def _compare_by_hall(
    units: Arms[ArmUnits],
    columns: Columns,
    threshold: float,
    settings: EstimateSettings,
) -> tuple[Estimate, ...]:
    """Hall's t of the values on their cap."""
    totals = (total_arm(cap_units(arm, threshold), columns) for arm in units)
    arms = keep_arms(totals, units)
    return compare_each(arms, partial(estimate_hall_t, is_capped=True), settings)


def bootstrap(
    data: Any,
    treatment: Any = None,
    *,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    statistic: Statistic | Literal["mean", "median", "ratio"] = "mean",
    denominator: str | None = None,
    n_resamples: int = 2000,
    seed: int = 0,
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """By how much does any statistic of the units differ? Poisson bootstrap.

    Args:
        data: a frame, or a `UnitSample` of the baseline arm.
        treatment: `UnitSample` of the other arms; None with a frame.
        metric: column with the unit's value.
        variant: as `compare`.
        baseline: as `compare`.
        statistic: `mean`, `median`, `ratio`, or a function of values, shape (n_units,
            n_columns), and weights, shape (n_resamples, n_units), to one number per
            resample.
        denominator: second column of the values.
        n_resamples: how many, 2 / alpha at least.
        seed: the same seed gives the same row.
        min_units: units an arm needs.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm.

    Raises:
        UsageError: as `compare`, an unknown statistic, one that does not give a number
            per resample, too few resamples, or a seed that is no whole number of 0 or
            more.
    """
    find = _find_statistic(statistic)
    check_whole("seed", seed, 0)
    _check_resamples(n_resamples, alpha)
    columns = Columns(metric, variant, baseline, denominator=denominator)

    def summarise(arm: ArmUnits) -> UnitSample:
        """The columns of one arm that the statistic reads."""
        parts = [arm.values] + ([arm.numbers[denominator]] if denominator else [])
        return UnitSample(*name_arm(arm, columns), np.column_stack(parts))

    arms = gather_arms(data, treatment, columns, kind=UnitSample, summarise=summarise)
    if statistic == "ratio" and arms[0].values.shape[1] < 2:
        raise UsageError("a ratio needs denominator", allowed="denominator=COLUMN")
    settings = settings_for(arms[0].metric_name, alpha=alpha, min_units=min_units)
    estimate = partial(
        estimate_bootstrap, statistic=find, seed=seed, n_resamples=n_resamples
    )
    return compare_each(arms, estimate, settings)


def _check_resamples(n_resamples: int, alpha: float) -> None:
    """Fewer have no tail of that size: an interval without 0 beside a p above alpha."""
    check_alpha(alpha)
    check_whole("n_resamples", n_resamples, 1)
    if n_resamples + 1 < 2 / alpha:
        raise UsageError(
            "these are too few resamples for alpha",
            found=f"n_resamples={n_resamples}, alpha={alpha:g}",
            allowed=f"at least {math.ceil(2 / alpha) - 1:,}, better ten times as many",
        )


def _apply_statistic(
    statistic: Statistic, values: Array, weights: NDArray[np.uint8]
) -> Array:
    """A caller's own statistic, held to one number per resample."""
    found = np.asarray(statistic(values, weights))
    if found.shape != (len(weights),) or found.dtype.kind not in "iuf":
        raise UsageError(
            "the statistic does not give one number per resample",
            found=f"shape {found.shape}, {found.dtype}",
            allowed=f"shape ({len(weights)},) of weights of shape {weights.shape}",
            next_step="lambda values, weights: weights @ values[:, 0] / weights.sum(1)",
        )
    return found.astype(float)


def _find_statistic(statistic: Statistic | str) -> Statistic:
    if callable(statistic):
        return partial(_apply_statistic, statistic)
    known: dict[str, Statistic] = {
        "mean": weighted_mean,
        "median": weighted_quantile(0.5),
        "ratio": weighted_ratio,
    }
    check_word("statistic", statistic, tuple(known))
    return known[statistic]
