"""Synthetic control: one treated unit against a mixture of units that resembled it.

For a policy in one or a few places, where no standard error by cluster exists. The
evidence is a placebo test: would units without the policy show such a gap too?
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exp_platform.causal.refusal import DesignRefusal, refuse_design
from exp_platform.causal.simplex import fit_weights
from exp_platform.errors import ContractError
from exp_platform.records import Estimate, EstimateRole, EstimateStatus, MetricTotals
from exp_platform.stats.draft import Refusal, draft_estimate
from exp_platform.stats.inference import Array
from exp_platform.stats.settings import EstimateSettings

FEWEST_PRE_PERIODS = 5
"""Periods before the event below which a fit says nothing about the periods after."""

WORST_FIT = 0.5
"""Largest root mean squared gap before the event, in standard deviations between units:
a mixture that misses by more is no counterfactual."""

EXACT_FIT = 1e-9
"""A smaller gap before the event, in the same unit, is rounding."""

LEAST_SHOWN = 0.001
"""Weights below this are not listed."""


@dataclass(frozen=True, slots=True)
class DonorPanel:
    """One treated series beside those of untreated units.

    Attributes:
        periods: numbers relative to the event, in order; 0 is the first treated one.
        treated: outcome of the treated unit (mean of several), shape (n_periods,).
        donors: outcomes of units that were never treated, (n_donors, n_periods).
        donor_names: shape (n_donors,). n_treated: units averaged in `treated`.
        treated_predictors, donor_predictors: facts from before the event to match on
            beside the outcomes, shapes (k,) and (n_donors, k).
    """

    experiment_id: str
    metric_name: str
    control: str
    treatment: str
    periods: tuple[int, ...]
    treated: Array
    donors: Array
    donor_names: tuple[str, ...]
    n_treated: int = 1
    treated_predictors: Array | None = None
    donor_predictors: Array | None = None

    @property
    def is_pre(self) -> NDArray[np.bool_]:
        """Which periods lie before the event."""
        return np.array(self.periods) < 0


@dataclass(frozen=True, slots=True)
class _Fit:
    """One unit against its mixture: gaps by period, shape (n_periods,)."""

    weights: Array
    gaps: Array
    is_pre: NDArray[np.bool_]

    @property
    def pre_rmspe(self) -> float:
        """Root mean squared gap before the event."""
        return float(np.sqrt(np.mean(self.gaps[self.is_pre] ** 2)))

    @property
    def post_rmspe(self) -> float:
        """Root mean squared gap from the event on."""
        return float(np.sqrt(np.mean(self.gaps[~self.is_pre] ** 2)))

    @property
    def mean_gap(self) -> float:
        """Average gap from the event on."""
        return float(np.mean(self.gaps[~self.is_pre]))


@dataclass(frozen=True, slots=True)
class _Placebos:
    """Donors treated as if the event were theirs, each field of shape (n_donors,).

    A donor that is matched exactly before the event counts as infinitely far off.
    """

    ratios: Array
    standard_gaps: Array

    def p_value(self, own: float, others: Array) -> float:
        """Share of all units, the treated one included, with so large a statistic."""
        # Equal up to rounding counts against the effect.
        return float((1 + np.sum(others >= own * (1 - 1e-9))) / (1 + len(others)))


def estimate_synthetic_control(
    panel: DonorPanel, settings: EstimateSettings
) -> Estimate:
    """How far did the treated unit leave the mixture that it had followed before?

    Weights are non-negative, add to 1 and minimise the squared gaps before the event
    (and of the predictors, each scaled by its standard deviation between units).
    Every donor is then given the same treatment, with the other donors as its pool.
    `p_value` ranks the ratio of root mean squared gaps after and before the event; it
    tests no effect in any period. The interval holds the constant effects that a
    placebo test of the average gap, in units of the gap before, does not reject. The
    role is never primary: neither is a test that the decision rules can size.

    Args:
        panel: treated series and donors.
        settings: metric, role, alpha.

    Estimand:
        Effect on the treated unit (ATT), averaged over the periods from the event on.

    Assumptions:
        Donors are untouched by the event; the mixture that followed the unit before
        would have followed it on; no anticipation; under no effect, the treated unit
        could as well have been any other.

    Outcomes:
        OK, without a standard error; INSUFFICIENT_DATA with NO_POST_PERIOD,
        TOO_FEW_PRE_PERIODS (below 5), TOO_FEW_DONORS (no placebo test could reject at
        alpha: 19 at .05), ZERO_VARIANCE, EXACT_PRE_FIT (more donors than the periods
        can tell apart) or POOR_PRE_FIT (above 0.5 standard deviations between units);
        METRIC_ERRORED with INVALID_MOMENTS.

    Raises:
        ContractError: the panel's arrays do not fit together.

    References:
        Abadie, Diamond and Hainmueller (2010), section 3; Firpo and Possebom (2018),
        section 4; Abadie (2021), section 5; Ferman and Pinto (2021).
    """
    _require_shapes(panel)
    draft = _draft(panel, settings)
    reason = _refuse_size(panel, settings.alpha)
    if reason is not None:
        return refuse_design(draft, reason, _count(panel))
    scale = _spread_between_units(panel)
    if scale == 0:
        return refuse_design(draft, Refusal.ZERO_VARIANCE, _count(panel))
    features = _features(panel, scale)
    outcomes = np.vstack([panel.treated, panel.donors])
    own = _fit(features, outcomes, 0, panel.is_pre)
    details = {**_count(panel), **_describe_fit(panel, own, scale)}
    misfit = _refuse_fit(own.pre_rmspe / scale)
    if misfit is not None:
        return refuse_design(draft, misfit, details)
    placebos = _run_placebos(features, outcomes, panel.is_pre, EXACT_FIT * scale)
    reach = _largest_reach(placebos, settings.alpha) * own.pre_rmspe
    if not math.isfinite(reach):
        return refuse_design(draft, DesignRefusal.EXACT_PRE_FIT, details)
    details |= _leave_one_out(features, outcomes, own)
    return _complete(draft, panel, own, placebos, reach=reach, details=details)


def _refuse_fit(rmspe: float) -> DesignRefusal | None:
    """Is the mixture too near to tell an error, or too far? In units' spreads."""
    if rmspe <= EXACT_FIT:
        return DesignRefusal.EXACT_PRE_FIT
    return DesignRefusal.POOR_PRE_FIT if rmspe > WORST_FIT else None


