with source as (

    select * from exp.exposures

),

experiments as (

    select * from exp_run.run_experiments

)

select
    source.experiment_id,
    source.user_id,
    source.variant,
    source.exposure_ts,
    unix_micros(source.exposure_ts) as exposure_us,
    unix_micros(source.first_seen_ts) as first_seen_us,
    source.attributes
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
