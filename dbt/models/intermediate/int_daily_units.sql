with assignments as (

    select * from {{ ref('experiment_assignments') }}

),

incomplete_units as (

    select * from {{ ref('int_incomplete_units') }}

),

experiments as (

    select * from {{ source('run', 'run_experiments') }}

),

metrics as (

    select * from {{ source('run', 'run_metrics') }}
    where has_daily_value

),

outcomes as (

    select * from {{ ref('int_unit_outcomes') }}

),

-- days on which anything happened after the experiment began
days as (

    select distinct
        outcomes.experiment_id,
        {{ day_number('outcomes.outcome_us') }} as day
    from outcomes
    where outcomes.offset_us >= 0
    union
    select distinct
        assignments.experiment_id,
        {{ day_number('assignments.exposure_us') }} as day
    from assignments
    inner join experiments
        on assignments.experiment_id = experiments.experiment_id
    where
        assignments.is_in_analysis
        and assignments.exposure_us < experiments.watermark_us

),

windows as (

    select
        assignments.experiment_id,
        metrics.metric_name,
        assignments.variant,
        {{ day_number('assignments.exposure_us - assignments.exposure_us % metrics.grain_us + metrics.delay_us') }} as first_day,
        {{ day_number('assignments.exposure_us - assignments.exposure_us % metrics.grain_us + metrics.delay_us + metrics.window_us - 1') }} as last_day,
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
    group by 1, 2, 3, 4, 5

)

select
    windows.experiment_id,
    windows.metric_name,
    windows.variant,
    days.day,
    cast(sum(windows.n_units) as bigint) as n
from windows
inner join days
    on
        windows.experiment_id = days.experiment_id
        and windows.first_day <= days.day
        and (windows.last_day is null or windows.last_day >= days.day)
group by windows.experiment_id, windows.metric_name, windows.variant, days.day
