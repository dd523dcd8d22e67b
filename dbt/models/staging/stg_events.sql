with source as (

    {{ input_rows('exp', 'fact_event', ['namespace', 'event_id', 'user_id', 'event_name'], [
        'event_ts', 'properties', 'country', 'device', 'platform', 'app', 'app_version',
    ], ['value']) }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    experiments.experiment_id,
    source.event_id,
    source.user_id,
    source.event_name,
    source.event_ts,
    {{ epoch_us('source.event_ts') }} as event_us,
    source.value,
    source.properties,
    source.country,
    source.device,
    source.platform,
    source.app,
    source.app_version
from source
inner join experiments
    on source.namespace = experiments.namespace
