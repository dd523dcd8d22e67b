-- What each day added to the values of a cohort's units: added up from the exposure on, it
-- is their total through that day. Of a plain sum it is what the units did on the day.
select
    assignments.experiment_id,
    gains.metric_name,
    assignments.variant,
    cast(floor(cast(assignments.exposure_us as double) / 86400000000) as bigint) as exposure_day,
    gains.outcome_day as day,
    sum(gains.gain) as gain
from exp_run.int_unit_gains as gains
inner join exp_run.experiment_assignments as assignments
    on gains.unit_no = assignments.unit_no
left join exp_run.int_incomplete_units as incomplete_units
    on
        gains.unit_no = incomplete_units.unit_no
        and gains.metric_name = incomplete_units.metric_name
where not coalesce(incomplete_units.is_value_missing, false)
group by 1, 2, 3, 4, 5
union all
select
    days.experiment_id,
    days.metric_name,
    days.variant,
    days.exposure_day,
    days.day,
    days.n_active * days.active_mean as gain
from exp_run.int_cohort_days as days
inner join exp_run.run_metrics as metrics
    on
        days.experiment_id = metrics.experiment_id
        and days.metric_name = metrics.metric_name
where
    metrics.day_rule = 'sum'
    and metrics.cap is null
    and days.n_active > 0
