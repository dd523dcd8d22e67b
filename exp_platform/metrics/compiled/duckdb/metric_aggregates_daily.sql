with unit_days as (

    select * from exp_run.metric_unit_days

),

assignments as (

    select * from exp_run.experiment_assignments

),

metrics as (

    select * from exp_run.run_metrics

),

active as (

    select
        experiment_id,
        metric_name,
        variant,
        outcome_day,
        count(*) as n_active,
        avg(value) as active_mean,
        coalesce(var_samp(value), 0.0) * (count(*) - 1) as active_squares,
        cast(sum(cast(value as decimal(38, 6))) as varchar) as exact_sum
    from unit_days
    group by experiment_id, metric_name, variant, outcome_day

),

enrolled as (

    select
        experiment_id,
        variant,
        cast(floor(exposure_us / 86400000000.0) as bigint) as exposure_day,
        count(*) as n_enrolled
    from assignments
    where is_in_analysis
    group by experiment_id, variant, cast(floor(exposure_us / 86400000000.0) as bigint)

),

observed as (

    select
        active.experiment_id,
        active.metric_name,
        active.variant,
        active.outcome_day,
        active.n_active,
        active.active_mean,
        active.active_squares,
        active.exact_sum,
        sum(enrolled.n_enrolled) as n
    from active
    inner join metrics
        on
            active.experiment_id = metrics.experiment_id
            and active.metric_name = metrics.metric_name
    inner join enrolled
        on
            active.experiment_id = enrolled.experiment_id
            and active.variant = enrolled.variant
            and enrolled.exposure_day <= active.outcome_day
    group by
        active.experiment_id,
        active.metric_name,
        active.variant,
        active.outcome_day,
        active.n_active,
        active.active_mean,
        active.active_squares,
        active.exact_sum

)

-- units without a row on the day count as 0: the between part is added to the squares
select
    experiment_id,
    metric_name,
    variant,
    cast(date '1970-01-01' + cast(outcome_day as integer) as date) as day,
    cast(n as bigint) as n,
    n_active,
    active_mean * n_active / n as mean,
    (active_squares + active_mean * active_mean * n_active * (1.0 - n_active * 1.0 / n))
    / nullif(n - 1.0, 0.0) as variance,
    exact_sum
from observed
order by metric_name, variant, outcome_day
