with unit_days as (

    select * from exp_run.metric_unit_days

),

incomplete_units as (

    select * from exp_run.int_incomplete_units

),

daily_units as (

    select * from exp_run.int_daily_units

),

active as (

    select
        unit_days.experiment_id,
        unit_days.metric_name,
        unit_days.variant,
        unit_days.outcome_day,
        count(*) as n_active,
        avg(unit_days.value) as active_mean,
        coalesce(var_samp(unit_days.value), 0.0) * (count(*) - 1) as active_squares,
        case
        when max(abs(unit_days.value)) < 1e20
            then
                cast(sum(case when abs(unit_days.value) < 1e20 then cast(unit_days.value as decimal(38, 6)) end) as varchar)
    end as exact_sum
    from unit_days
    left join incomplete_units
        on
            unit_days.unit_no = incomplete_units.unit_no
            and unit_days.metric_name = incomplete_units.metric_name
    where not coalesce(incomplete_units.is_value_missing, false)
    group by
        unit_days.experiment_id,
        unit_days.metric_name,
        unit_days.variant,
        unit_days.outcome_day

),

filled as (

    select
        daily_units.experiment_id,
        daily_units.metric_name,
        daily_units.variant,
        daily_units.day,
        daily_units.n,
        coalesce(active.n_active, 0) as n_active,
        coalesce(active.active_mean, 0.0) as active_mean,
        coalesce(active.active_squares, 0.0) as active_squares,
        case when active.n_active is null then '0.000000' else active.exact_sum end as exact_sum
    from daily_units
    left join active
        on
            daily_units.experiment_id = active.experiment_id
            and daily_units.metric_name = active.metric_name
            and daily_units.variant = active.variant
            and daily_units.day = active.outcome_day

)

-- units without a row on the day count as 0: the between part is added to the squares
select
    experiment_id,
    metric_name,
    variant,
    date_add('day', day, date '1970-01-01') as day,
    n,
    n_active,
    active_mean * n_active / n as mean,
    (active_squares + active_mean * active_mean * n_active * (n - n_active) / n)
    / nullif(n - 1.0, 0.0) as variance,
    exact_sum
from filled
order by metric_name, variant, filled.day
