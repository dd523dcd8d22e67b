-- The units of a cohort, the day of first exposure, by the days on which their windows open
-- and close. The window of a unit begins and ends at its own instant; a day that it touches
-- counts.
with assignments as (

    select * from exp_run.experiment_assignments

),

incomplete_units as (

    select * from exp_run.int_incomplete_units

),

metrics as (

    select * from exp_run.run_metrics
    where has_daily_value

)

select
    assignments.experiment_id,
    metrics.metric_name,
    assignments.variant,
    cast(floor(cast(assignments.exposure_us as double) / 86400000000) as bigint) as exposure_day,
    cast(floor(cast(assignments.exposure_us - assignments.exposure_us % metrics.grain_us + metrics.delay_us as double) / 86400000000) as bigint) as first_day,
    cast(floor(cast(assignments.exposure_us - assignments.exposure_us % metrics.grain_us + metrics.delay_us + metrics.window_us - 1 as double) / 86400000000) as bigint) as last_day,
    count(*) as n_units
from assignments
inner join metrics
    on assignments.experiment_id = metrics.experiment_id
left join incomplete_units
    on
        assignments.unit_no = incomplete_units.unit_no
        and metrics.metric_name = incomplete_units.metric_name
where
    assignments.is_in_analysis
    and not coalesce(incomplete_units.is_value_missing, false)
group by 1, 2, 3, 4, 5, 6
