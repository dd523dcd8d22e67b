with source as (

    select * from {{ input('exp', 'fact_event') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    experiments.experiment_id,
    {{ input_column('fact_event', 'event_id') }},
    {{ input_column('fact_event', 'user_id') }},
    {{ input_column('fact_event', 'event_name') }},
    {{ input_column('fact_event', 'event_ts') }},
    {{ epoch_us(input_value('fact_event', 'event_ts')) }} as event_us,
    {{ input_column('fact_event', 'value') }},
    {{ input_column('fact_event', 'properties') }},
    {{ input_column('fact_event', 'country') }},
    {{ input_column('fact_event', 'device') }},
    {{ input_column('fact_event', 'platform') }},
    {{ input_column('fact_event', 'app') }},
    {{ input_column('fact_event', 'app_version') }}
from source
inner join experiments
    on {{ input_value('fact_event', 'namespace') }} = experiments.namespace
