"""Arms from what a notebook has: moments, or a frame with one row per unit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from exp_platform.errors import UsageError, did_you_mean
from exp_platform.pipelines.frames import ArmUnits, UnitColumns, read_units
from exp_platform.records import (
    Direction,
    Estimate,
    EstimateRole,
    MetricDefinition,
    MetricTotals,
    MetricType,
)
from exp_platform.stats.cuped import estimate_cuped
from exp_platform.stats.group_sequential import Estimator
from exp_platform.stats.moments import summarise_units
from exp_platform.stats.proportion import estimate_proportions
from exp_platform.stats.ratio import estimate_ratio
from exp_platform.stats.settings import EstimateSettings
from exp_platform.stats.welch import estimate_welch

T = TypeVar("T")

LEAST_UNITS = 2
"""Units per arm that Welch's t and the exact tests can do with."""

LARGE_SAMPLE = 100
"""Units per arm below which a normal approximation is not used, unless asked."""

Method = Literal["mean", "proportion", "ratio", "cuped"]
"""How one pair of arms is compared, where a function leaves that open."""

METHODS: dict[str, tuple[MetricType, Estimator]] = {
    "mean": (MetricType.MEAN, estimate_welch),
    "proportion": (MetricType.PROPORTION, estimate_proportions),
    "ratio": (MetricType.RATIO, estimate_ratio),
    "cuped": (MetricType.MEAN, estimate_cuped),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a frame as a function was given them; None = not given.

    Attributes:
        baseline: the arm in `variant` that is control.
        denominator, covariate: of a ratio, of CUPED.
        numbers: further columns without which a row is left out.
        covariates: several, which may be null.
        labels: names, as a cluster.
        is_event: the metric is 0 or 1.
    """

    metric: str | None
    variant: str | None
    baseline: Any
    denominator: str | None = None
    covariate: str | None = None
    numbers: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    is_event: bool = False


def gather_arms(
    data: Any,
    treatment: Any,
    columns: Columns,
    *,
    kind: type[T],
    summarise: Callable[[ArmUnits], T],
) -> tuple[T, ...]:
    """Control's moments and those of the other arms, from moments or from a frame.

    Args:
        data: moments of control, or a frame.
        treatment: moments of one other arm or of several; None with a frame.
        columns: of the frame.
        kind: what the moments are.
        summarise: units of an arm to its moments.

    Raises:
        UsageError: neither moments of two arms nor a frame with its columns.
    """
    if isinstance(data, kind) or treatment is not None:
        arms = require_moments(data, treatment, kind)
        refuse_columns(columns)
        return arms
    return tuple(summarise(arm) for arm in read_arms(data, columns))


def refuse_columns(columns: Columns) -> None:
    """Refuse names of columns beside moments, which have none.

    Args:
        columns: as given.

    Raises:
        UsageError: some were named.
    """
    named = [
        name
        for name in Columns.__slots__
        if name != "is_event" and getattr(columns, name)
    ]
    if named:
        raise UsageError(
            "moments have no columns",
            found=", ".join(named),
            allowed="the moments alone; or a frame with its columns",
        )


def require_moments(data: Any, treatment: Any, kind: type[T]) -> tuple[T, ...]:
    """Moments of control and of the other arms, as they were given.

    Args:
        data: of control.
        treatment: of one other arm, or of several.
        kind: what they have to be.

    Raises:
        UsageError: something else, or no second arm.
    """
    others = treatment if isinstance(treatment, list | tuple) else [treatment]
    found = [data, *(other for other in others if other is not None)]
    if len(found) < 2 or not all(isinstance(one, kind) for one in found):
        raise UsageError(
            "two arms' moments are needed, control and treatment",
            found=", ".join(type(one).__name__ for one in found),
            allowed=f"{kind.__name__} twice; or one frame and no second argument",
        )
    return tuple(found)


def read_arms(frame: Any, columns: Columns) -> tuple[ArmUnits, ...]:
    """The units of a frame's arms, control first.

    Args:
        frame: one row per unit.
        columns: which columns.

    Raises:
        UsageError: a column that was not named, or cannot be read.
    """
    metric, variant, baseline = columns.metric, columns.variant, columns.baseline
    if metric is None or variant is None or baseline is None:
        raise UsageError(
            "a frame needs metric, variant and baseline",
            allowed="(frame, metric=..., variant=..., baseline=...)",
        )
    extra = [columns.covariate] if columns.covariate else []
    below = [columns.denominator] if columns.denominator else []
    return read_units(
        frame,
        UnitColumns(
            metric=metric,
            variant=variant,
            control=str(baseline),
            numbers=(*below, *columns.numbers),
            covariates=(*extra, *columns.covariates),
            labels=columns.labels,
        ),
    )


def total_arm(arm: ArmUnits, columns: Columns, *, segment: str = "all") -> MetricTotals:
    """Moments of one arm with the denominator and the covariate that were named.

    Args:
        arm: its units.
        columns: which of its columns are what.
        segment: name of the subset that the units are.

    Raises:
        UsageError: an event that is neither 0 nor 1.
    """
    if columns.is_event:
        _check_events(arm, columns)
    below, x = columns.denominator, columns.covariate
    totals = summarise_units(
        name_arm(arm, columns),
        arm.values,
        denominator=arm.numbers[below] if below else None,
        covariate=arm.numbers[x] if x else None,
    )
    return replace(totals, segment=segment, n_missing=arm.n_missing)


def _check_events(arm: ArmUnits, columns: Columns) -> None:
    is_other = (arm.values != 0) & (arm.values != 1)
    if is_other.any():
        raise UsageError(
            "a proportion needs one yes or no per unit",
            where=f"column {columns.metric!r}, arm {arm.variant!r}",
            found=f"{arm.values[is_other][0]:g}",
            allowed="0 and 1, or booleans",
            next_step="compare(...) takes any numbers",
        )


def name_arm(arm: ArmUnits, columns: Columns) -> tuple[str, str, str]:
    """Experiment (none), metric and variant."""
    return "", columns.metric or "", arm.variant


def gather_totals(
    data: Any, treatment: Any, columns: Columns
) -> tuple[MetricTotals, ...]:
    """Every arm's `MetricTotals`, control first.

    Args:
        data: moments of control, or a frame.
        treatment: moments of the other arms; None with a frame.
        columns: of the frame.
    """
    return gather_arms(
        data,
        treatment,
        columns,
        kind=MetricTotals,
        summarise=lambda arm: total_arm(arm, columns),
    )


def total_segments(
    arm: ArmUnits, columns: Columns, names: Sequence[str]
) -> list[MetricTotals]:
    """Moments of one arm by the levels of a column, or of several crossed.

    Args:
        arm: its units.
        columns: which of its columns are what.
        names: columns with the levels; the segment is `name=level`.
    """
    labels = np.char.add(f"{names[0]}=", arm.labels[names[0]])
    for name in names[1:]:
        labels = np.char.add(np.char.add(labels, f" & {name}="), arm.labels[name])
    return [
        total_arm(pick_units(arm, labels == label), columns, segment=str(label))
        for label in np.unique(labels)
    ]


def pick_units(arm: ArmUnits, inside: NDArray[np.bool_]) -> ArmUnits:
    """Some of an arm's units, without their labels.

    Args:
        arm: all of them.
        inside: which, shape (n_units,).
    """
    numbers = {name: values[inside] for name, values in arm.numbers.items()}
    return ArmUnits(arm.variant, arm.values[inside], numbers, {})


def list_names(names: str | Sequence[str], role: str) -> tuple[str, ...]:
    """One column or several as a tuple.

    Args:
        names: as given.
        role: for the error.

    Raises:
        UsageError: none was given.
    """
    listed = (names,) if isinstance(names, str) else tuple(names)
    if not listed:
        raise UsageError(f"a frame needs {role}", allowed=f"{role}=COLUMN, or several")
    return listed


def settings_for(
    metric_name: str,
    kind: MetricType = MetricType.MEAN,
    *,
    alpha: float,
    min_units: int = LEAST_UNITS,
    direction: str = "increase",
) -> EstimateSettings:
    """Settings of one comparison outside of any experiment.

    Args:
        metric_name: of the totals.
        kind: type of the metric.
        alpha: two-sided error rate.
        min_units: units an arm needs.
        direction: which way is good.

    Raises:
        UsageError: an alpha that is no error rate, or an unknown direction.
    """
    check_alpha(alpha)
    check_word("direction", direction, tuple(Direction))
    definition = MetricDefinition(
        metric_name, 1, kind, Direction(direction), metric_name
    )
    return EstimateSettings(
        definition, EstimateRole.PRIMARY, alpha, min_units_per_arm=min_units
    )


def find_method(method: str) -> tuple[MetricType, Estimator]:
    """Type of metric and estimator of a method's name.

    Raises:
        UsageError: no such method.
    """
    check_word("method", method, get_args(Method))
    return METHODS[method]


def columns_for(data: Any, method: str, columns: Columns) -> Columns:
    """The columns as a method reads them.

    Args:
        data: frame, or moments, which have their parts with them.
        method: by name.
        columns: as given.

    Raises:
        UsageError: a ratio without denominator, CUPED without covariate.
    """
    needed = {"ratio": "denominator", "cuped": "covariate"}.get(method)
    is_moments = isinstance(data, MetricTotals | Sequence)
    if needed and not is_moments and not getattr(columns, needed):
        raise UsageError(
            f"method {method!r} needs {needed}", allowed=f"{needed}=COLUMN"
        )
    return replace(columns, is_event=method == "proportion")


def check_alpha(alpha: float) -> None:
    """Refuse what is no error rate.

    Raises:
        UsageError: not between 0 and 1.
    """
    check_number("alpha", alpha, 0, 1)


def check_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    is_closed: bool = False,
) -> None:
    """Refuse what is no finite number of a range.

    Args:
        name: of the argument.
        value: as given.
        low: end of the range that is outside of it, unless closed.
        high: the other end, always outside.
        is_closed: `low` itself is allowed.

    Raises:
        UsageError: text, NaN, an infinity, or a number outside.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if is_number and (low < value < high or (is_closed and value == low)):
        return
    what = f"{name} must lie between {low:g} and {high:g}"
    if math.isinf(high):
        least = "of at least" if is_closed else "above"
        what = f"{name} must be a finite number"
        what += "" if math.isinf(low) else f" {least} {low:g}"
    bracket = "[" if is_closed else "("
    raise UsageError(
        what, found=repr(value), allowed=f"a number in {bracket}{low:g}, {high:g})"
    )


def check_word(name: str, word: str, known: Sequence[str]) -> None:
    """Refuse an option that does not exist.

    Raises:
        UsageError: not one of the known words.
    """
    if word not in known:
        raise UsageError(
            f"no {name} {word!r}",
            allowed=did_you_mean(str(word), [str(one) for one in known]),
        )


def compare_each(
    arms: Sequence[Any],
    estimate: Callable[[Any, Any, EstimateSettings], Estimate],
    settings: EstimateSettings,
) -> tuple[Estimate, ...]:
    """One row per treatment arm.

    Args:
        arms: control first.
        estimate: of two arms.
        settings: of the comparison.
    """
    control, *treatments = arms
    return tuple(estimate(control, treatment, settings) for treatment in treatments)
