with source as (

    select * from {{ source('exp', 'experiment_assignments') }}

),

experiments as (

    select * from {{ source('run', 'run_experiments') }}

)

select
    source.experiment_id,
    source.user_id,
    source.variant,
    {{ epoch_us('source.assigned_ts') }} as assigned_us
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
