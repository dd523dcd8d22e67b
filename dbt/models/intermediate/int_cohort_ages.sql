{{ config(materialized='view') }}
-- Cohorts by days since first exposure. At an age stand all cohorts for which that day is
-- over, also those with no open window on it.
with cohorts as (

    select
        experiment_id,
        metric_name,
        variant,
        exposure_day,
        cast(sum(n_units) as bigint) as n_cohort
    from {{ ref('int_cohort_windows') }}
    group by experiment_id, metric_name, variant, exposure_day

),

ages as (

    select distinct
        experiment_id,
        metric_name,
        day - exposure_day as age_day
    from {{ ref('int_cohort_units') }}
    where is_over

),

grid as (

    select
        cohorts.*,
        ages.age_day,
        calendar.day
    from cohorts
    inner join ages
        on cohorts.experiment_id = ages.experiment_id and cohorts.metric_name = ages.metric_name
    inner join {{ ref('int_calendar') }} as calendar
        on
            cohorts.experiment_id = calendar.experiment_id
            and cohorts.exposure_day + ages.age_day = calendar.day
    where calendar.is_over

)

select
    grid.experiment_id,
    grid.metric_name,
    grid.variant,
    grid.exposure_day,
    grid.age_day,
    grid.n_cohort,
    coalesce(days.n, 0) as n,
    coalesce(days.n_active, 0) as n_active,
    coalesce(days.active_mean, 0.0) as active_mean,
    coalesce(days.active_squares, 0.0) as active_squares,
    case when days.n is null then 0 else days.fixed_sum end as fixed_sum,
    sum(coalesce(gains.gain, 0.0)) over (
        partition by grid.experiment_id, grid.metric_name, grid.variant, grid.exposure_day order by grid.age_day
    ) as total_so_far
from grid
left join {{ ref('int_cohort_days') }} as days
    on
        grid.experiment_id = days.experiment_id
        and grid.metric_name = days.metric_name
        and grid.variant = days.variant
        and grid.exposure_day = days.exposure_day
        and grid.day = days.day
left join {{ ref('int_cohort_gains') }} as gains
    on
        grid.experiment_id = gains.experiment_id
        and grid.metric_name = gains.metric_name
        and grid.variant = gains.variant
        and grid.exposure_day = gains.exposure_day
        and grid.day = gains.day
