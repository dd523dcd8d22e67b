"""Two-way fixed effects, shown beside better methods: never on its own.

With several treatment dates and effects that differ or grow, the coefficient compares
treated units with treated ones and may weigh effects negatively; the decomposition says
how much.
"""

from typing import Any

import numpy as np

from exp_platform.causal.cluster_sums import count_effective_sizes
from exp_platform.causal.clusters import refuse_clusters
from exp_platform.causal.effect import complete_effect, stop_effect
from exp_platform.causal.goodman_bacon import (
    BaconDecomposition,
    GroupMeans,
    decompose_panel,
    group_means,
    share_negative,
)
from exp_platform.causal.panel_data import Panel, PanelData, arrange_panel
from exp_platform.causal.staggered import TREATED, UNTREATED
from exp_platform.causal.vector_moments import BLOCK
from exp_platform.records import Estimate, EstimateStatus
from exp_platform.stats.cluster import FEWEST_CLUSTERS
from exp_platform.stats.draft import Refusal
from exp_platform.stats.inference import Array
from exp_platform.stats.settings import EstimateSettings

WARN_FORBIDDEN = 0.1
"""Weight on comparisons with treated units beyond which the row warns."""


def estimate_twfe(data: PanelData | Panel, settings: EstimateSettings) -> Estimate:
    """What does the regression on treatment with unit and period effects say?

    CR1 errors by cluster, factor G/(G-1) x (N-1)/(N-k) with k = 1 + periods (the unit
    effects lie within clusters), and t(G - 1).

    Args:
        data: unit x period rows, or a panel that keeps always-treated units;
            covariates are not used. Units that miss a period are left out.
        settings: metric, role, alpha, least units.

    Estimand:
        A weighted mean of ATT(g, t), with weights that may be negative; the ATT only
        if all effects are equal or there is one treatment date.

    Assumptions:
        Parallel trends for all cohorts and constant effects.

    Outcomes:
        OK, with the Goodman-Bacon shares in the details; INSUFFICIENT_DATA with
        TOO_FEW_UNITS, TOO_FEW_CLUSTERS, NEEDS_WILD_BOOTSTRAP or ZERO_VARIANCE.

    References:
        Goodman-Bacon (2021); de Chaisemartin and D'Haultfoeuille (2020).
    """
    panel = data if isinstance(data, Panel) else arrange_panel(data, keep_always=True)
    draft = _draft(panel, settings)
    details: dict[str, Any] = {"n_incomplete": panel.n_incomplete}
    reason = _refuse(panel, settings)
    if reason is not None:
        return stop_effect(draft, reason.value, details)
    groups = group_means(panel)
    residual = _demean(groups)
    spread = float(groups.weight @ np.sum(residual**2, axis=1))
    if spread <= 1e-12 * groups.weight.sum():
        return stop_effect(draft, Refusal.ZERO_VARIANCE.value, details)
    products = np.sum(residual * groups.means, axis=1)
    effect = float(groups.weight @ products / spread)
    error = _error(panel, groups, residual, effect) / spread
    details |= _warn(decompose_panel(groups), share_negative(groups, residual))
    is_on = groups.is_treated
    weight = np.broadcast_to(groups.weight[:, None], is_on.shape)
    return complete_effect(
        draft,
        (effect, error),
        df=panel.n_clusters - 1.0,
        treated_mean=float(np.average(groups.means[is_on], weights=weight[is_on])),
        details=details,
    )


def _draft(panel: Panel, settings: EstimateSettings) -> Estimate:
    is_ever = np.isfinite(panel.cohort)
    return Estimate(
        experiment_id=panel.experiment_id,
        metric_name=panel.metric_name,
        method="twfe",
        control=UNTREATED,
        treatment=TREATED,
        status=EstimateStatus.INSUFFICIENT_DATA,
        estimand="ATT",
        n_control=int(np.sum(~is_ever)),
        n_treatment=int(np.sum(is_ever)),
        n_clusters=panel.n_clusters,
        alpha=settings.alpha,
        role=settings.role,
        metric_version=settings.metric_version,
    )


def _refuse(panel: Panel, settings: EstimateSettings) -> Refusal | None:
    if panel.cohort.size < max(2, settings.min_units_per_arm):
        return Refusal.TOO_FEW_UNITS
    first = panel.cohort == panel.cohort.min()
    sizes = [panel.size_clusters(side) for side in (~first, np.isfinite(panel.cohort))]
    if not all(one.size for one in sizes):
        return Refusal.TOO_FEW_CLUSTERS
    if count_effective_sizes(sizes[0], sizes[1]) < FEWEST_CLUSTERS:
        return Refusal.TOO_FEW_CLUSTERS
    return refuse_clusters(sizes[0].size, sizes[1].size)


def _demean(groups: GroupMeans) -> Array:
    """Treatment less unit and period effects, by cohort (balanced: twice the mean)."""
    values = groups.is_treated.astype(float)
    by_unit = values - values.mean(axis=1, keepdims=True)
    return np.asarray(by_unit - np.average(by_unit, axis=0, weights=groups.weight))


def _error(panel: Panel, groups: GroupMeans, residual: Array, effect: float) -> float:
    """Standard error times the spread of the treatment's residual.

    Rows of the residual add to 0, so that unit effects drop out of a unit's score.
    """
    _, code = panel.cohort_codes
    centre = np.average(groups.means, axis=0, weights=groups.weight)
    scores = np.empty(code.size)
    for first in range(0, code.size, BLOCK):
        part = slice(first, first + BLOCK)
        own = residual[code[part]]
        errors = panel.outcomes[part] - centre - effect * own
        scores[part] = np.einsum("nt,nt->n", own, errors, optimize=False)
    sums = np.bincount(panel.cluster, panel.weight * scores)
    n, k, g = panel.outcomes.size, 1 + panel.periods.size, sums.size
    factor = g / (g - 1) * (n - 1) / (n - k)
    return float(np.sqrt(factor * np.sum(sums**2)))


def _warn(found: BaconDecomposition, negative: float) -> dict[str, Any]:
    details: dict[str, Any] = {
        "bacon_share_forbidden": found.share_forbidden,
        "bacon_forbidden_estimate": found.forbidden_estimate,
        "bacon_clean_estimate": found.clean_estimate,
        "share_negative_weights": negative,
        "small_sample": "CR1 G/(G-1)*(N-1)/(N-k), k = 1 + periods, t(G-1)",
    }
    if found.share_forbidden > WARN_FORBIDDEN or negative > 0:
        details["warning"] = "FORBIDDEN_COMPARISONS"
    return details
