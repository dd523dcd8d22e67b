"""What follows from a comparison: beliefs, margins, families, segments."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np

from exp_platform.analysis.arguments import (
    check_alpha,
    check_number,
    check_whole,
    check_word,
)
from exp_platform.analysis.arms import (
    LARGE_SAMPLE,
    Columns,
    Method,
    columns_for,
    compare_each,
    find_method,
    gather_totals,
    list_names,
    name_arm,
    read_arms,
    settings_for,
    tell_left_out,
    total_segments,
)
from exp_platform.errors import UsageError
from exp_platform.pipelines.frames import ArmUnits
from exp_platform.records import (
    Estimate,
    MarginScale,
    MetricPlan,
    MetricRole,
    MetricTotals,
)
from exp_platform.stats.bayes import NormalPrior, estimate_bayes_normal
from exp_platform.stats.bayes_binomial import BetaPrior, estimate_bayes_proportions
from exp_platform.stats.dunnett import adjust_dunnett
from exp_platform.stats.equivalence import (
    ALPHA as EQUIVALENCE_ALPHA,
)
from exp_platform.stats.equivalence import (
    EquivalenceAssessment,
    Margins,
    assess_equivalence,
)
from exp_platform.stats.guardrail import (
    ALPHA as GUARDRAIL_ALPHA,
)
from exp_platform.stats.guardrail import (
    GuardrailAssessment,
    assess_guardrail,
)
from exp_platform.stats.heterogeneity import Heterogeneity, Scale, assess_segments
from exp_platform.stats.interaction import InteractionTest, assess_interaction
from exp_platform.stats.multiplicity import CORRECTIONS, adjust_estimates
from exp_platform.stats.settings import EstimateSettings


def bayes(
    data: Any,
    treatment: Any = None,
    *,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    method: Method = "mean",
    denominator: str | None = None,
    covariate: str | None = None,
    prior: NormalPrior | BetaPrior | None = None,
    direction: str = "increase",
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """What should be believed about the lift?

    Args:
        data: as `compare`.
        treatment: as `compare`.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        method: `mean`, `proportion`, `ratio` or `cuped`.
        denominator: column, for a ratio.
        covariate: column, for CUPED.
        prior: `NormalPrior` on the lift, N(0, 0.3^2) unless given; or `BetaPrior` on
            each arm's rate, which a proportion has unless given.
        direction: which way is good, `increase` or `decrease`.
        min_units: units an arm needs.
        alpha: share of belief left outside the credible interval.

    Returns:
        One row per treatment arm; `details` holds probability_to_beat and
        expected_loss.

    Raises:
        UsageError: as `compare`, or a beta prior where there are no rates.
    """
    kind, estimator = find_method(method)
    columns = Columns(metric, variant, baseline, denominator, covariate)
    arms = gather_totals(data, treatment, columns_for(data, method, columns))
    settings = settings_for(
        arms[0].metric_name, kind, alpha=alpha, min_units=min_units, direction=direction
    )
    _check_prior(prior, method)
    is_rate = method == "proportion" and not isinstance(prior, NormalPrior)

    def believe(
        control: MetricTotals, other: MetricTotals, settings: EstimateSettings
    ) -> Estimate:
        """The posterior of one pair of arms."""
        if not isinstance(prior, NormalPrior) and is_rate:
            return estimate_bayes_proportions(control, other, settings, prior=prior)
        normal = prior if isinstance(prior, NormalPrior) else None
        return estimate_bayes_normal(
            control, other, settings, prior=normal, estimator=estimator
        )

    return compare_each(arms, believe, settings)


def _check_prior(prior: Any, method: str) -> None:
    """A prior is of the lift, or of rates where there are some."""
    if not isinstance(prior, NormalPrior | BetaPrior | None):
        raise UsageError(
            "the prior is none",
            found=repr(prior),
            allowed="NormalPrior(mean, sd), BetaPrior(events, non_events), or None",
        )
    if isinstance(prior, BetaPrior) and method != "proportion":
        raise UsageError(
            "a beta prior is one of rates",
            found=f"method {method!r}",
            allowed="method='proportion', or a NormalPrior",
        )


def non_inferiority(
    data: Any,
    treatment: Any = None,
    *,
    margin: float,
    scale: Literal["relative", "absolute"] = "relative",
    direction: str = "increase",
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    method: Method = "mean",
    denominator: str | None = None,
    covariate: str | None = None,
    min_units: int = LARGE_SAMPLE,
    alpha: float = GUARDRAIL_ALPHA,
) -> tuple[GuardrailAssessment, ...]:
    """Is each arm proven to be no worse than an agreed margin?

    Args:
        data: as `compare`.
        treatment: as `compare`.
        margin: largest harm that is still acceptable, a positive number.
        scale: `relative`, a share of control, or `absolute`.
        direction: which way is good, `increase` or `decrease`.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        method: `mean`, `proportion`, `ratio` or `cuped`.
        denominator: column, for a ratio.
        covariate: column, for CUPED.
        min_units: units an arm needs.
        alpha: one-sided error rate, below .5.

    Returns:
        One assessment per treatment arm: NON_INFERIOR, NOT_SHOWN or UNKNOWN.

    Raises:
        UsageError: as `compare`.
    """
    kind, estimator = find_method(method)
    # One-sided: from a half on the bound would lie beyond the estimate.
    check_number("alpha", alpha, 0, 0.5)
    check_number("margin", margin, 0)
    check_word("scale", scale, tuple(MarginScale))
    named = Columns(metric, variant, baseline, denominator, covariate)
    columns = columns_for(data, method, named)
    control, *others = gather_totals(data, treatment, columns)
    name, twice = control.metric_name, 2 * alpha
    settings = settings_for(
        name, kind, alpha=twice, min_units=min_units, direction=direction
    )
    role, on = MetricRole.GUARDRAIL, MarginScale(scale)
    plan = MetricPlan(name, role, margin=margin, margin_scale=on)

    def assess(other: MetricTotals) -> GuardrailAssessment:
        """One arm against the margin."""
        row, about = estimator(control, other, settings), settings.definition
        return assess_guardrail(control, other, row, plan, about, alpha=alpha)

    return tuple(map(assess, others))


def equivalence(
    estimates: Estimate | Sequence[Estimate],
    margin: float | tuple[float, float],
    *,
    scale: Literal["relative", "absolute"] = "relative",
    alpha: float = EQUIVALENCE_ALPHA,
) -> tuple[EquivalenceAssessment, ...]:
    """Is each effect proven to be too small to matter? Two one-sided tests.

    Args:
        estimates: rows of any method that compares means.
        margin: largest effect that does not matter, in both directions, or a pair.
        scale: `relative`, a share of control, or `absolute`.
        alpha: of each one-sided test.

    Returns:
        One assessment per row: EQUIVALENT, NOT_SHOWN or UNKNOWN.

    Raises:
        UsageError: no rows, a margin that is no number, an unknown scale, or an alpha
            that is no error rate.
        ContractError: margins that are no range.
    """
    check_alpha(alpha)
    check_word("scale", scale, tuple(MarginScale))
    margins = Margins(*_read_margin(margin), MarginScale(scale))
    rows = (estimates,) if isinstance(estimates, Estimate) else estimates
    if not isinstance(rows, list | tuple) or not all(
        isinstance(row, Estimate) for row in rows
    ):
        raise UsageError(
            "estimates are needed",
            found=repr(estimates)[:80],
            allowed="a row, or several, of compare(...) or another comparison",
        )
    return tuple(assess_equivalence(row, margins, alpha=alpha) for row in rows)


def _read_margin(margin: Any) -> tuple[float, float]:
    """Both ends of what does not matter; one number is meant in both directions."""
    if not isinstance(margin, tuple | list):
        check_number("margin", margin, 0)
        return -margin, margin
    if len(margin) != 2:
        raise UsageError(
            "margin must be a number, or two",
            found=repr(margin),
            allowed="margin=0.02, or margin=(-0.01, 0.03)",
        )
    for place, end in zip(("lower", "upper"), margin, strict=True):
        check_number(f"the {place} margin", end)
    return margin[0], margin[1]


def adjust(
    estimates: Sequence[Any],
    *,
    method: str = "holm",
    family_size: int | None = None,
) -> tuple[Any, ...]:
    """Which results stand when many were looked at?

    Args:
        estimates: rows of one family, or p-values.
        method: `bonferroni`, `holm`, `hochberg`, `bh`, `by`; for rows of several arms
            against one control also `dunnett`, which has intervals too.
        family_size: planned tests, when more than those given; one without a p-value
            counts.

    Returns:
        The rows with `p_value_adjusted`, or the adjusted p-values; None where there was
        no test.

    Raises:
        UsageError: an unknown method, or Dunnett's for p-values.
        ContractError: rows that are not several arms against one control.
    """
    check_word("method", method, (*CORRECTIONS, "dunnett"))
    if isinstance(estimates, str | Estimate) or not isinstance(estimates, Iterable):
        raise UsageError(
            "adjust needs several results",
            found=repr(estimates)[:80],
            allowed="a list of estimates, or of p-values as [0.01, 0.2]",
        )
    if family_size is not None:
        check_whole("family_size", family_size, 1)
    listed = list(estimates)
    is_rows = bool(listed) and all(isinstance(one, Estimate) for one in listed)
    if is_rows and method == "dunnett":
        return adjust_dunnett(listed)
    if is_rows:
        return adjust_estimates(listed, family_size=family_size, method=method)  # type: ignore[arg-type]
    if method == "dunnett":
        raise UsageError("Dunnett's test needs rows, not p-values")
    # A test without a p-value was planned all the same, as in a family of rows.
    size = max(len(listed), family_size or 0)
    found = CORRECTIONS[method](_read_p_values(listed), family_size=size)
    return tuple(None if np.isnan(p) else float(p) for p in found)


def segments(
    data: Any,
    *,
    segment: str | Sequence[str] = (),
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    method: Method = "mean",
    denominator: str | None = None,
    covariate: str | None = None,
    scale: Scale = "absolute",
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Heterogeneity, ...]:
    """Does the effect differ between segments, and which stand out?

    Args:
        data: a frame with one row per unit; or rows of single segments.
        segment: column with a fact from before exposure, or several.
        metric: as `compare`.
        variant: as `compare`.
        baseline: as `compare`.
        method: `mean`, `proportion`, `ratio` or `cuped`.
        denominator: column, for a ratio.
        covariate: column, for CUPED.
        scale: of the effects compared, `absolute` or `relative`.
        min_units: units an arm needs in a segment.
        alpha: two-sided error rate of the intervals.

    Returns:
        One test of interaction per segment column and treatment arm, with its rows, and
        those without a number apart; without a test a reason.

    Raises:
        UsageError: as `compare`, a frame without segment, or rows of no segments.
    """
    check_word("scale", scale, get_args(Scale))
    if isinstance(data, Sequence):
        return assess_segments(_require_segments(data), scale=scale)
    kind, estimator = find_method(method)
    names = _name_attributes(segment)
    columns = columns_for(
        data,
        method,
        Columns(metric, variant, baseline, denominator, covariate, labels=names),
    )
    arms = read_arms(data, columns)
    settings = settings_for(metric or "", kind, alpha=alpha, min_units=min_units)
    rows = [
        estimator(control, other, settings)
        for name in names
        for control, other in _pair_levels(arms, columns, name)
    ]
    ordered = sorted(rows, key=lambda row: (row.treatment, row.segment))
    return assess_segments(tell_left_out(ordered, arms), scale=scale)


def _name_attributes(segment: str | Sequence[str]) -> tuple[str, ...]:
    """Columns of segments; `attribute=value` could not be taken apart with more signs."""
    names = list_names(segment, "segment")
    for name in names:
        if "=" in name:
            raise UsageError(
                "the name of a segment's column holds =",
                found=repr(name),
                allowed="a name without it",
                next_step="rename the column",
            )
    return names


def _pair_levels(
    arms: Sequence[ArmUnits], columns: Columns, name: str
) -> Iterator[tuple[MetricTotals, MetricTotals]]:
    """Control's and each other arm's moments by level; a level may be empty in one."""
    control, *others = [
        {one.segment: one for one in total_segments(arm, columns, [name])}
        for arm in arms
    ]
    blanks = [MetricTotals(*name_arm(arm, columns), 0, None, None) for arm in arms]
    for other, blank in zip(others, blanks[1:], strict=True):
        for level in control.keys() | other.keys():
            yield (
                control.get(level, replace(blanks[0], segment=level)),
                other.get(level, replace(blank, segment=level)),
            )


def _require_segments(rows: Sequence[Any]) -> Sequence[Estimate]:
    for row in rows:
        if not isinstance(row, Estimate) or "=" not in row.segment:
            raise UsageError(
                "rows of single segments are needed",
                found=repr(getattr(row, "segment", row))[:80],
                allowed="estimates whose segment is `attribute=value`, or a frame",
            )
    if not rows:
        raise UsageError(
            "rows of single segments are needed",
            found="no rows",
            allowed="estimates whose segment is `attribute=value`, or a frame",
        )
    return rows


def interaction(
    frame: Any,
    *,
    metric: str | None = None,
    variants: tuple[str, str],
    baselines: tuple[Any, Any],
    denominator: str | None = None,
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> InteractionTest:
    """Do two experiments on the same units disturb each other?

    Args:
        frame: one row per unit that met both experiments.
        metric: as `compare`.
        variants: columns with the unit's arm in the first and in the second.
        baselines: their control arms.
        denominator: column, for a ratio.
        min_units: units a cell needs.
        alpha: two-sided error rate of the contrasts' intervals.

    Returns:
        Whether the assignments are independent, and how the effect of each arm changes
        under the arms of the other experiment.

    Raises:
        UsageError: as `compare`.
    """
    check_alpha(alpha)
    for name, pair in (("variants", variants), ("baselines", baselines)):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise UsageError(
                f"{name} must be two, one of each experiment",
                found=repr(pair),
                allowed=f"{name}=(FIRST, SECOND)",
            )
    first, second = variants
    columns = Columns(metric, first, baselines[0], denominator, labels=(second,))
    cells: dict[tuple[str, str], MetricTotals] = {}
    for arm in read_arms(frame, columns):
        for totals in total_segments(arm, columns, (second,)):
            other = totals.segment.removeprefix(f"{second}=")
            cells[arm.variant, other] = replace(totals, segment="all")
    controls = (str(baselines[0]), str(baselines[1]))
    check_word(f"arm in {second!r}", controls[1], sorted({key[1] for key in cells}))
    return assess_interaction(cells, controls, alpha=alpha, min_units=min_units)


def _read_p_values(values: Sequence[Any]) -> list[float | None]:
    if any(isinstance(value, Estimate) for value in values):
        raise UsageError(
            "estimates or p-values are needed, not both",
            allowed="a sequence of one of the two",
        )
    for value in values:
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value <= 1):
            raise UsageError(
                "a p-value lies between 0 and 1",
                found=repr(value),
                allowed="a number in [0, 1], or None where there was no test",
            )
    return [None if value is None else float(value) for value in values]
