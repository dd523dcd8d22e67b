-- A metric's whole days as they can be compared: only units exposed on an earlier day. On
-- the day of its exposure every unit is active by definition, so that a day with many new
-- units would look like a spike. The variance is the largest of the last eight days: one
-- with few events must not look exact.
with days as (

    select
        experiment_id,
        metric_name,
        variant,
        day,
        sum(n) as n,
        sum(n_active) as n_active,
        sum(n_active * active_mean) / sum(n) as value,
        sum(active_squares + n_active * active_mean * active_mean) / sum(n) as second_moment
    from exp_run.int_cohort_days
    where exposure_day < day and is_whole
    group by experiment_id, metric_name, variant, day

)

select
    experiment_id,
    metric_name,
    variant,
    day,
    n,
    n_active,
    value,
    max(greatest(second_moment - value * value, 0)) over (
        partition by experiment_id, metric_name, variant
        order by day
        rows between 7 preceding and current row
    ) / n as squared_error,
    sum(n_active) over (partition by experiment_id, metric_name, day) as n_active_in_all
from days
