"""Is a metric worse than zero? One-sided p-values in the harmful direction."""

from scipy.special import stdtr

from exp_platform.records import Direction, Estimate


def harm_p_value(estimate: Estimate, direction: Direction) -> float | None:
    """How likely is so harmful a difference when the treatment does no harm?

    Args:
        estimate: any method's row; its statistic is t with `df`, or normal without.
        direction: which way is good.

    Returns:
        One-sided p-value, None where the estimate has no statistic.
    """
    if not estimate.is_ok or estimate.statistic is None:
        return None
    df = float("inf") if estimate.df is None else estimate.df
    sign = 1.0 if direction is Direction.INCREASE else -1.0
    return float(stdtr(df, sign * estimate.statistic))
