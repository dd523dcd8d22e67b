"""Staggered adoption: the effect when treatment began on several dates.

Units treated later, or never, are the controls; treated units are never controls.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, TypeGuard

import numpy as np
from scipy.special import fdtrc, stdtr, stdtrit

from exp_platform.causal.aggregation import (
    AGGREGATIONS,
    Aggregation,
    AveragedEffects,
    average_effects,
    find_band,
)
from exp_platform.causal.cluster_sums import count_effective_sizes
from exp_platform.causal.clusters import refuse_clusters
from exp_platform.causal.cohort_totals import (
    CohortPanel,
    spans_cohorts,
    total_cohorts,
)
from exp_platform.causal.effect import (
    complete_by_randomisation,
    complete_effect,
    describe_randomisation,
    stop_effect,
)
from exp_platform.causal.group_times import (
    ControlGroup,
    GroupTimes,
    compare_cohorts,
    compare_units,
)
from exp_platform.causal.panel_data import Panel, PanelData, arrange_panel
from exp_platform.causal.staggered_randomisation import permute_cohorts
from exp_platform.causal.two_by_two import MOST_UNMATCHED, Adjustment
from exp_platform.records import Estimate, EstimateRole, EstimateStatus
from exp_platform.stats.cluster import FEWEST_CLUSTERS
from exp_platform.stats.draft import Refusal
from exp_platform.stats.inference import Array
from exp_platform.stats.settings import EstimateSettings

METHOD = "callaway_santanna_"

FEW = frozenset({Refusal.TOO_FEW_CLUSTERS.value, Refusal.NEEDS_WILD_BOOTSTRAP.value})

NO_CONTROLS = "NO_CONTROLS"
"""No cohort was seen before and under treatment beside untreated units."""

POOR_OVERLAP = "POOR_OVERLAP"
"""Covariates tell some cohort and its controls apart."""

TREATED, UNTREATED = "treated", "not_treated"
"""Names of the arms where the panel has cohorts instead of variants."""


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One row of an aggregation: a cohort, an event time or a period.

    Attributes:
        method: of the aggregation. at: cohort, event time (0 = first treated period)
            or period.
        n_clusters: treated clusters behind it; with fewer than 5 there is no error.
        ci_lower, ci_upper: interval of this row alone. band_lower, band_upper: of all
            rows of the method at once.
    """

    method: str
    at: float
    estimate: float
    n_clusters: int
    standard_error: float | None = None
    p_value: float | None = None
    ci_lower: float | None = None
    ci_upper: float | None = None
    band_lower: float | None = None
    band_upper: float | None = None


@dataclass(frozen=True, slots=True)
class StaggeredEffects:
    """One estimate per aggregation, and their rows.

    Attributes:
        estimates: simple, group, dynamic, calendar. rows: none for the simple one.
        group_times: the effects they are averages of; None when refused.
    """

    estimates: tuple[Estimate, ...]
    rows: tuple[EffectRow, ...] = ()
    group_times: GroupTimes | None = None


def estimate_staggered(
    data: PanelData | Panel | CohortPanel,
    settings: EstimateSettings,
    *,
    control_group: ControlGroup = "not_yet",
    adjustment: Adjustment = "doubly_robust",
    seed: int = 0,
    totals: CohortPanel | None = None,
) -> StaggeredEffects:
    """What did treatment do to those treated, when it came on several dates?

    Every cohort's change from its last untreated period is compared with the change of
    units not treated by then. Errors are the influence functions', summed by cluster,
    without a small-sample factor, with t(G - 1). With 5 to 19 clusters on a side, or
    effectively fewer than 20, test and interval are those of randomisation inference
    (cohorts dealt anew to clusters), which assumes a constant effect, without errors.

    Args:
        data: unit x period rows, a matrix of them, or totals by cohort (no covariates).
        settings: metric, role of the simple average, alpha, least units.
        control_group: the never treated only, or also units treated later.
        adjustment: how covariates are used, where there are some.
        seed: of the draws for the uniform bands.
        totals: of the same panel, where they are at hand.

    Estimand:
        ATT of the treated cohorts. Simple: over all their treated periods, by cohort's
        share. Group: mean over time within each cohort, then by share. Dynamic: by time
        since treatment, mean of times from 0 on. Calendar: by period, mean of periods.

    Assumptions:
        Without treatment the cohorts' means (given covariates) would have moved as
        the controls'; no anticipation; treatment stays on; clusters are the level of
        assignment.

    Outcomes:
        OK; INSUFFICIENT_DATA with NO_CONTROLS (no cohort was seen before and under
        treatment beside untreated units), POOR_OVERLAP, TOO_FEW_UNITS,
        TOO_FEW_CLUSTERS, NEEDS_WILD_BOOTSTRAP (few clusters, and only totals, or
        covariates) or ZERO_VARIANCE; METRIC_ERRORED with INVALID_MOMENTS.

    References:
        Callaway and Sant'Anna (2021).
    """
    panel = arrange_panel(data) if isinstance(data, PanelData) else data
    found = _compare(panel, totals, control_group, adjustment)
    facts = _count(panel, adjustment) | {"control_group": control_group}
    facts |= _count_effective(panel, found)
    reason = _refuse(found, settings, facts.get("n_clusters_effective", math.inf))
    drafts = [_draft(data, kind, settings, found) for kind in AGGREGATIONS]
    if found is None or reason is not None:
        details = facts | _describe(found)
        if found is not None and reason in FEW and _can_deal(panel):
            dealt = _permute(panel, found, drafts, details=details, seed=seed)
            return StaggeredEffects(dealt)
        stopped = (stop_effect(one, reason or NO_CONTROLS, details) for one in drafts)
        return StaggeredEffects(tuple(stopped))
    average = partial(_average, found, facts=facts, seed=seed)
    estimates, rows = zip(*map(average, AGGREGATIONS, drafts), strict=True)
    return StaggeredEffects(estimates, tuple(chain.from_iterable(rows)), found)


