with source as (

    select * from {{ input('exp', 'experiment_assignments') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    {{ input_column('experiment_assignments', 'experiment_id') }},
    {{ input_column('experiment_assignments', 'user_id') }},
    {{ input_column('experiment_assignments', 'variant') }},
    {{ epoch_us(input_value('experiment_assignments', 'assigned_ts')) }} as assigned_us
from source
inner join experiments
    on {{ input_value('experiment_assignments', 'experiment_id') }} = experiments.experiment_id
