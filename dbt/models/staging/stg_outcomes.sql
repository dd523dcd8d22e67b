with source as (

    select * from {{ source('exp', 'outcomes') }}

),

experiments as (

    select * from {{ source('run', 'run_experiments') }}

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
