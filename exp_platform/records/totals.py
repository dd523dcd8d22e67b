"""What SQL hands to the estimators: moments and sums, one record per arm."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MetricTotals:
    """Moments of per-unit values in one arm: all that the estimators need.

    Variances and covariances have divisor n - 1. Null where a part does not exist
    (no denominator, no covariate) or n < 2.

    Attributes:
        mean, variance: of the unit's value (of the numerator for a ratio).
        third_moment: central, divisor n.
        exact_sum: decimal text of the fixed-point sum, for the digest.
        denominator_*: of the unit's denominator; `denominator_covariance` with the
            value.
        covariate_*: of the pre-exposure value x; `covariate_covariance` with the
            value, `covariate_denominator_covariance` with the denominator.
        new_share: share of units whose x is unknown and counts as 0: first seen
            inside the look-back, or the value was quarantined; `new_covariance` of
            that indicator with the value.
        n_immature: units left out because their window had not closed by the
            watermark. n_missing: mature ones left out because a row of theirs had no
            value.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    mean: float | None
    variance: float | None
    segment: str = "all"
    third_moment: float | None = None
    min_value: float | None = None
    max_value: float | None = None
    exact_sum: str | None = None
    denominator_mean: float | None = None
    denominator_variance: float | None = None
    denominator_covariance: float | None = None
    covariate_mean: float | None = None
    covariate_variance: float | None = None
    covariate_covariance: float | None = None
    covariate_denominator_covariance: float | None = None
    new_share: float | None = None
    new_covariance: float | None = None
    n_immature: int = 0
    n_missing: int = 0


@dataclass(frozen=True, slots=True)
class LookTotals:
    """Two arms at one look: all units that had matured by then, each counted once.

    Attributes:
        look: number, 1 for the first registered look.
        look_ts: instant by which the units' windows had closed.
        elapsed: share of the registered duration, 1 at its end; None = no end.
    """

    look: int
    look_ts: datetime
    elapsed: float | None
    control: MetricTotals
    treatment: MetricTotals


@dataclass(frozen=True, slots=True)
class AdjustmentTotals:
    """Moments of one arm's values together with any number of covariates.

    A unit whose covariate is unknown has 0 there and 1 in an indicator of its own.

    Attributes:
        covariates: names, in the order of the matrix.
        is_ratio: the second column is the unit's denominator.
        means: of (value, denominator of a ratio, covariates ...).
        covariance: among the same columns, divisor n - 1.
        value_range: largest value - smallest; None = not known.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    covariates: tuple[str, ...]
    means: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    is_ratio: bool = False
    segment: str = "all"
    value_range: float | None = None


@dataclass(frozen=True, slots=True)
class ClusterTotals:
    """Moments over clusters in one arm, when whole clusters were assigned.

    Attributes:
        n: units. n_clusters: clusters.
        sum_mean, sum_variance: over clusters, of the sum of the units' values.
        size_mean, size_variance: over clusters, of the number of units (of the sum of
            the units' denominators for a ratio).
        size_covariance: of size and sum.
        score_variance: over clusters, of sum - mean per unit x size, where it was summed
            from centred values: large values leave nothing of it in the three above.
            None = read from these.
        value_range: largest value of a unit - smallest; None = not known.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_clusters: int
    sum_mean: float | None
    sum_variance: float | None
    size_mean: float | None
    size_variance: float | None
    size_covariance: float | None
    segment: str = "all"
    score_variance: float | None = None
    value_range: float | None = None


@dataclass(frozen=True, slots=True)
class QuantileTotals:
    """Order statistics of one arm around one quantile.

    Attributes:
        n: units. n_values: values (= n when each unit has one).
        quantile: 0 to 1; `value` is the order statistic number ceil(quantile x n_values).
        share_error: standard error of the share of values up to `value`; of clustered
            shares when units have several values.
        z: width of the search in those errors; `lower` and `upper` are the order
            statistics number ceil((quantile -+ z x share_error) x n_values).
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_values: int
    quantile: float
    value: float | None
    share_error: float | None
    z: float
    lower: float | None
    upper: float | None
    segment: str = "all"


@dataclass(frozen=True, slots=True)
class TailTotals:
    """The units of one arm above a threshold that is common to all arms.

    Attributes:
        threshold: a pooled order statistic, e.g. of the top 0.1 %.
        n_above: units strictly above it. mean_above: of their values, null without
            units. variance_above: divisor n_above, null without units.
    """

    experiment_id: str
    metric_name: str
    variant: str
    threshold: float
    n_above: int
    mean_above: float | None
    variance_above: float | None
    segment: str = "all"


@dataclass(frozen=True, slots=True)
class PanelTotals:
    """Unit-level change from pre- to post-period in one arm, for a 2x2 DiD.

    Attributes:
        n: units. n_clusters: clusters (= n when treatment was assigned by unit).
        mean_pre, mean_post: mean of units' daily averages.
        score_sum_of_squares: sum over clusters g of (sum over units i in g of
            (change_i - mean change of the arm))^2.
        pre_score_sum_of_squares: the same of the pre-period averages; null = the
            relative lift has no interval.
        pre_score_product: sum over clusters of the pre-period sum x the change sum.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_clusters: int
    pre_days: int
    post_days: int
    mean_pre: float
    mean_post: float
    score_sum_of_squares: float
    pre_score_sum_of_squares: float | None = None
    pre_score_product: float | None = None


@dataclass(frozen=True, slots=True)
class GramTotals:
    """Daily means of one arm and their cross-products, for event studies.

    Attributes:
        days: day numbers relative to the event (-1 is the last whole day before).
        means: shape (n_days,), per-unit mean on each day, absent = 0.
        score_gram: shape (n_days, n_days), sum over clusters g of s_g s_g' where s_g
            sums (value - mean of the arm and day) over the units of g.
        cluster_shares: sums over clusters of the 2nd and 4th power of a cluster's share
            of the units; None = not known.
    """

    experiment_id: str
    metric_name: str
    variant: str
    n: int
    n_clusters: int
    days: tuple[int, ...]
    means: tuple[float, ...]
    score_gram: tuple[tuple[float, ...], ...]
    cluster_shares: tuple[float, float] | None = None