def _average(
    found: GroupTimes,
    kind: Aggregation,
    draft: Estimate,
    *,
    facts: dict[str, Any],
    seed: int,
) -> tuple[Estimate, list[EffectRow]]:
    """One average, and its rows with their band."""
    effects = average_effects(found, kind)
    rows, band = _list_rows(effects, found, alpha=draft.alpha, seed=seed)
    details = facts | _describe(found) | band
    if kind == "dynamic":
        details |= _test_leads(effects, found)
    error = float(np.sqrt(max(effects.overall_variance, 0.0)))
    estimate = complete_effect(
        draft,
        (effects.overall, error),
        df=found.n_clusters - 1.0,
        treated_mean=effects.treated_mean,
        details=details,
    )
    return estimate, rows


def _compare(
    panel: Panel | CohortPanel,
    totals: CohortPanel | None,
    control_group: ControlGroup,
    adjustment: Adjustment,
) -> GroupTimes | None:
    if isinstance(panel, CohortPanel):
        return _compare_totals(panel, control_group)
    if not panel.cohorts.size or panel.cohort_codes[0].size < 2:
        return None
    if panel.covariates.shape[1] or spans_cohorts(panel):
        return _compare_units(panel, control_group, adjustment)
    return _compare_totals(totals or total_cohorts(panel), control_group)


def _count(panel: Panel | CohortPanel, adjustment: Adjustment) -> dict[str, Any]:
    if isinstance(panel, CohortPanel):
        return {}
    facts: dict[str, Any] = {
        "n_incomplete": panel.n_incomplete,
        "n_always_treated": panel.n_always,
    }
    return facts | ({"adjustment": adjustment} if panel.covariates.shape[1] else {})


def _can_deal(panel: Panel | CohortPanel) -> TypeGuard[Panel]:
    """Could the cohorts be dealt anew to the clusters?"""
    if isinstance(panel, CohortPanel) or panel.covariates.shape[1]:
        return False
    return not spans_cohorts(panel)


def _permute(
    panel: Panel,
    found: GroupTimes,
    blank: list[Estimate],
    *,
    details: dict[str, Any],
    seed: int,
) -> tuple[Estimate, ...]:
    """Rows by randomisation inference; below 5 treated clusters only their p-value."""
    counts = (found.n_clusters_control, int(found.group_clusters.sum()))
    tests = permute_cohorts(
        panel,
        AGGREGATIONS,
        control_group=details["control_group"],
        alpha=blank[0].alpha,
        seed=seed,
    )
    details = {**details, "seed": seed}
    is_too_few = refuse_clusters(*counts) is Refusal.TOO_FEW_CLUSTERS
    return tuple(
        stop_effect(
            draft,
            Refusal.TOO_FEW_CLUSTERS.value,
            details | describe_randomisation(test),
        )
        if is_too_few
        else complete_by_randomisation(
            draft,
            test,
            treated_mean=average_effects(found, kind).treated_mean,
            details=details,
        )
        for kind, draft, test in zip(AGGREGATIONS, blank, tests, strict=True)
    )


def _compare_units(
    panel: Panel, control_group: ControlGroup, adjustment: Adjustment
) -> GroupTimes | None:
    found = compare_units(panel, control_group=control_group, adjustment=adjustment)
    return found if found.estimates.size else None


def _compare_totals(
    panel: CohortPanel, control_group: ControlGroup
) -> GroupTimes | None:
    found = compare_cohorts(panel, control_group=control_group)
    return found if found.estimates.size else None


def _count_effective(
    panel: Panel | CohortPanel, found: GroupTimes | None
) -> dict[str, float]:
    """Totals by cohort do not tell them."""
    if found is None or not isinstance(panel, Panel):
        return {}
    return {"n_clusters_effective": count_effective_cohorts(panel, found.groups)}


