"""Arms from what a notebook has: moments, or a frame with one row per unit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from exp_platform.analysis.arguments import check_alpha, check_whole, check_word
from exp_platform.analysis.origins import centre_covariates
from exp_platform.errors import UsageError
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
        keeps_origin: covariates stay as they are, however far from 0.
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
    keeps_origin: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Rows of one arm that could not enter for want of a value.

    Attributes:
        rows: how many.
        nulls: how many of the arm's rows are null in each needed column.
    """

    rows: int
    nulls: Mapping[str, int]


class Arms(tuple[T, ...]):  # noqa: SLOT001 - a tuple has no room for its own slots
    """What stands for each arm, control first, with the rows that were left out.

    Attributes:
        left_out: by arm; empty where moments were given.
    """

    left_out: Mapping[str, LeftOut] = MappingProxyType({})


def keep_arms(values: Iterable[T], units: Sequence[ArmUnits]) -> Arms[T]:
    """What was made of the units, with the rows that were left out of them.

    Args:
        values: one for each arm.
        units: of the arms, as they were read.
    """
    arms = Arms(values)
    arms.left_out = {arm.variant: LeftOut(arm.n_missing, arm.nulls) for arm in units}
    return arms


def gather_arms(
    data: Any,
    treatment: Any,
    columns: Columns,
    *,
    kind: type[T],
    summarise: Callable[[ArmUnits], T],
) -> Arms[T]:
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
        return Arms(arms)
    units = read_arms(data, columns)
    return keep_arms((summarise(arm) for arm in units), units)


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


def read_arms(frame: Any, columns: Columns) -> Arms[ArmUnits]:
    """The units of a frame's arms, control first.

    Args:
        frame: one row per unit.
        columns: which columns.

    Raises:
        UsageError: a column that was not named, or cannot be read; a covariate that
            an arm has no value of.
    """
    metric, variant, baseline = columns.metric, columns.variant, columns.baseline
    if metric is None or variant is None or baseline is None:
        raise UsageError(
            "a frame needs metric, variant and baseline",
            allowed="(frame, metric=..., variant=..., baseline=...)",
        )
    extra = [columns.covariate] if columns.covariate else []
    below = [columns.denominator] if columns.denominator else []
    units = read_units(
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
    covariates = (*extra, *columns.covariates)
    for name in covariates:
        require_values(units, name)
    if not columns.keeps_origin:
        units = centre_covariates(units, covariates)
    return keep_arms(units, units)


def require_values(units: Sequence[ArmUnits], covariate: str) -> None:
    """Without a value in an arm there is nothing to adjust, or nothing to compare with.

    Args:
        units: of all arms.
        covariate: by name.

    Raises:
        UsageError: an arm has none.
    """
    for arm in units:
        if np.isnan(arm.numbers[covariate]).all():
            raise UsageError(
                f"the covariate {covariate!r} is empty",
                where=f"column {covariate!r}, arm {arm.variant!r}",
                found=f"null in all of {len(arm.values):,} rows",
                allowed="a column with values from before exposure in every arm",
                next_step="leave it out: compare(...) needs no covariate",
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


def gather_totals(data: Any, treatment: Any, columns: Columns) -> Arms[MetricTotals]:
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


def cap_units(arm: ArmUnits, threshold: float) -> ArmUnits:
    """An arm's units with their values on a cap.

    Args:
        arm: all of them.
        threshold: the largest value that stays.
    """
    return replace(arm, values=np.minimum(arm.values, threshold))


def settle_units(
    home: dict[str, str], arm: ArmUnits, column: str, *, what: str = "unit"
) -> NDArray[np.str_]:
    """The labels of an arm's units, or clusters, each of which lies wholly in one arm.

    Args:
        home: arm of every label so far; gets those of this arm.
        arm: its rows.
        column: with the labels.
        what: a label names, for the error.

    Raises:
        UsageError: one of them has rows in another arm too.
    """
    labels = arm.labels[column]
    for label in np.unique(labels).tolist():
        if home.setdefault(label, arm.variant) != arm.variant:
            raise UsageError(
                f"the {what} {label!r} has rows in two arms",
                where=f"column {column!r}",
                found=f"{home[label]!r} and {arm.variant!r}",
                allowed=f"{what}s that were assigned as a whole",
                next_step="name the level at which treatment was assigned",
            )
    return labels


def list_names(names: str | Sequence[str], role: str) -> tuple[str, ...]:
    """One column or several as a tuple.

    Args:
        names: as given.
        role: for the error.

    Raises:
        UsageError: none was given, or something that is no name.
    """
    allowed = f"{role}=COLUMN, or several"
    is_listed = isinstance(names, str | Sequence)
    listed = (names,) if isinstance(names, str) else tuple(names if is_listed else ())
    if not is_listed or not all(isinstance(name, str) for name in listed):
        raise UsageError(f"{role} names no columns", found=repr(names), allowed=allowed)
    if not listed:
        raise UsageError(f"a frame needs {role}", allowed=allowed)
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
        UsageError: an alpha that is no error rate, units that are no whole number, or
            an unknown direction.
    """
    check_alpha(alpha)
    check_whole("min_units", min_units, 0)
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


def compare_each(
    arms: Sequence[Any],
    estimate: Callable[[Any, Any, EstimateSettings], Estimate],
    settings: EstimateSettings,
) -> tuple[Estimate, ...]:
    """One row per treatment arm; `details` says how many rows were left out, and why.

    Args:
        arms: control first.
        estimate: of two arms.
        settings: of the comparison.
    """
    control, *treatments = arms
    rows = (estimate(control, treatment, settings) for treatment in treatments)
    return tell_left_out(rows, arms)


def tell_left_out(
    rows: Iterable[Estimate], arms: Sequence[Any]
) -> tuple[Estimate, ...]:
    """The rows with what was left out of their two arms, where something was.

    Args:
        rows: of any methods.
        arms: as they were gathered.
    """
    left_out = arms.left_out if isinstance(arms, Arms) else {}
    return tuple(_tell(row, left_out) for row in rows)


def _tell(row: Estimate, left_out: Mapping[str, LeftOut]) -> Estimate:
    found = {name: left_out.get(name) for name in (row.control, row.treatment)}
    known = {name: one for name, one in found.items() if one is not None and one.rows}
    if not known:
        return row
    told = {
        "left_out": {
            name: {"rows": one.rows, "nulls": {c: n for c, n in one.nulls.items() if n}}
            for name, one in known.items()
        }
    }
    return replace(row, details={**row.details, **told})
