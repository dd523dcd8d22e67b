with quarantine as (

    {{ input_rows('exp', 'event_quarantine', ['namespace', 'event_name', 'user_id'], ['reason', 'event_ts']) }}

),

assignments as (

    select * from {{ ref('experiment_assignments') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

),

-- what cannot be read of an event may be what a metric asks for
unreadable_events as (

    select
        experiments.experiment_id,
        experiments.watermark_us,
        quarantine.user_id,
        quarantine.event_name,
        {{ epoch_us('quarantine.event_ts') }} as event_us
    from quarantine
    inner join experiments
        on quarantine.namespace = experiments.namespace
    where
        quarantine.reason in (
            'MISSING_VALUE', 'NOT_A_NUMBER', 'NOT_FINITE', 'VALUE_OUT_OF_RANGE', 'BAD_PROPERTIES'
        )

)

select
    assignments.experiment_id,
    assignments.unit_no,
    assignments.variant,
    unreadable_events.event_name,
    unreadable_events.event_us,
    unreadable_events.event_us - assignments.exposure_us as offset_us
from unreadable_events
inner join assignments
    on
        unreadable_events.experiment_id = assignments.experiment_id
        and unreadable_events.user_id = assignments.user_id
where
    assignments.is_in_analysis
    and unreadable_events.event_us < unreadable_events.watermark_us
