"""The relative lift of a finished row, by another method than its own."""

from dataclasses import replace

import numpy as np

from exp_platform.records import Estimate
from exp_platform.stats.inference import Array, infer_difference
from exp_platform.stats.relative import Baseline, RelativeMethod, infer_relative

_PARTS = ("mean", "variance", "covariance")


def restate_lift(estimate: Estimate, method: RelativeMethod) -> Estimate:
    """The same row with its lift's interval and p-value by the named method.

    Works for every row that carries its baseline (Welch, CUPED, ratio, proportion,
    DiD): four definitions of a relative interval differ in the third digit on a quiet
    metric and by a factor of two on a noisy one. A row without a baseline stays as it
    is.

    Args:
        estimate: any method's row.
        method: `delta`, `fieller`, `log_delta` or `auto`.

    References:
        Fieller (1954); Franz (2007); Deng, Knoblich and Lu (2018).
    """
    moments = [estimate.details.get(f"baseline_{part}") for part in _PARTS]
    if not estimate.is_ok or None in moments:
        return estimate
    mean, variance, covariance = (np.array([m], dtype=float) for m in moments)
    with np.errstate(all="ignore"):
        inference = infer_difference(
            np.array([estimate.difference], dtype=float),
            np.array([estimate.standard_error], dtype=float),
            np.array([np.inf if estimate.df is None else estimate.df]),
            estimate.alpha,
        )
        baseline = Baseline(mean, variance, covariance)
        found = infer_relative(inference, baseline, estimate.alpha, method=method)
    name = method
    if method == "auto":
        name = "fieller" if found.is_fieller[0] else "delta"
    return replace(
        estimate,
        relative_lift=_number(found.lift),
        relative_ci_lower=_number(found.ci_lower),
        relative_ci_upper=_number(found.ci_upper),
        relative_p_value=_number(found.p_value),
        relative_method=name if _number(found.lift) is not None else None,
    )


def _number(values: Array) -> float | None:
    value = float(values[0])
    return value if np.isfinite(value) else None