def count_effective_cohorts(panel: Panel, groups: Array) -> float:
    """Effective clusters of those treated against those that stay controls longest.

    Args:
        panel: with units of some of the groups, and others.
        groups: cohorts with an effect.
    """
    sides = (panel.cohort == panel.cohort.max(), np.isin(panel.cohort, groups))
    control, treatment = (panel.size_clusters(side) for side in sides)
    return count_effective_sizes(control, treatment)


def _refuse(
    found: GroupTimes | None, settings: EstimateSettings, effective: float
) -> str | None:
    if found is None:
        return NO_CONTROLS
    if not np.all(np.isfinite(found.estimates)):
        return Refusal.INVALID_MOMENTS.value
    if not np.all(np.isfinite(found.covariance)):
        return Refusal.INVALID_MOMENTS.value
    if found.unmatched > MOST_UNMATCHED:
        return POOR_OVERLAP
    if min(found.n_treated, found.n_control) < max(2, settings.min_units_per_arm):
        return Refusal.TOO_FEW_UNITS.value
    n_treated = int(found.group_clusters.sum())
    reason = refuse_clusters(found.n_clusters_control, n_treated, effective)
    return reason.value if reason is not None else None


def _draft(
    data: PanelData | Panel | CohortPanel,
    kind: Aggregation,
    settings: EstimateSettings,
    found: GroupTimes | None,
) -> Estimate:
    is_first = kind == "simple"
    role = settings.role
    if role is EstimateRole.PRIMARY and not is_first:
        role = EstimateRole.SECONDARY
    return Estimate(
        experiment_id=data.experiment_id,
        metric_name=data.metric_name,
        method=METHOD + kind,
        control=UNTREATED,
        treatment=TREATED,
        status=EstimateStatus.INSUFFICIENT_DATA,
        estimand="ATT",
        n_control=found.n_control if found else None,
        n_treatment=found.n_treated if found else None,
        n_clusters=found.n_clusters if found else None,
        alpha=settings.alpha,
        role=role,
        period="post",
        metric_version=settings.metric_version,
    )


def _describe(found: GroupTimes | None) -> dict[str, Any]:
    if found is None:
        return {}
    few = found.groups[found.group_clusters < FEWEST_CLUSTERS]
    return {
        "n_cohorts": int(found.groups.size),
        "n_clusters_treatment": int(found.group_clusters.sum()),
        "n_clusters_control": found.n_clusters_control,
        "cohorts_of_few_clusters": [float(one) for one in few],
        "small_sample": "influence function by cluster, no factor, t(G-1)",
    }


def _list_rows(
    effects: AveragedEffects, found: GroupTimes, *, alpha: float, seed: int
) -> tuple[list[EffectRow], dict[str, Any]]:
    """Rows with their own intervals and a band over all that have an error."""
    if not effects.at.size:
        return [], {}
    variances = np.diag(effects.covariance)
    is_known = (effects.n_clusters >= FEWEST_CLUSTERS) & (variances > 0)
    inside = effects.covariance[np.ix_(is_known, is_known)]
    band = find_band(inside, alpha=alpha, seed=seed) if np.any(is_known) else None
    df = found.n_clusters - 1.0
    rows = [
        _row(effects, place, df, alpha, band if is_known[place] else None)
        for place in range(effects.at.size)
    ]
    return rows, {} if band is None else {"band_critical_value": band, "seed": seed}


def _row(
    effects: AveragedEffects, place: int, df: float, alpha: float, band: float | None
) -> EffectRow:
    row = EffectRow(
        method=METHOD + effects.kind,
        at=float(effects.at[place]),
        estimate=float(effects.estimates[place]),
        n_clusters=int(effects.n_clusters[place]),
    )
    if band is None:
        return row
    error = float(np.sqrt(effects.covariance[place, place]))
    half = float(stdtrit(df, 1 - alpha / 2)) * error
    # With few clusters t is wider than the band's normal draws for a single row.
    wide = max(band * error, half)
    return replace(
        row,
        standard_error=error,
        p_value=float(2 * stdtr(df, -abs(row.estimate) / error)),
        ci_lower=row.estimate - half,
        ci_upper=row.estimate + half,
        band_lower=row.estimate - wide,
        band_upper=row.estimate + wide,
    )


def _test_leads(effects: AveragedEffects, found: GroupTimes) -> dict[str, Any]:
    """Joint test that all effects before treatment are 0, F(q, G - q)."""
    is_lead = (effects.at < 0) & (effects.n_clusters >= FEWEST_CLUSTERS)
    leads = effects.estimates[is_lead]
    covariance = effects.covariance[np.ix_(is_lead, is_lead)]
    rank = int(np.linalg.matrix_rank(covariance)) if leads.size else 0
    df = found.n_clusters - rank
    if rank == 0 or df <= 0:
        return {}
    wald = float(leads @ np.linalg.pinv(covariance, hermitian=True) @ leads)
    f_statistic = wald / rank * df / (found.n_clusters - 1)
    return {
        "pretrend_f": f_statistic,
        "pretrend_df": [rank, df],
        "pretrend_p_value": float(fdtrc(rank, df, f_statistic)),
    }
