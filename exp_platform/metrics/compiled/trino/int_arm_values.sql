-- Each arm as one number and the sampling variance of that number. For a mean both are
-- plain; a ratio is sum N / sum D, its variance that of (N - R D) / mean D over units.
with totals as (

    select
        *,
        denominator_mean is not null as is_ratio,
        mean / nullif(denominator_mean, 0) as ratio
    from exp_run.metric_aggregates_overall

),

linearised as (

    select
        *,
        variance + ratio * ratio * denominator_variance as spread,
        2 * ratio * denominator_covariance as shared
    from totals

),

units as (

    select
        *,
        case when is_ratio then ratio else mean end as metric_value,
        case
            when not is_ratio then variance
            -- what the subtraction of equal numbers leaves over is rounding
            when spread - shared <= 1e-12 * spread then 0
            else (spread - shared) / nullif(denominator_mean * denominator_mean, 0)
        end as unit_variance
    from linearised

)

select
    experiment_id,
    metric_name,
    segment,
    variant,
    n,
    is_ratio,
    metric_value,
    case
        when sqrt(unit_variance) <= 1e-12 * abs(metric_value) then 0
        else unit_variance / nullif(n, 0)
    end as squared_error,
    -- a denominator within three standard errors of 0 is none
    case
        when is_ratio then denominator_mean > 3 * sqrt(denominator_variance / nullif(n, 0))
        else true
    end as has_denominator
from units
