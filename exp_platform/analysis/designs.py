"""Assignment that was not simply followed: non-compliance, and units that chose."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exp_platform.analysis.arguments import check_whole, check_word
from exp_platform.analysis.arms import (
    LARGE_SAMPLE,
    Columns,
    compare_each,
    gather_arms,
    list_names,
    name_arm,
    read_arms,
    settings_for,
    settle_units,
)
from exp_platform.causal.instrument import (
    ComplianceTotals,
    compliance_of_units,
    estimate_cace,
)
from exp_platform.causal.observational import (
    ObservedUnits,
    estimate_aipw,
    estimate_regression_adjustment,
)
from exp_platform.errors import ContractError, UsageError
from exp_platform.pipelines.frames import ArmUnits
from exp_platform.records import Estimate
from exp_platform.stats.settings import EstimateSettings


def cace(
    data: Any,
    treatment: Any = None,
    *,
    uptake: str | None = None,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    cluster: str | None = None,
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """What did the treatment do to those who took it because they were assigned to it?

    Args:
        data: a frame, or `ComplianceTotals` of the baseline arm.
        treatment: `ComplianceTotals` of the other arms; None with a frame.
        uptake: column with 1 where the unit took the treatment.
        metric: as `compare`.
        variant: column with the arm the unit was assigned to.
        baseline: as `compare`.
        cluster: column with the level at which treatment was assigned.
        min_units: units an arm needs.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm: complier average causal effect.

    Raises:
        UsageError: as `compare`; a frame without uptake, or a cluster in two arms.
        ContractError: an uptake outside 0 to 1.
    """
    if uptake is None and not isinstance(data, ComplianceTotals):
        raise UsageError("a frame needs uptake", allowed="uptake=COLUMN")
    names, labels = ((name,) if name else () for name in (uptake, cluster))
    columns = Columns(metric, variant, baseline, numbers=names, labels=labels)
    home: dict[str, str] = {}

    def summarise(arm: ArmUnits) -> ComplianceTotals:
        """Outcome and uptake of one arm."""
        experiment_id, metric_name, name = name_arm(arm, columns)
        taken = arm.numbers[uptake or ""]
        clusters = settle_units(home, arm, cluster, what="cluster") if cluster else None
        _check_uptake(taken, f"column {uptake!r}, arm {name}")
        return compliance_of_units(
            arm.values,
            taken,
            cluster=clusters,
            metric_name=metric_name,
            variant=name,
            experiment_id=experiment_id,
        )

    arms = gather_arms(
        data, treatment, columns, kind=ComplianceTotals, summarise=summarise
    )
    settings = settings_for(arms[0].metric_name, alpha=alpha, min_units=min_units)
    return compare_each(arms, estimate_cace, settings)


def _check_uptake(taken: NDArray[Any], where: str) -> None:
    """Codes 1 and 2, or percent, would pass for doses and shrink the effect."""
    astray = taken[(taken < 0) | (taken > 1)]
    if len(astray):
        raise ContractError(
            "the uptake is no yes or no",
            where=where,
            found=f"{len(astray):,} of {len(taken):,} values, e.g. {astray[0]:g}",
            allowed="1 where the unit took the treatment, 0 where it did not",
            next_step="recode the column and run again",
        )


def aipw(
    frame: Any,
    *,
    metric: str | None = None,
    variant: str | None = None,
    baseline: str | None = None,
    covariates: str | Sequence[str] = (),
    cluster: str | None = None,
    method: Literal["aipw", "regression"] = "aipw",
    n_folds: int = 5,
    min_units: int = LARGE_SAMPLE,
    alpha: float = 0.05,
) -> tuple[Estimate, ...]:
    """How do arms differ that units chose themselves? Never an experiment.

    Args:
        frame: one row per unit; rows with a null covariate are left out.
        metric: as `compare`.
        variant: column with the arm the unit is in.
        baseline: as `compare`.
        covariates: columns with facts from before the choice.
        cluster: column with the level at which choices were made.
        method: `aipw`, doubly robust, or `regression` in each arm.
        n_folds: parts for the cross-fitting of `aipw`; 1 = none.
        min_units: units an arm needs.
        alpha: two-sided error rate of the interval.

    Returns:
        One row per treatment arm, secondary at most.

    Raises:
        UsageError: as `compare`, or no covariates.
    """
    check_word("method", method, ("aipw", "regression"))
    check_whole("n_folds", n_folds, 1)
    names = list_names(covariates, "covariates")
    labels = (cluster,) if cluster else ()
    columns = Columns(metric, variant, baseline, numbers=names, labels=labels)
    settings = settings_for(metric or "", alpha=alpha, min_units=min_units)

    def estimate(
        control: ArmUnits, other: ArmUnits, settings: EstimateSettings
    ) -> Estimate:
        """One pair of arms in one table of units."""
        units = _observe((control, other), columns)
        if method == "regression":
            return estimate_regression_adjustment(units, settings)
        return estimate_aipw(units, settings, n_folds=n_folds)

    return compare_each(read_arms(frame, columns), estimate, settings)


def _observe(pair: tuple[ArmUnits, ArmUnits], columns: Columns) -> ObservedUnits:
    """Both arms' units in one table."""
    control, other = pair
    clusters = [arm.labels[name] for arm in pair for name in columns.labels]
    return ObservedUnits(
        experiment_id="",
        metric_name=columns.metric or "",
        control=control.variant,
        treatment=other.variant,
        outcome=np.concatenate([arm.values for arm in pair]),
        is_treated=np.repeat([False, True], [arm.values.size for arm in pair]),
        covariates=np.vstack(
            [
                np.column_stack([arm.numbers[name] for name in columns.numbers])
                for arm in pair
            ]
        ),
        covariate_names=columns.numbers,
        cluster=np.concatenate(clusters) if clusters else None,
    )
