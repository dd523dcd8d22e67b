-- Every calendar day from the first exposure to the watermark. A unit without a row on the
-- day counts as 0, so a mean is one of active units and zeros: the squares around it are
-- those inside the cohorts, those between them, and those of the zeros.
with cohort_days as (

    select * from exp_run.int_cohort_days

),

means as (

    select
        experiment_id,
        metric_name,
        variant,
        day,
        sum(n) as n,
        sum(n_active) as n_active,
        sum(n_active * active_mean) / nullif(sum(n), 0) as mean,
        case when count(*) = count(fixed_sum) then cast(sum(fixed_sum) as string) end as exact_sum
    from cohort_days
    group by experiment_id, metric_name, variant, day

),

squares as (

    select
        cohorts.experiment_id,
        cohorts.metric_name,
        cohorts.variant,
        cohorts.day,
        sum(
            cohorts.active_squares
            + cohorts.n_active * power(cohorts.active_mean - means.mean, 2)
            + (cohorts.n - cohorts.n_active) * power(means.mean, 2)
        ) as squares
    from cohort_days as cohorts
    inner join means
        on
            cohorts.experiment_id = means.experiment_id
            and cohorts.metric_name = means.metric_name
            and cohorts.variant = means.variant
            and cohorts.day = means.day
    group by cohorts.experiment_id, cohorts.metric_name, cohorts.variant, cohorts.day

)

select
    means.experiment_id,
    means.metric_name,
    means.variant,
    date_add(date '1970-01-01', cast(means.day as int)) as day,
    cast(means.n as bigint) as n,
    cast(means.n_active as bigint) as n_active,
    means.mean,
    squares.squares / nullif(means.n - 1.0, 0.0) as variance,
    means.exact_sum
from means
inner join squares
    on
        means.experiment_id = squares.experiment_id
        and means.metric_name = squares.metric_name
        and means.variant = squares.variant
        and means.day = squares.day
order by means.metric_name, means.variant, means.day
