"""Before an experiment: how many units, how likely a finding, how small an effect."""

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from exp_platform.analysis.arguments import check_number, check_word
from exp_platform.analysis.arms import (
    Columns,
    Method,
    columns_for,
    find_method,
    require_values,
    settings_for,
    total_arm,
)
from exp_platform.analysis.origins import centre_covariates
from exp_platform.errors import ContractError, UsageError
from exp_platform.pipelines.frames import ArmUnits, read_numbers, to_arrow
from exp_platform.records import Covariate, Direction, MarginScale, MetricTotals
from exp_platform.stats.design import (
    Design,
    Noise,
    Target,
    noise_of_rate,
    noise_of_totals,
)
from exp_platform.stats.power import (
    MetricDesign,
    SampleSize,
    find_mde,
    find_power,
    find_units,
)

DESIGN = Design()


def sample_size(
    baseline: float | Noise,
    *,
    sd: float | None = None,
    variance_ratio: float = 1.0,
    mde: float | None = None,
    difference: float | None = None,
    margin: float | None = None,
    scale: Literal["relative", "absolute"] = "relative",
    direction: str = "increase",
    design: Design = DESIGN,
) -> SampleSize:
    """How many units find the target with the wanted power?

    Args:
        baseline: control's rate; with `sd` its mean; or what `noise` read from past
            data.
        sd: standard deviation of one unit's value; None = a proportion.
        variance_ratio: what CUPED leaves of the variance, 1 without it.
        mde: effect to find, relative to the baseline, positive for either direction.
        difference: the same in units of the metric, with its sign.
        margin: of a guardrail, a positive number: to be shown no worse.
        scale: of the margin.
        direction: which way is good.
        design: arms, error rates and traffic.

    Returns:
        Units of control, of each treatment arm and of all, and days where the traffic
        is known; or a reason for none.

    Raises:
        UsageError: no target or several, or numbers out of range.
    """
    _check_design(design)
    found = _read_noise(baseline, sd, variance_ratio)
    target = _read_target(found, mde, difference, margin, (scale, direction))
    return find_units(MetricDesign("metric", found, target), design)


def power(
    baseline: float | Noise,
    n_total: float,
    *,
    sd: float | None = None,
    variance_ratio: float = 1.0,
    mde: float | None = None,
    difference: float | None = None,
    margin: float | None = None,
    scale: Literal["relative", "absolute"] = "relative",
    direction: str = "increase",
    design: Design = DESIGN,
) -> float:
    """How likely do so many units find the target?

    Args:
        baseline: as `sample_size`.
        n_total: units of all arms.
        sd: as `sample_size`.
        variance_ratio: as `sample_size`.
        mde: as `sample_size`.
        difference: as `sample_size`.
        margin: as `sample_size`.
        scale: as `sample_size`.
        direction: as `sample_size`.
        design: as `sample_size`.

    Raises:
        UsageError: as `sample_size`, or a rate with the effect that is none.
    """
    check_number("n_total", n_total, 0)
    _check_design(design)
    found = _read_noise(baseline, sd, variance_ratio)
    target = _read_target(found, mde, difference, margin, (scale, direction))
    if found.test == "pooled_z":
        check_number("baseline + difference", found.mean + target.difference, 0, 1)
    return find_power(found, target, design, n_total)


def mde(
    baseline: float | Noise,
    n_total: float,
    *,
    sd: float | None = None,
    variance_ratio: float = 1.0,
    direction: str = "increase",
    design: Design = DESIGN,
) -> float | None:
    """What is the smallest difference that so many units find?

    Args:
        baseline: as `sample_size`.
        n_total: units of all arms.
        sd: as `sample_size`.
        variance_ratio: as `sample_size`.
        direction: sign of the difference; matters for proportions.
        design: as `sample_size`.

    Returns:
        In units of the metric, with its sign; None where even the largest is not found.

    Raises:
        UsageError: as `sample_size`.
    """
    check_number("n_total", n_total, 0)
    check_word("direction", direction, tuple(Direction))
    _check_design(design)
    found = _read_noise(baseline, sd, variance_ratio)
    return find_mde(found, design, n_total, direction=Direction(direction))


