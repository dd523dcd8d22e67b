-- Days since the first exposure. A daily figure is one of units whose window is open on that
-- day; a running one is what all units of the cohorts did from their exposure on. Both
-- leave out a cohort from the first age that the watermark cuts.
with cohort_ages as (

    select * from exp_run.int_cohort_ages

),

means as (

    select
        experiment_id,
        metric_name,
        variant,
        age_day,
        sum(n) as n,
        sum(n_active) as n_active,
        sum(n_active * active_mean) / nullif(sum(n), 0) as mean,
        sum(n_cohort) as cumulative_n,
        sum(total_so_far) / sum(n_cohort) as cumulative_mean,
        case when count(*) = count(fixed_sum) then cast(sum(fixed_sum) as varchar) end as exact_sum
    from cohort_ages
    group by experiment_id, metric_name, variant, age_day

),

squares as (

    select
        cohorts.experiment_id,
        cohorts.metric_name,
        cohorts.variant,
        cohorts.age_day,
        sum(
            cohorts.active_squares
            + cohorts.n_active * power(cohorts.active_mean - means.mean, 2)
            + (cohorts.n - cohorts.n_active) * power(means.mean, 2)
        ) as squares
    from cohort_ages as cohorts
    inner join means
        on
            cohorts.experiment_id = means.experiment_id
            and cohorts.metric_name = means.metric_name
            and cohorts.variant = means.variant
            and cohorts.age_day = means.age_day
    group by cohorts.experiment_id, cohorts.metric_name, cohorts.variant, cohorts.age_day

)

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
inner join exp_run.run_metrics as metrics
    on means.experiment_id = metrics.experiment_id and means.metric_name = metrics.metric_name
order by means.metric_name, means.variant, means.age_day