def _require_shapes(panel: DonorPanel) -> None:
    n_periods, n_donors = len(panel.periods), len(panel.donor_names)
    fits = panel.treated.shape == (n_periods,)
    fits = fits and panel.donors.shape == (n_donors, n_periods)
    ours, theirs = panel.treated_predictors, panel.donor_predictors
    if ours is not None and theirs is not None:
        fits = fits and theirs.shape == (n_donors, len(ours))
    elif ours is not None or theirs is not None:
        fits = False
    if fits:
        return
    raise ContractError(
        "the panel's arrays do not fit together",
        where=f"{panel.experiment_id}, metric {panel.metric_name}",
        found=f"treated {panel.treated.shape}, donors {panel.donors.shape}",
        allowed=f"({n_periods},) and ({n_donors}, {n_periods})",
        next_step="pass one value per unit and period",
    )


def _draft(panel: DonorPanel, settings: EstimateSettings) -> Estimate:
    control, treatment = (
        MetricTotals(panel.experiment_id, panel.metric_name, name, n, None, None)
        for name, n in (
            (panel.control, len(panel.donor_names)),
            (panel.treatment, panel.n_treated),
        )
    )
    draft = draft_estimate("synthetic_control", control, treatment, settings)
    is_primary = draft.role is EstimateRole.PRIMARY
    return replace(
        draft,
        estimand="ATT",
        period="post",
        role=EstimateRole.SECONDARY if is_primary else draft.role,
        n_clusters=len(panel.donor_names) + panel.n_treated,
    )


def _refuse_size(panel: DonorPanel, alpha: float) -> str | None:
    n_pre = int(panel.is_pre.sum())
    if n_pre == len(panel.periods):
        return Refusal.NO_POST_PERIOD
    if n_pre < FEWEST_PRE_PERIODS:
        return DesignRefusal.TOO_FEW_PRE_PERIODS
    if _rejections(len(panel.donor_names), alpha) < 1:
        return DesignRefusal.TOO_FEW_DONORS
    parts = [panel.treated, panel.donors]
    if panel.treated_predictors is not None and panel.donor_predictors is not None:
        parts += [panel.treated_predictors, panel.donor_predictors]
    if not all(np.all(np.isfinite(part)) for part in parts):
        return Refusal.INVALID_MOMENTS
    return None


def _rejections(n_donors: int, alpha: float) -> int:
    """How many of the units may rank as extreme in a test at alpha."""
    # The sum 1 + n_donors times alpha may miss a whole number by rounding.
    return math.floor(alpha * (n_donors + 1) + 1e-9)


def _spread_between_units(panel: DonorPanel) -> float:
    """Standard deviation between units, over the periods before the event."""
    before = np.vstack([panel.treated, panel.donors])[:, panel.is_pre]
    spread = float(np.sqrt(np.mean(np.var(before, axis=0, ddof=1))))
    return spread if spread > EXACT_FIT * float(np.max(np.abs(before))) else 0.0


