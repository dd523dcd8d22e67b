"""The relative lift of a finished row, by another method or at another level."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
from scipy.special import stdtrit

from exp_platform.records import Estimate
from exp_platform.stats.inference import Array, Inference, infer_difference
from exp_platform.stats.relative import (
    NO_ARM_VARIANCE,
    Baseline,
    RelativeMethod,
    both_vary,
    explain_no_interval,
    infer_relative,
)

SCORE_METHODS = ("fieller_wilson", "miettinen_nurminen")
"""Lifts of shares whose interval is made from counts, like that of the difference; at
another level than the row's own they are Fieller's."""

_PARTS = ("mean", "variance", "covariance")


def restate_lift(estimate: Estimate, method: RelativeMethod) -> Estimate:
    """The same row with its lift's interval and p-value by the named method.

    Works for every row that carries its baseline (Welch, CUPED, ratio, proportion,
    DiD): four definitions of a relative interval differ in the third digit on a quiet
    metric and by a factor of two on a noisy one. The interval reaches as many standard
    errors as the row's own, so that of a look stays that of the look. A row without a
    baseline stays as it is, and so does one without an interval of its lift by design.

    Args:
        estimate: any method's row.
        method: `fieller`, `delta` or `log_delta`. Of the last two a row of one look
            among several has no p-value: theirs would be that of a single look.

    Raises:
        ContractError: a method that is none of these.

    References:
        Fieller (1954); Franz (2007); Deng, Knoblich and Lu (2018).
    """
    if not estimate.is_ok or read_baseline(estimate) is None or _is_point(estimate):
        return estimate
    return _fill_lift(estimate, _own_quantile(estimate), method)


def widen_lift(estimate: Estimate, quantile: float) -> Estimate:
    """The same row with its lift's interval at another level, by the row's method.

    Args:
        estimate: any method's row, status OK.
        quantile: standard errors that the interval of the difference reaches.

    Returns:
        Row without an interval of its lift where there is no baseline to make it from.
    """
    method = lift_method(estimate)
    if method is None or read_baseline(estimate) is None:
        return replace(estimate, relative_ci_lower=None, relative_ci_upper=None)
    row = _fill_lift(estimate, quantile, method)
    return replace(
        row,
        relative_lift=estimate.relative_lift,
        relative_p_value=estimate.relative_p_value,
    )


def withhold_interval(estimate: Estimate) -> Estimate:
    """The same row without an interval of its lift: an arm's values do not vary.

    For methods whose error does not show it, because a covariate or a resampling lends
    the arm a spread. The p-value stays, as in every row without such an interval.

    Args:
        estimate: any method's row.
    """
    if estimate.relative_lift is None:
        return estimate
    kept = {k: v for k, v in estimate.details.items() if k != "delta_p_value"}
    return replace(
        estimate,
        relative_ci_lower=None,
        relative_ci_upper=None,
        details={**kept, "relative_reason": NO_ARM_VARIANCE},
    )


def is_withheld(estimate: Estimate) -> bool:
    """Does the row say that an arm without variance has no interval of its lift?

    Args:
        estimate: any method's row.
    """
    return estimate.details.get("relative_reason") == NO_ARM_VARIANCE


def read_baseline(estimate: Estimate) -> Baseline | None:
    """What the row's difference is divided by; None where the row does not say."""
    moments = [estimate.details.get(f"baseline_{part}") for part in _PARTS]
    if None in moments:
        return None
    return Baseline(*(np.array([moment], dtype=float) for moment in moments))


