with source as (

    select * from {{ input('exp', 'exposures') }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    {{ input_column('exposures', 'experiment_id') }},
    {{ input_column('exposures', 'user_id') }},
    {{ input_column('exposures', 'variant') }},
    {{ input_column('exposures', 'exposure_ts') }},
    {{ epoch_us(input_value('exposures', 'exposure_ts')) }} as exposure_us,
    {{ epoch_us(input_value('exposures', 'first_seen_ts')) }} as first_seen_us,
    {{ input_column('exposures', 'attributes') }}
from source
inner join experiments
    on {{ input_value('exposures', 'experiment_id') }} = experiments.experiment_id