def _features(panel: DonorPanel, scale: float) -> Array:
    """What is matched, the treated unit first, shape (1 + n_donors, n_features)."""
    outcomes = np.vstack([panel.treated, panel.donors])[:, panel.is_pre] / scale
    if panel.treated_predictors is None or panel.donor_predictors is None:
        return outcomes
    predictors = np.vstack([panel.treated_predictors, panel.donor_predictors])
    spreads = predictors.std(axis=0, ddof=1)
    varies = spreads > 0
    return np.hstack([outcomes, predictors[:, varies] / spreads[varies]])


def _fit(
    features: Array,
    outcomes: Array,
    unit: int,
    is_pre: NDArray[np.bool_],
    *,
    without: int = -1,
) -> _Fit:
    """One row against the donors' rows, itself and `without` left out."""
    weights = np.zeros(len(features))
    pool = [i for i in range(1, len(features)) if i not in {unit, without}]
    weights[pool] = fit_weights(features[unit], features[pool])
    return _Fit(weights[1:], outcomes[unit] - weights @ outcomes, is_pre)


def _run_placebos(
    features: Array, outcomes: Array, is_pre: NDArray[np.bool_], exact: float
) -> _Placebos:
    units = range(1, len(features))
    fits = [_fit(features, outcomes, unit, is_pre) for unit in units]
    before = np.array([fit.pre_rmspe for fit in fits])
    known = np.where(before > exact, before, np.nan)
    post = np.array([fit.post_rmspe for fit in fits])
    gaps = np.array([abs(fit.mean_gap) for fit in fits])
    return _Placebos(
        np.nan_to_num(post / known, nan=np.inf),
        np.nan_to_num(gaps / known, nan=np.inf),
    )


def _largest_reach(placebos: _Placebos, alpha: float) -> float:
    """Average gap, in units of the gap before, at which a placebo test rejects."""
    gaps = np.sort(placebos.standard_gaps)[::-1]
    return float(gaps[_rejections(len(gaps), alpha) - 1])


def _leave_one_out(features: Array, outcomes: Array, own: _Fit) -> dict[str, Any]:
    """Range of the estimate when each donor with weight is left out in turn."""
    used = np.flatnonzero(own.weights >= LEAST_SHOWN) + 1
    found = [
        _fit(features, outcomes, 0, own.is_pre, without=int(unit)).mean_gap
        for unit in used
    ]
    return {"leave_one_out_lowest": min(found), "leave_one_out_highest": max(found)}


def _complete(
    draft: Estimate,
    panel: DonorPanel,
    own: _Fit,
    placebos: _Placebos,
    *,
    reach: float,
    details: dict[str, Any],
) -> Estimate:
    effect = own.mean_gap
    mean = float(np.mean(panel.treated[~own.is_pre]))
    counterfactual = mean - effect
    ratio = own.post_rmspe / own.pre_rmspe
    has_lift = counterfactual > 0
    standard_gap = abs(effect) / own.pre_rmspe
    return replace(
        draft,
        status=EstimateStatus.OK,
        control_mean=counterfactual,
        treatment_mean=mean,
        difference=effect,
        ci_lower=effect - reach,
        ci_upper=effect + reach,
        relative_lift=effect / counterfactual if has_lift else None,
        relative_method="point_counterfactual" if has_lift else None,
        p_value=placebos.p_value(ratio, placebos.ratios),
        statistic=ratio,
        details={
            **details,
            "test": "placebo_rmspe_ratio",
            "interval": "placebo_average_gap",
            "average_gap_p_value": placebos.p_value(
                standard_gap, placebos.standard_gaps
            ),
            "least_p_value": 1 / (1 + len(placebos.ratios)),
            "n_placebos": len(placebos.ratios),
        },
    )


def _count(panel: DonorPanel) -> dict[str, Any]:
    n_pre = int(panel.is_pre.sum())
    return {
        "n_donors": len(panel.donor_names),
        "n_treated_units": panel.n_treated,
        "pre_periods": n_pre,
        "post_periods": len(panel.periods) - n_pre,
    }


def _describe_fit(panel: DonorPanel, own: _Fit, scale: float) -> dict[str, Any]:
    order = np.argsort(-own.weights, kind="stable")
    return {
        "weights": {
            panel.donor_names[i]: float(own.weights[i])
            for i in order
            if own.weights[i] >= LEAST_SHOWN
        },
        "gaps": [
            {"period": period, "gap": float(gap)}
            for period, gap in zip(panel.periods, own.gaps, strict=True)
        ],
        "pre_rmspe": own.pre_rmspe,
        "post_rmspe": own.post_rmspe,
        "pre_rmspe_in_sd": own.pre_rmspe / scale,
        "worst_allowed_in_sd": WORST_FIT,
    }
