-- Days since the first exposure. A daily figure is one of units whose window is open on that
-- day; a running one is what all units of the cohorts did from their exposure on. Both
-- leave out a cohort from the first age that the watermark cuts.
with cohort_ages as (

    select * from {{ ref('int_cohort_ages') }}

),

{{ cohort_moments(
    'cohort_ages',
    'age_day',
    more=['sum(n_cohort) as cumulative_n', 'sum(total_so_far) / sum(n_cohort) as cumulative_mean'],
) }}

select
    means.experiment_id,
    means.metric_name,
    means.variant,
    means.age_day,
    cast(means.n as bigint) as n,
    cast(means.n_active as bigint) as n_active,
    means.mean,
    squares.squares / nullif(means.n - 1.0, 0.0) as variance,
    means.exact_sum,
    cast(means.cumulative_n as bigint) as cumulative_n,
    case when metrics.day_rule is not null then means.cumulative_mean end as cumulative_mean
from means
inner join squares
    on
        means.experiment_id = squares.experiment_id
        and means.metric_name = squares.metric_name
        and means.variant = squares.variant
        and means.age_day = squares.age_day
inner join {{ input('run', 'run_metrics') }} as metrics
    on means.experiment_id = metrics.experiment_id and means.metric_name = metrics.metric_name
order by means.metric_name, means.variant, means.age_day