def explain_no_baseline(estimate: Estimate) -> str:
    """Why has a relative margin nothing to be relative to? "" where it has.

    Args:
        estimate: any method's row.

    Returns:
        CONTROL_MEAN_NOT_POSITIVE, BASELINE_VARIANCE_MISSING or ARM_WITHOUT_VARIANCE:
        Fieller's limit would be that of the other arm, or a point.
    """
    mean = estimate.details.get("baseline_mean")
    if mean is not None and mean <= 0:
        return "CONTROL_MEAN_NOT_POSITIVE"
    baseline = read_baseline(estimate)
    if baseline is None:
        return "BASELINE_VARIANCE_MISSING"
    error = np.array([estimate.standard_error], dtype=float)
    with np.errstate(all="ignore"):
        has_spread = both_vary(error * error, baseline)[0]
    return "" if has_spread and not is_withheld(estimate) else NO_ARM_VARIANCE


def _fill_lift(estimate: Estimate, quantile: float, method: RelativeMethod) -> Estimate:
    baseline = cast("Baseline", read_baseline(estimate))
    with np.errstate(all="ignore"):
        inference = _read_inference(estimate, quantile)
        found = infer_relative(inference, baseline, method=method)
        reason = explain_no_interval(found, inference, baseline)
    is_one_look = method != "fieller" and estimate.look is not None
    has_lift = _number(found.lift) is not None
    row = replace(
        estimate,
        relative_lift=_number(found.lift),
        relative_ci_lower=_open(found.ci_lower, estimate.ci_lower),
        relative_ci_upper=_open(found.ci_upper, estimate.ci_upper),
        relative_p_value=None if is_one_look else _number(found.p_value),
        relative_method=_name(estimate, method) if has_lift else None,
        details=_explain(estimate.details, reason),
    )
    if not is_withheld(estimate):
        return row
    row = withhold_interval(row)
    return row if method == "fieller" else replace(row, relative_p_value=None)


def _read_inference(estimate: Estimate, quantile: float) -> Inference:
    inference = infer_difference(
        np.array([estimate.difference], dtype=float),
        np.array([estimate.standard_error], dtype=float),
        np.array([_df_of(estimate)]),
        estimate.alpha,
    )
    # The row's own p may be an exact one, or that of many looks.
    p_value = np.array([estimate.p_value], dtype=float)
    return replace(inference, p_value=p_value, quantile=np.array([quantile]))


def _own_quantile(estimate: Estimate) -> float:
    """Standard errors that the interval of the row's difference reaches."""
    nominal = float(stdtrit(_df_of(estimate), 1 - estimate.alpha / 2))
    middle, error = estimate.difference or 0.0, estimate.standard_error or np.nan
    ends = [e for e in (estimate.ci_lower, estimate.ci_upper) if e is not None]
    if estimate.relative_method in SCORE_METHODS or not ends:
        return nominal if ends else float("nan")
    own = max(abs(end - middle) for end in ends) / error
    # The difference of two large numbers says it with fewer digits.
    return nominal if bool(np.isclose(own, nominal, rtol=1e-9)) else own


def _df_of(estimate: Estimate) -> float:
    return np.inf if estimate.df is None else estimate.df


def _is_point(estimate: Estimate) -> bool:
    return (estimate.relative_method or "").startswith("point")


def lift_method(estimate: Estimate) -> RelativeMethod | None:
    """The method of the row's lift that works at every level; None where none does."""
    name = (estimate.relative_method or "").removesuffix("_counterfactual")
    if name in SCORE_METHODS:
        return "fieller"
    is_known = name in ("fieller", "delta", "log_delta")
    return cast("RelativeMethod", name) if is_known else None


def _name(estimate: Estimate, method: RelativeMethod) -> str:
    is_other = (estimate.relative_method or "").endswith("_counterfactual")
    return f"{method}_counterfactual" if is_other else method


def _explain(details: Mapping[str, Any], reason: str) -> dict[str, Any]:
    kept = {k: v for k, v in details.items() if k != "relative_reason"}
    return {**kept, "relative_reason": reason} if reason else kept


def _open(limits: Array, own: float | None) -> float | None:
    """The limit, unless the row's own interval is open on that side."""
    return None if own is None else _number(limits)


def _number(values: Array) -> float | None:
    value = float(values[0])
    return value if np.isfinite(value) else None
