-- What the units of a cohort did on each day their window was open. Everything by day is
-- rolled up from here: calendar days, days since exposure, running totals of a cohort.
with unit_days as (

    select * from exp_run.metric_unit_days

),

assignments as (

    select * from exp_run.experiment_assignments

),

incomplete_units as (

    select * from exp_run.int_incomplete_units

),

active as (

    select
        unit_days.experiment_id,
        unit_days.metric_name,
        unit_days.variant,
        cast(floor(cast(assignments.exposure_us as double) / 86400000000) as bigint) as exposure_day,
        unit_days.outcome_day,
        count(*) as n_active,
        avg(unit_days.value) as active_mean,
        coalesce(var_samp(unit_days.value), 0.0) * (count(*) - 1) as active_squares,
        case
        when max(abs(unit_days.value)) < 1e20
            then sum(case when abs(unit_days.value) < 1e20 then element_at(transform(array[round(unit_days.value * 1e6)], x -> (
    cast(floor(x / 4294967296e0) as decimal(17, 0)) * cast(4294967296 as decimal(10, 0))
    + cast(x - floor(x / 4294967296e0) * 4294967296e0 as decimal(10, 0))
) * cast(0.000001 as decimal(6, 6))), 1) end)
    end as fixed_sum
    from unit_days
    inner join assignments
        on unit_days.unit_no = assignments.unit_no
    left join incomplete_units
        on
            unit_days.unit_no = incomplete_units.unit_no
            and unit_days.metric_name = incomplete_units.metric_name
    where not coalesce(incomplete_units.is_value_missing, false)
    group by 1, 2, 3, 4, 5

)

select
    units.experiment_id,
    units.metric_name,
    units.variant,
    units.exposure_day,
    units.day,
    units.is_whole,
    units.is_over,
    units.n,
    coalesce(active.n_active, 0) as n_active,
    coalesce(active.active_mean, 0.0) as active_mean,
    coalesce(active.active_squares, 0.0) as active_squares,
    case when active.n_active is null then 0 else active.fixed_sum end as fixed_sum
from exp_run.int_cohort_units as units
left join active
    on
        units.experiment_id = active.experiment_id
        and units.metric_name = active.metric_name
        and units.variant = active.variant
        and units.exposure_day = active.exposure_day
        and units.day = active.outcome_day
order by units.metric_name, units.variant, units.exposure_day, units.day
