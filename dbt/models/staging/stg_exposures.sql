with source as (

    {{ input_rows('exp', 'exposures', ['experiment_id', 'user_id', 'variant'], ['exposure_ts', 'first_seen_ts', 'attributes']) }}

),

experiments as (

    select * from {{ input('run', 'run_experiments') }}

)

select
    source.experiment_id,
    source.user_id,
    source.variant,
    source.exposure_ts,
    {{ epoch_us('source.exposure_ts') }} as exposure_us,
    {{ epoch_us('source.first_seen_ts') }} as first_seen_us,
    source.attributes
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
