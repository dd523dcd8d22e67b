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
    cast(round(to_unixtime(source.exposure_ts) * 1e6) as bigint) as exposure_us,
    cast(round(to_unixtime(source.first_seen_ts) * 1e6) as bigint) as first_seen_us,
    source.attributes
from source
inner join experiments
    on source.experiment_id = experiments.experiment_id