def noise(
    data: Any,
    *,
    metric: str | None = None,
    method: Method = "mean",
    denominator: str | None = None,
    covariate: str | None = None,
) -> Noise:
    """How do units' values vary in past data, as the planning functions need it?

    Args:
        data: a frame with one row per unit, of one arm or of no experiment; or its
            `MetricTotals`.
        metric: column with the unit's value; rows where it is null are left out.
        method: how the arms will be compared.
        denominator: column, for a ratio.
        covariate: column, for CUPED.

    Raises:
        UsageError: a frame without its columns, a covariate without a value, or values
            of a proportion other than 0 and 1.
        ContractError: values that do not vary, or that the method could not compare.
    """
    kind, _ = find_method(method)
    columns = columns_for(
        data, method, Columns(metric, None, None, denominator, covariate)
    )
    totals = data if isinstance(data, MetricTotals) else _total(data, columns)
    settings = settings_for(totals.metric_name, kind, alpha=0.05)
    if method == "cuped":
        if totals.covariate_mean is None and totals.n > 0:
            raise UsageError(
                "the moments have no covariate",
                where=f"metric {totals.metric_name}",
                allowed="moments(..., covariate=COLUMN); method='mean' needs none",
            )
        x = Covariate(covariate or "covariate")
        definition = replace(settings.definition, covariate=x)
        settings = replace(settings, definition=definition)
    found = noise_of_totals(totals, settings)
    if found is None:
        raise ContractError(
            "the past data do not vary, or are missing",
            where=f"metric {totals.metric_name}",
            found=f"{totals.n} units, variance {totals.variance}",
            allowed="values that vary by more than their rounding; of a proportion 0 "
            "and 1, of a ratio a mean denominator well above 0",
            next_step="give the numbers: sample_size(MEAN, sd=SD, ...)",
        )
    return found


def _total(frame: Any, columns: Columns) -> MetricTotals:
    if columns.metric is None:
        raise UsageError("a frame needs metric", allowed="metric=COLUMN")
    table = to_arrow(frame)
    values, below, x = (
        read_numbers(table, name) if name else None
        for name in (columns.metric, columns.denominator, columns.covariate)
    )
    needed = [column for column in (values, below) if column is not None]
    inside = ~np.any([np.isnan(column) for column in needed], axis=0)
    named = ((columns.denominator, below), (columns.covariate, x))
    numbers = {n: found[inside] for n, found in named if n and found is not None}
    units: tuple[ArmUnits, ...] = (ArmUnits("past", needed[0][inside], numbers, {}),)
    if columns.covariate and inside.any():
        require_values(units, columns.covariate)
        units = centre_covariates(units, (columns.covariate,))
    return total_arm(units[0], columns)


def _check_design(design: Any) -> None:
    if not isinstance(design, Design):
        raise UsageError(
            "design must be a Design",
            found=repr(design),
            allowed="Design(power=..., alpha=..., ...)",
        )


def _read_noise(
    baseline: float | Noise, sd: float | None, variance_ratio: float
) -> Noise:
    if isinstance(baseline, Noise):
        if sd is not None or variance_ratio != 1:
            raise UsageError("past data bring sd and variance_ratio with them")
        return baseline
    if sd is None:
        check_number("baseline", baseline, 0, 1)
        return noise_of_rate(baseline, variance_ratio=variance_ratio)
    check_number("baseline", baseline)
    check_number("sd", sd, 0)
    return Noise(baseline, sd * sd, variance_ratio=variance_ratio)


def _read_target(
    found: Noise,
    mde: float | None,
    difference: float | None,
    margin: float | None,
    words: tuple[str, str],
) -> Target:
    scale, direction = words
    check_word("scale", scale, tuple(MarginScale))
    check_word("direction", direction, tuple(Direction))
    asked = sum(value is not None for value in (mde, difference, margin))
    if asked != 1:
        raise UsageError(
            "one target is needed",
            found=f"{asked} of mde, difference, margin",
            allowed="exactly one",
        )
    if mde is not None:
        check_number("mde", mde, 0, is_closed=True)
    good = Direction(direction)
    if margin is not None:
        return Target(margin=margin, margin_scale=MarginScale(scale), direction=good)
    if difference is None:
        sign = 1 if good is Direction.INCREASE else -1
        difference = sign * (mde or 0.0) * abs(found.mean)
    return Target(difference, direction=good)
