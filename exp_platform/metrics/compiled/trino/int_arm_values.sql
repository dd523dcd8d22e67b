-- Each arm as one number and the sampling variance of that number. For a mean both are
-- plain; a ratio is sum N / sum D, its variance that of (N - R D) / mean D over units.
-- Where whole clusters were assigned a mean is such a ratio too: of the clusters' sums to
-- their sizes, over clusters.
with moments as (

    select
        totals.experiment_id, totals.metric_name, totals.segment, totals.variant, totals.n,
        totals.denominator_mean is not null as is_ratio,
        clusters.n_clusters is not null as is_clustered,
        coalesce(clusters.n_clusters, totals.n) as n_independent,
        totals.mean, totals.variance,
        coalesce(clusters.sum_mean, totals.mean) as numerator_mean,
        coalesce(clusters.size_mean, totals.denominator_mean) as denominator_mean,
        case when clusters.n_clusters is null then totals.variance else clusters.sum_variance end as numerator_variance,
        case when clusters.n_clusters is null then totals.denominator_variance else clusters.size_variance end as denominator_variance,
        case when clusters.n_clusters is null then totals.denominator_covariance else clusters.size_covariance end as denominator_covariance
    from exp_run.metric_aggregates_overall as totals
    left join exp_run.int_cluster_totals as clusters
        on
            totals.experiment_id = clusters.experiment_id and totals.metric_name = clusters.metric_name
            and totals.segment = clusters.segment and totals.variant = clusters.variant

),

quotients as (

    select
        *,
        is_ratio or is_clustered as is_quotient,
        numerator_mean / nullif(denominator_mean, 0) as quotient
    from moments

),

linearised as (

    select
        *,
        numerator_variance + quotient * quotient * denominator_variance as spread,
        2 * quotient * denominator_covariance as shared
    from quotients

),

units as (

    select
        *,
        case when is_quotient then quotient else mean end as metric_value,
        case
            when not is_quotient then variance
            -- what the subtraction of equal numbers leaves over is rounding
            when spread - shared <= 1e-12 * spread then 0
            else (spread - shared) / nullif(denominator_mean * denominator_mean, 0)
        end as unit_variance
    from linearised

)

select
    experiment_id, metric_name, segment, variant, n, is_ratio, is_clustered, n_independent,
    -- clusters of equal size that would be as good
    case
        when is_clustered
            then n_independent / (1 + denominator_variance / nullif(denominator_mean * denominator_mean, 0))
    end as n_effective,
    metric_value,
    case
        when sqrt(unit_variance) <= 1e-12 * abs(metric_value) then 0
        else unit_variance / nullif(n_independent, 0)
    end as squared_error,
    -- a denominator within three standard errors of 0 is none
    case
        when is_ratio then denominator_mean > 3 * sqrt(denominator_variance / nullif(n_independent, 0))
        else true
    end as has_denominator
from units
