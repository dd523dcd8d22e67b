"""Is a metric worse than zero? One-sided p-values in the harmful direction."""

from scipy.special import stdtr

from exp_platform.records import Direction, Estimate

BOOTSTRAP, RANDOMISATION = "wild_cluster_bootstrap", "randomisation"
"""`details["inference"]` of rows whose p-value and interval are not those of t."""


def is_resampled(estimate: Estimate) -> bool:
    """Do the row's p-value and interval come from resampling, and not from t?

    Args:
        estimate: any method's row.
    """
    return estimate.details.get("inference") in {BOOTSTRAP, RANDOMISATION}


def harm_p_value(estimate: Estimate, direction: Direction) -> float | None:
    """How likely is so harmful a difference when the treatment does no harm?

    Args:
        estimate: any method's row; its statistic is t with `df`, or normal without.
            The two-sided p of a resampled row is symmetric: half of it is one tail.
        direction: which way is good.

    Returns:
        One-sided p-value, None where the estimate has no statistic.
    """
    if not estimate.is_ok or estimate.statistic is None:
        return None
    sign = 1.0 if direction is Direction.INCREASE else -1.0
    if is_resampled(estimate) and estimate.p_value is not None:
        tail = estimate.p_value / 2
        return tail if sign * estimate.statistic < 0 else 1 - tail
    df = float("inf") if estimate.df is None else estimate.df
    return float(stdtr(df, sign * estimate.statistic))
