with source as (

    select * from {{ input('exp', 'outcomes') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    {{ input_column('outcomes', 'experiment_id') }},
    {{ input_column('outcomes', 'user_id') }},
    {{ input_column('outcomes', 'metric_name') }},
    {{ input_column('outcomes', 'value') }},
    {{ epoch_us(input_value('outcomes', 'outcome_ts')) }} as outcome_us
from source
inner join experiments
    on {{ input_value('outcomes', 'experiment_id') }} = experiments.experiment_id
