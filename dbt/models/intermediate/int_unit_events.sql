with events as (

    select * from {{ ref('stg_events') }}

),

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

),

-- the events that a metric of the run is made of
used as (

    select * from {{ input('run', 'run_events') }}

)

select
    assignments.experiment_id,
    assignments.unit_no,
    assignments.variant,
    events.event_name,
    events.value,
    events.properties,
    events.event_us,
    events.event_us - assignments.exposure_us as offset_us
from events
inner join used
    on
        events.experiment_id = used.experiment_id
        and events.event_name = used.event_name
inner join assignments
    on
        events.experiment_id = assignments.experiment_id
        and events.user_id = assignments.user_id
inner join experiments
    on assignments.experiment_id = experiments.experiment_id
where
    assignments.is_in_analysis
    and events.event_us < experiments.watermark_us
