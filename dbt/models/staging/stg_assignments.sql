with source as (

    {{ input_rows('exp', 'experiment_assignments', ['experiment_id', 'user_id', 'variant'], ['assigned_ts']) }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    source.experiment_id,
    source.user_id,
    source.variant,
    {{ epoch_us('source.assigned_ts') }} as assigned_us
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
