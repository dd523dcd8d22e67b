-- Every calendar day from the first exposure to the watermark. A unit without a row on the
-- day counts as 0, so a mean is one of active units and zeros: the squares around it are
-- those inside the cohorts, those between them, and those of the zeros.
with cohort_days as (

    select * from {{ ref('int_cohort_days') }}

),

means as (

    select
        experiment_id,
        metric_name,
        variant,
        day,
        sum(n) as n,
        sum(n_active) as n_active,
        sum(n_active * active_mean) / sum(n) as mean,
        case when count(*) = count(fixed_sum) then {{ text_of('sum(fixed_sum)') }} end as exact_sum
    from cohort_days
    group by experiment_id, metric_name, variant, day

),

squares as (

    select
        cohort_days.experiment_id,
        cohort_days.metric_name,
        cohort_days.variant,
        cohort_days.day,
        sum(
            cohort_days.active_squares
            + cohort_days.n_active * power(cohort_days.active_mean - means.mean, 2)
            + (cohort_days.n - cohort_days.n_active) * power(means.mean, 2)
        ) as squares
    from cohort_days
    inner join means
        on
            cohort_days.experiment_id = means.experiment_id
            and cohort_days.metric_name = means.metric_name
            and cohort_days.variant = means.variant
            and cohort_days.day = means.day
    group by cohort_days.experiment_id, cohort_days.metric_name, cohort_days.variant, cohort_days.day

)

select
    means.experiment_id,
    means.metric_name,
    means.variant,
    {{ date_of_day('means.day') }} as day,
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
