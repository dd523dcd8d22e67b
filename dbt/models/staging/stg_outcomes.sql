with source as (

    {{ input_rows('exp', 'outcomes', ['experiment_id', 'user_id', 'metric_name'], ['outcome_ts'], ['value']) }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    source.experiment_id,
    source.user_id,
    source.metric_name,
    source.value,
    {{ epoch_us('source.outcome_ts') }} as outcome_us
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
