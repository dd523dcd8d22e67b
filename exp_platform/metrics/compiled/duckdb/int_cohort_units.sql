-- Units of a cohort whose window is open on a day.
select
    windows.experiment_id,
    windows.metric_name,
    windows.variant,
    windows.exposure_day,
    calendar.day,
    calendar.is_whole,
    calendar.is_over,
    cast(sum(windows.n_units) as bigint) as n
from exp_run.int_cohort_windows as windows
inner join exp_run.int_calendar as calendar
    on
        windows.experiment_id = calendar.experiment_id
        and windows.first_day <= calendar.day
        and (windows.last_day is null or windows.last_day >= calendar.day)
group by 1, 2, 3, 4, 5, 6, 7
