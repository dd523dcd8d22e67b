with source as (

    select * from exp.fact_event

),

experiments as (

    select * from exp_run.run_experiments

)

select
    experiments.experiment_id,
    source.event_id,
    source.user_id,
    source.event_name,
    source.event_ts,
    cast(round(to_unixtime(source.event_ts) * 1e6) as bigint) as event_us,
    source.value,
    source.properties,
    source.country,
    source.device,
    source.platform,
    source.app,
    source.app_version
from source
inner join experiments
    on source.namespace = experiments.namespace
